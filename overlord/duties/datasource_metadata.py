"""Commit metadata (offsets of streams) that no supervisor needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from overlord.duties.base import Counts, MetadataDuty, Run, duties
from overlord.duties.supervisors import TOMBSTONES
from overlord.model.instant import format_instant
from overlord.store import duties as store
from overlord.store.db import Transaction


@duties.add("datasourceMetadata")
class DatasourceMetadata(MetadataDuty):
    """Deletes what was first committed before `druid.coordinator.kill.datasource.durationToRetain`.

    Unlike Druid it spares datasources with an unfinished task, which may be about to commit.
    """

    name = "datasourceMetadata"
    what = "datasource"

    def run(self, run: Run) -> Counts:
        before = format_instant(self.before_ms(run))
        with run.transaction() as tx:
            old = store.old_datasource_metadata(tx, before, sorted(_supervised(tx)))
        if run.dry:
            return {"datasources": old}
        return {"datasources": [datasource for datasource in old if _delete(run, datasource, before)]}


def _delete(run: Run, datasource: str, before: str) -> bool:
    def body() -> bool:
        with run.transaction() as tx:
            tx.lock_datasource(datasource)
            if datasource in _supervised(tx):  # since we looked
                return False
            return store.delete_datasource_metadata(tx, datasource, before) > 0

    return run.services.db.retry(body)


def _supervised(tx: Transaction) -> set[str]:
    """Datasources of supervisors that are not terminated; suspended ones count."""
    specs = (spec for _, _, spec in store.latest_supervisors(tx))
    return {
        name
        for spec in specs
        if not (isinstance(spec, dict) and spec.get("type") in TOMBSTONES)
        for name in _named(spec)
    }


def _named(spec: Any) -> Iterator[str]:
    """Every `dataSource` in a spec: of kinds that we cannot read too."""
    if isinstance(spec, dict):
        for key, value in spec.items():
            if key == "dataSource" and isinstance(value, str):
                yield value
            else:
                yield from _named(value)
    elif isinstance(spec, list):
        for value in spec:
            yield from _named(value)
