"""The manager over a real Postgres: what is kept, what starts again, and who waits for whom."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import orjson
import pytest

from overlord.errors import BadRequest, Unavailable
from overlord.model.audit import AuditInfo
from overlord.model.supervisor import SupervisorSpec, noop_spec
from overlord.schemas import load_supervisor
from overlord.store import supervisors as store
from overlord.supervisors.base import Supervisor, supervisor_types
from overlord.supervisors.manager import SupervisorManager

SETTINGS = {"ovl.compaction.period": 3_600_000}


class Probe(Supervisor):
    """Notes what is done to it; does what its spec says."""

    log: list = []
    gate = threading.Event()

    def __init__(self, spec, services, epoch):
        super().__init__(spec, services, epoch)
        if spec.payload.get("refuse"):
            raise BadRequest("refused")

    def start(self):
        if self.spec.payload.get("broken"):
            raise RuntimeError("broken")
        self.log.append(("start", self.id, self.spec.payload.get("n")))

    def stop(self, *, graceful):
        if self.spec.payload.get("slow"):
            assert self.gate.wait(20)
        self.log.append(("stop", self.id, self.spec.payload.get("n"), graceful))


@pytest.fixture(autouse=True)
def probe(monkeypatch):
    monkeypatch.setitem(supervisor_types._members, "autocompact", Probe)
    Probe.log, Probe.gate = [], threading.Event()
    return Probe


@pytest.fixture
def manager(db):
    made = SupervisorManager(lambda: SimpleNamespace(db=db, settings=SETTINGS))
    made.start(lead(db))
    return made


def lead(db):
    with db.transaction() as tx:
        return tx.one("queue.lead", url="http://here")["epoch"]


def spec(name, n=1, **more):
    payload = {"type": "autocompact", "spec": {"dataSource": name}, "suspended": False, "n": n, **more}
    return SupervisorSpec(
        id=name, type="autocompact", source="", datasources=(name,), payload=payload, suspended=payload["suspended"]
    )


def versions(db, name):
    with db.transaction() as tx:
        return [orjson.loads(payload) for _, _, payload in store.history(tx, name)]


def test_a_refused_update_leaves_the_running_one_and_its_history_alone(manager, db, probe):
    manager.submit(spec("a"), AuditInfo())
    with pytest.raises(BadRequest):
        manager.submit(spec("a", 2, refuse=True), AuditInfo())
    assert manager.find("a").spec.payload["n"] == 1
    assert len(versions(db, "a")) == 1
    assert probe.log == [("start", "a", 1)]


def test_an_update_that_does_not_start_brings_the_old_one_back(manager, db, probe):
    manager.submit(spec("a"), AuditInfo())
    with pytest.raises(RuntimeError):
        manager.submit(spec("a", 2, broken=True), AuditInfo())
    assert manager.find("a").spec.payload["n"] == 1
    assert [each["n"] for each in versions(db, "a")] == [1, 2, 1]
    assert probe.log[-1] == ("start", "a", 1)


def test_a_new_one_that_does_not_start_is_not_started_by_the_next_leader(manager, db):
    with pytest.raises(RuntimeError):
        manager.submit(spec("a", broken=True), AuditInfo())
    assert manager.ids() == []
    assert versions(db, "a")[0]["type"] == "noop"


def test_without_a_database_nothing_is_replaced(manager, db, probe):
    manager.submit(spec("a"), AuditInfo())
    db.close()
    with pytest.raises(Unavailable):
        manager.submit(spec("a", 2), AuditInfo())
    assert manager.find("a").spec.payload["n"] == 1 and len(probe.log) == 1


def test_one_that_is_slow_to_stop_keeps_no_other_waiting(manager, probe):
    manager.submit(spec("slow", slow=True), AuditInfo())
    waiting = threading.Thread(target=manager.suspend, args=("slow",))
    waiting.start()
    manager.submit(spec("quick"), AuditInfo())
    manager.suspend("quick")
    manager.terminate("quick")
    assert manager.ids() == ["slow"] and manager.find("slow").spec.suspended is False
    assert waiting.is_alive()
    probe.gate.set()
    waiting.join(20)
    assert manager.find("slow").spec.suspended is True


def test_changes_of_one_come_one_after_the_other(manager, db, probe):
    manager.submit(spec("a", slow=True), AuditInfo())
    threads = [threading.Thread(target=manager.submit, args=(spec("a", n), AuditInfo())) for n in range(2, 8)]
    for thread in threads:
        thread.start()
    probe.gate.set()
    for thread in threads:
        thread.join(20)
    starts = [n for what, _, n, *_ in probe.log if what == "start"]
    stops = [n for what, _, n, *_ in probe.log if what == "stop"]
    assert sorted(starts) == list(range(1, 8)) and stops == starts[:-1]
    assert [each["n"] for each in versions(db, "a")] == starts[::-1]


def test_the_next_leader_starts_the_last_versions_and_no_tombstone(manager, db, probe):
    manager.submit(spec("a"), AuditInfo())
    manager.submit(spec("a", 2), AuditInfo())
    manager.submit(spec("gone"), AuditInfo())
    manager.terminate("gone")
    manager.submit(noop_spec("idle", ["d"]), AuditInfo())
    manager.stop()
    assert probe.log[-1] == ("stop", "a", 2, False)
    assert manager.ids() == []
    after = SupervisorManager(lambda: SimpleNamespace(db=db, settings=SETTINGS))
    after.start(lead(db))
    assert after.ids() == ["autocompact__a"]


def test_a_leader_that_was_replaced_writes_nothing(manager, db):
    manager.submit(spec("a"), AuditInfo())
    lead(db)
    with pytest.raises(Unavailable):
        manager.submit(spec("a", 2), AuditInfo())
    assert len(versions(db, "a")) == 1 and manager.find("a").spec.payload["n"] == 1


def test_only_a_post_writes_an_audit_row(manager, db):
    manager.submit(spec("a"), AuditInfo(author="me"))
    manager.suspend("a")
    manager.terminate("a")
    with db.transaction() as tx:
        (row,) = tx.all("config.newest", key="a", type="supervisor", most=9)
    entry = orjson.loads(row["payload"])
    assert entry["payload"] == '"Update supervisor[a] for datasource[[a]]"'
    assert entry["auditInfo"]["author"] == "me"


def test_one_stored_spec_that_cannot_be_read_keeps_no_other_from_starting(db):
    with db.transaction() as tx:
        tx.run("supervisors.insert", id="bad", created="2024", payload=b'{"type":"from_another_extension"}')
        good = load_supervisor({"type": "autocompact", "spec": {"dataSource": "good"}})
        store.append(tx, good.id, good, "2024")
    manager = SupervisorManager(lambda: SimpleNamespace(db=db, settings=SETTINGS))
    manager.start(lead(db))
    assert manager.ids() == ["autocompact__good"]
