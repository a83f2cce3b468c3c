"""The compaction configuration over Postgres: its row, its audit rows, its routes."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from overlord.app import create_app
from overlord.model.audit import AuditInfo
from overlord.model.compaction import NAME, CompactionConfig
from overlord.schemas.compaction_config import DatasourceCompaction, load_config
from overlord.settings import Settings
from overlord.store import compaction, config, tasks
from overlord.supervisors.manager import SupervisorManager

FIXTURES = Path(__file__).parent / "fixtures"
STORED = next(row["payload"] for row in json.loads((FIXTURES / "config.json").read_text()) if row["name"] == NAME)
AUDITED = [row for row in json.loads((FIXTURES / "audit.json").read_text()) if row["type"] == NAME]
V = "/druid/indexer/v1/compaction"


@pytest.fixture
def client(db):
    leader = SimpleNamespace(is_leader=lambda: True)
    supervisors = SupervisorManager(lambda: SimpleNamespace(db=db))
    return create_app(SimpleNamespace(db=db, leader=leader, supervisors=supervisors)).test_client()


def post(client, path, body, **headers):
    return client.post(V + path, json=body, headers=headers)


def audits(db):
    with db.transaction() as tx:
        return config.history(tx, NAME, "0", "9")


def test_a_row_of_a_stock_druid_is_read_and_written_as_it_was():
    assert json.dumps(CompactionConfig.of(STORED).to_json()) == json.dumps(STORED)


def test_what_druid_stored_is_what_druid_reads_again():
    (stored,) = STORED["compactionConfigs"]
    assert json.dumps(load_config(DatasourceCompaction, stored)) == json.dumps(stored)


def test_row_and_audit_row_are_druids(db, client):
    given = {
        "dataSource": "sem_t_zz",
        "skipOffsetFromLatest": "P3650D",
        "tuningConfig": {"partitionsSpec": {"type": "dynamic"}},
    }
    headers = {"X-Druid-Author": "sem", "X-Druid-Comment": "sem lab"}
    assert post(client, "/config/datasources/sem_t_zz", given, **headers).json == {"success": True}
    with db.transaction() as tx:
        assert json.dumps(config.get(tx, NAME)) == json.dumps(STORED)
    (entry,) = audits(db)
    expected = AUDITED[0]["payload"] | {"auditTime": entry["auditTime"]}
    assert json.dumps(entry) == json.dumps(expected)


def test_what_changes_nothing_leaves_no_trace(db, client):
    for _ in range(2):
        assert post(client, "/config/datasources/a", {"dataSource": "a"}).status_code == 200
    assert len(audits(db)) == 1


def test_an_older_row_is_completed(db, client):
    with db.transaction() as tx:
        old = {"compactionConfigs": [{"dataSource": "a"}], "compactionTaskSlotRatio": 0.5, "useAutoScaleSlots": True}
        config.put(tx, NAME, old, AuditInfo(), "2024")
    cluster = client.get(V + "/config/cluster").json
    assert cluster["compactionTaskSlotRatio"] == 0.5
    assert cluster["engine"] == "native"
    assert post(client, "/config/datasources/b", {"dataSource": "b"}).status_code == 200
    assert [each["dataSource"] for each in client.get(V + "/config/datasources").json["compactionConfigs"]] == [
        "a",
        "b",
    ]


def test_changes_at_once_are_all_kept(db):
    def add(number):
        new = load_config(DatasourceCompaction, {"dataSource": f"d{number}"})
        compaction.change(db, lambda now: now.with_datasource(new), AuditInfo())

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with db.transaction() as tx:
        assert sorted(compaction.get(tx).datasources) == [f"d{number}" for number in range(8)]
    assert len(audits(db)) == 8


def test_another_writers_row_is_not_overwritten(db):
    """As a stock Coordinator writes between our reading and our writing."""
    turns = []

    def to(now):
        if not turns:
            with db.transaction() as tx:
                config.put(tx, NAME, now.with_datasource({"dataSource": "theirs"}).to_json(), AuditInfo(), "2024")
        turns.append(now)
        return now.with_datasource({"dataSource": "ours"})

    assert compaction.change(db, to, AuditInfo())
    with db.transaction() as tx:
        assert list(compaction.get(tx).datasources) == ["theirs", "ours"]
    assert len(turns) == 2


def test_history_tells_changes_of_the_cluster_and_the_end_and_no_others(client):
    post(client, "/config/cluster", {"maxCompactionTaskSlots": 1})
    post(client, "/config/datasources/a", {"dataSource": "a"})
    post(client, "/config/datasources/other", {"dataSource": "other"})
    post(client, "/config/cluster", {"maxCompactionTaskSlots": 2})
    client.delete(V + "/config/datasources/a")
    post(client, "/config/cluster", {"maxCompactionTaskSlots": 3})
    entries = client.get(V + "/config/datasources/a/history").json["entries"]
    slots = [entry["globalConfig"]["maxCompactionTaskSlots"] for entry in entries]
    assert slots == [1, 2, 2]
    assert [entry["compactionConfig"] is None for entry in entries] == [False, False, True]
    assert client.get(V + "/config/datasources/a/history?count=0").status_code == 400
    assert client.get(V + "/config/datasources/b/history").json == {"entries": []}


REFUSED = [
    (
        "/config/datasources/a",
        {"dataSource": "b"},
        400,
        "DataSource in spec[b] does not match DataSource in path[a]",
    ),
    ("/config/datasources/a", {}, 400, "problem: dataSource"),
    ("/config/datasources/a", [], 400, "Array value"),
    (
        "/config/datasources/a",
        {"dataSource": "a", "engine": "spark"},
        400,
        "problem: No enum constant org.apache.druid.indexer.CompactionEngine.SPARK",
    ),
    ("/config/datasources/a", {"dataSource": "a", "engine": "msq"}, 400, "MSQ engine"),
    ("/config/datasources/a", {"dataSource": "a", "skipOffsetFromLatest": "x"}, 400, "x"),
    (
        "/config/cluster",
        {"engine": "msq"},
        400,
        "problem: MSQ Compaction engine can be used only with compaction supervisors.",
    ),
    ("/config/cluster", {"compactionPolicy": {"type": "no"}}, 400, "type id 'no'"),
    ("/config/cluster", {"compactionTaskSlotRatio": "x"}, 400, "Double"),
    ("/config/cluster", 5, 400, "Number value"),
    ("/simulate", {"maxCompactionTaskSlots": "x"}, 400, "int"),
]


def test_a_bad_configuration_is_refused(db, client):
    for path, body, status, text in REFUSED:
        answer = post(client, path, body)
        assert answer.status_code == status, (path, body)
        assert text in answer.text.replace("\\", ""), (path, body)
    assert audits(db) == []


@pytest.fixture
def supervised(db):
    """A leader whose supervisors compact."""
    settings = Settings.load(env={}, flags={})
    services = SimpleNamespace(db=db, settings=settings, leader=SimpleNamespace(is_leader=lambda: True))
    services.supervisors = SupervisorManager(lambda: services)
    with db.transaction() as tx:
        epoch = tasks.lead(tx, "http://here")
    services.supervisors.start(epoch)
    client = create_app(services).test_client()
    assert post(client, "/config/cluster", {"useSupervisors": True, "engine": "msq"}).status_code == 200
    yield client
    services.supervisors.stop()


def test_with_supervisors_on_the_configurations_are_theirs(supervised):
    client, path = supervised, "/config/datasources/a"
    assert client.get(V + "/isSupervisorEnabled").json is True
    missing = "Compaction supervisor for datasource[a] does not exist"
    for answer in (client.get(V + path), client.delete(V + path)):
        assert (answer.status_code, answer.json["errorMessage"]) == (404, missing)
    for body in ({}, {}, {"skipOffsetFromLatest": "P2D"}):  # the same twice is one version
        assert post(client, path, {"dataSource": "a", **body}).json == {"success": True}
    config = client.get(V + path).json
    assert (config["type"], config["skipOffsetFromLatest"]) == ("inline", "P2D")
    assert client.get(V + "/config/datasources").json == {"compactionConfigs": [config]}
    assert client.get("/druid/indexer/v1/supervisor/autocompact__a").json["spec"] == config
    assert client.delete(V + path).json == {"success": True}
    entries = client.get(V + path + "/history").json["entries"]
    assert [entry["compactionConfig"]["skipOffsetFromLatest"] for entry in entries] == ["P2D", "P1D"]
    assert {(entry["globalConfig"], entry["auditInfo"]) for entry in entries} == {(None, None)}
    assert len(client.get(V + path + "/history?count=1").json["entries"]) == 1
    assert client.get(V + path + "/history?interval=2000/2001").json == {"entries": []}


def test_with_supervisors_on_an_unknown_datasource_has_a_status_too(supervised):
    answer = supervised.get(V + "/status/datasources/a").json
    assert (answer["dataSource"], answer["scheduleStatus"]) == ("a", "NOT_ENABLED")
    assert supervised.get(V + "/status/datasources").json == {"latestStatus": []}
