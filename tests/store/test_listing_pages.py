"""Our own parameters of listings, over HTTP and real rows."""

from __future__ import annotations

from types import SimpleNamespace

import orjson
import psycopg
import pytest

from overlord.app import create_app
from overlord.model.instant import format_instant, now_ms

V = "/druid/indexer/v1"
NEXT = "X-Ovl-Next-Cursor"
MINUTE = 60_000


@pytest.fixture
def begun():
    return now_ms() - 600 * MINUTE


@pytest.fixture
def put(dsn, begun):
    """Insert a task: `put(id, minute, state)`, created so many minutes after `begun`."""

    def insert(task_id, minute, state="SUCCESS", *, datasource="ds", task_type="noop", duration=-1, group=None):
        created = format_instant(begun + minute * MINUTE)
        ended = state in ("SUCCESS", "FAILED")
        status = {"id": task_id, "status": state if ended else "RUNNING", "duration": duration, "errorMsg": None}
        same = (task_id, created, datasource, task_type, group or task_id)
        with psycopg.connect(dsn, autocommit=True) as db:
            db.execute(
                "INSERT INTO druid_tasks (id, created_date, datasource, type, group_id, payload, status_payload,"
                " active) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
                (*same, b"{}", orjson.dumps(status), not ended),
            )
            db.execute(
                "INSERT INTO ovl_tasks (id, created_date, datasource, type, group_id, availability_group, priority,"
                " state) VALUES (%s, %s, %s, %s, %s, 'g', 0, %s)",
                (*same, state),
            )

    return insert


@pytest.fixture
def client(db):
    settings = {"druid.indexer.storage.recentlyFinishedThreshold": 24 * 60 * MINUTE}
    leader = SimpleNamespace(is_leader=lambda: True)
    return create_app(SimpleNamespace(db=db, settings=settings, leader=leader)).test_client()


def ids(answer):
    assert answer.status_code == 200, answer.text
    return [task["id"] for task in answer.json]


def walk(client, query, limit):
    """All pages of a listing; what comes between two of them is up to the caller."""
    cursor = ""
    while True:
        answer = client.get(f"{V}/{query}&limit={limit}{cursor}")
        yield ids(answer)
        if NEXT not in answer.headers:
            return
        cursor = "&cursor=" + answer.headers[NEXT]


def test_without_parameters_of_ours_there_are_no_headers_of_ours(client, put):
    put("a", 1)
    answer = client.get(f"{V}/tasks?max=1")
    assert ids(answer) == ["a"]
    assert NEXT not in answer.headers and "Link" not in answer.headers


@pytest.mark.parametrize(
    ("sort", "wanted"),
    [
        ("createdTime", "a b c d e"),
        ("-createdTime", "e d c b a"),
        ("id", "a b c d e"),
        ("-id", "e d c b a"),
        ("dataSource", "b d a c e"),
        ("type", "a c d e b"),
        ("-duration", "d a b e c"),
        ("duration", "c e b a d"),
        ("-statusCode", "b a d e c"),
        ("groupId", "e d c b a"),
    ],
)
def test_pages_in_any_order_hold_each_task_once(client, put, sort, wanted):
    put("a", 1, datasource="y", duration=700, group="5")
    put("b", 2, datasource="x", duration=30, task_type="zzz", group="4")
    put("c", 3, "WAITING", datasource="y", group="3")
    put("d", 4, "RUNNING", datasource="x", group="2")
    put("e", 5, "FAILED", datasource="y", duration=0, group="1")
    if sort in ("-duration", "duration"):  # one that still runs has no duration: -1
        wanted = "a b e d c" if sort == "-duration" else "c d e b a"
    if sort == "-statusCode":
        wanted = "b a d c e"
    for limit in (1, 2, 3, 5):
        pages = list(walk(client, f"tasks?sort={sort}", limit))
        assert [name for page in pages for name in page] == wanted.split()
        assert all(len(page) == limit for page in pages[:-1])
    assert ids(client.get(f"{V}/tasks?sort={sort}")) == wanted.split()


