"""How far a datasource has come: its commit metadata, read and set as resets ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from overlord.actions import offsets as rules
from overlord.errors import BadRequest
from overlord.model.instant import format_instant, now_ms
from overlord.model.kafka import metadata
from overlord.store import segments, supervisors
from overlord.store.tasks import fence

if TYPE_CHECKING:
    from overlord.store.db import Database, Transaction

Offsets = dict[str, int]


class Records:
    """Commit metadata of one datasource.

    Parameters
    ----------
    stream : str
        Offsets of another stream count as none.
    """

    def __init__(self, db: Database, datasource: str, stream: str, epoch: int) -> None:
        self._db = db
        self._datasource = datasource
        self._stream = stream
        self._epoch = epoch

    def stored(self) -> Offsets:
        """Where each partition goes on."""
        with self._db.transaction() as tx:
            found = segments.commit_metadata(tx, self._datasource)
        return self._of(None if found is None else found[0])

    def _of(self, value: Mapping[str, Any] | None) -> Offsets:
        if value is None or value.get("type") != "kafka" or rules.stream(dict(value)) != self._stream:
            return {}
        return {str(name): int(offset) for name, offset in rules.sequences(value).items()}

    def forget(self) -> None:
        """Delete all."""
        with self._db.transaction() as tx:
            if fence(tx, self._epoch):
                tx.lock_datasource(self._datasource)
                supervisors.forget_offsets(tx, self._datasource)

    def change(self, wanted: Mapping[str, int | None]) -> None:
        """Set offsets of some partitions; None forgets one."""
        with self._db.transaction() as tx:
            if not fence(tx, self._epoch):
                return
            tx.lock_datasource(self._datasource)
            found = segments.commit_metadata(tx, self._datasource)
            merged: dict[str, int | None] = {**self._of(None if found is None else found[0]), **wanted}
            left = {name: offset for name, offset in merged.items() if offset is not None}
            if not left:
                supervisors.forget_offsets(tx, self._datasource)
                return
            self._write(tx, left, found)

    def begin(self, starts: Mapping[str, int]) -> None:
        """Write down where partitions begin that have no offset yet; what is stored of another stream stays."""
        with self._db.transaction() as tx:
            if not fence(tx, self._epoch):
                return
            tx.lock_datasource(self._datasource)
            found = segments.commit_metadata(tx, self._datasource)
            known = self._of(None if found is None else found[0])
            if found is None or known:
                self._write(tx, {**starts, **known}, found)

    def _write(self, tx: Transaction, offsets: Offsets, found: tuple[Any, Any] | None) -> None:
        value = metadata(self._stream, offsets, "end")
        digest = None if found is None else found[1]
        segments.set_commit_metadata(tx, self._datasource, value, digest, format_instant(now_ms()))

    def read(self, given: Mapping[str, Any]) -> Offsets:
        """Offsets of a resetOffsets body.

        Raises
        ------
        BadRequest
            They are no end of this stream.
        """
        partitions = given.get("partitions")
        if given.get("type") != "kafka" or not isinstance(partitions, Mapping):
            raise BadRequest(
                f"Datasource metadata instance does not match required, found instance of [{given.get('type')}]",
                where="type",
            )
        if partitions.get("type") == "start":
            raise BadRequest(
                "Provided datasourceMetadata is not an instance of SeekableStreamEndSequenceNumbers",
                where="partitions.type",
            )
        name = partitions.get("stream", partitions.get("topic"))
        if name != self._stream:
            raise BadRequest(
                f"Stream[{name}] does not exist in the metadata. The supervisor reads [{self._stream}]",
                where="partitions.stream",
            )
        found = rules.sequences(given)
        bad = [each for each, offset in found.items() if type(offset) is not int or offset < 0]
        if bad:
            raise BadRequest(f"The offset of partition[{bad[0]}] is no whole number", where="partitions")
        return {str(each): int(offset) for each, offset in found.items()}