def test_a_walk_is_not_disturbed_by_new_tasks_nor_by_ends(client, put, dsn):
    for minute in range(6):
        put(f"t{minute}", minute, "RUNNING" if minute == 1 else "SUCCESS")
    seen = []
    for number, page in enumerate(walk(client, "tasks?sort=-createdTime", 2)):
        seen += page
        put(f"new{number}", 20 + number)
        with psycopg.connect(dsn, autocommit=True) as db:
            db.execute("UPDATE druid_tasks SET active = false WHERE id = 't1'")
            db.execute("UPDATE ovl_tasks SET state = 'SUCCESS' WHERE id = 't1'")
    assert seen == ["t5", "t4", "t3", "t2", "t1", "t0"]


def test_the_link_header_leads_to_the_next_page(client, put):
    for minute in range(3):
        put(f"t{minute}", minute, datasource="d s&x")
    answer = client.get(f"{V}/tasks?limit=2&datasource=d+s%26x&state=complete")
    link, rel = answer.headers["Link"].split("; ")
    assert (ids(answer), rel) == (["t2", "t1"], 'rel="next"')
    last = client.get(link.strip("<>"))
    assert ids(last) == ["t0"] and "Link" not in last.headers


def test_search_looks_into_id_datasource_type_and_group_whatever_the_case(client, put):
    put("one_KEY", 1)
    put("two", 2, "RUNNING", datasource="some_key")
    put("three", 3, task_type="keyed", datasource="other")
    put("four", 4, group="xkEyx")
    put("five", 5)
    assert ids(client.get(f"{V}/tasks?search=Key&sort=createdTime")) == ["one_KEY", "two", "three", "four"]
    assert ids(client.get(f"{V}/tasks?search=key")) == ["four", "three", "one_KEY", "two"]
    assert ids(client.get(f"{V}/tasks?search=key&max=1")) == ["four", "two"]
    assert ids(client.get(f"{V}/completeTasks?search=key&n=2")) == ["four", "three"]
    assert ids(client.get(f"{V}/tasks?search=%25")) == []
    assert ids(client.get(f"{V}/runningTasks?search=key&limit=5")) == ["two"]


def test_created_between_takes_instants_for_what_they_are_and_reaches_beyond_a_day(client, put, begun):
    put("old", -3000)
    put("a", 1)
    put("b", 2, "RUNNING")
    put("c", 3)
    until = format_instant(begun + 3 * MINUTE)
    assert ids(client.get(f"{V}/tasks")) == ["c", "a", "b"]
    assert ids(client.get(f"{V}/tasks?createdBetween=2000-01-01_{until}")) == ["a", "old", "b"]
    assert ids(client.get(f"{V}/tasks?createdBetween={format_instant(begun)}_{until}&sort=-id")) == ["b", "a"]
    assert ids(client.get(f"{V}/tasks?createdBetween=2000-01-01/2100-01-01&createdTimeInterval=P1D/{until}")) == [
        "c",
        "a",
        "b",
    ]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=-1",
        "limit=x",
        "sort=",
        "sort=-",
        "sort=runTime",
        "cursor=",
        "cursor=x",
        "cursor=%F0%9F%98%80",
        "cursor=AAAAAAAAAAAAAAAAAAAAAAAA",
        "limit=1&max=1",
        "createdBetween=x",
        "createdBetween=2001_2000",
        "search=%00",
    ],
)
def test_what_cannot_be_read_is_400_and_says_so(client, query):
    answer = client.get(f"{V}/tasks?{query}")
    assert answer.status_code == 400 and answer.json["error"]


def test_a_cursor_is_of_its_listing_alone(client, put):
    for minute in range(4):
        put(f"t{minute}", minute)
    cursor = client.get(f"{V}/tasks?limit=1").headers[NEXT]
    assert ids(client.get(f"{V}/tasks?limit=3&cursor={cursor}")) == ["t2", "t1", "t0"]
    assert ids(client.get(f"{V}/tasks?cursor={cursor}")) == ["t2", "t1", "t0"]
    damaged = ("B" if cursor[20] == "A" else "A").join((cursor[:20], cursor[21:]))
    for other in (f"sort=id&cursor={cursor}", f"datasource=ds&cursor={cursor}", f"cursor={damaged}"):
        answer = client.get(f"{V}/tasks?{other}")
        assert answer.status_code == 400 and answer.headers["X-Ovl-Where"] == "cursor"
    assert client.get(f"{V}/completeTasks?cursor={cursor}").status_code == 400
