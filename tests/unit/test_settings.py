"""Settings: where they come from, what stops the start, what is kept from view."""

from __future__ import annotations

from pathlib import Path

import pytest

from overlord.settings import CATALOG, SettingError, Settings
from overlord.settings.kinds import kinds
from overlord.settings.render import default_toml, settings_page
from overlord.settings.sources import profile_names, read_properties

ROOT = Path(__file__).parents[2]
STOCK = Path(__file__).parent / "stock"


def load(*configs, env=None, **flags):
    return Settings.load(configs, env or {}, {name.replace("__", "."): value for name, value in flags.items()})


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("int", "2_000", 2000),
        ("int", 7, 7),
        ("bool", "TRUE", True),
        ("bool", False, False),
        ("period", "PT1M", 60_000),
        ("period", "P1DT0.5S", 86_400_500),
        ("period", "P1W", 604_800_000),
        ("bytes", "1024", 1024),
        ("bytes", "500m", 500_000_000),
        ("bytes", "1GiB", 2**30),
        ("bytes", "1Ki", 1024),
        ("bytes", "2kb", 2000),
        ("bytes", "-1", -1),
        ("list", '["a", "b"]', ("a", "b")),
        ("list", "a, b", ("a", "b")),
        ("list", ["a"], ("a",)),
        ("map", '{"a": 1}', {"a": 1}),
        ("map", "", {}),
        ("path", "/a/b", Path("/a/b")),
        ("float", "0.5", 0.5),
    ],
)
def test_a_value_is_read_in_druids_notation(kind, text, value):
    assert kinds[kind].read(text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("int", "a"),
        ("int", True),
        ("int", "1.5"),
        ("bool", "yes"),
        ("bool", 1),
        ("period", "P1M"),
        ("period", "60"),
        ("period", 60),
        ("bytes", "1 iB"),
        ("bytes", "-5"),
        ("bytes", "1.5g"),
        ("list", "[1]"),
        ("list", "[a"),
        ("list", 5),
        ("map", "[1]"),
        ("map", "{a"),
        ("path", " "),
        ("float", "x"),
        ("str", ["a"]),
    ],
)
def test_a_bad_value_says_what_was_expected(kind, text):
    with pytest.raises(ValueError, match=r"expected|has years"):
        kinds[kind].read(text)


@pytest.mark.parametrize(("kind", "value"), [("period", 90_500), ("period", 60_000), ("bytes", 2**20), ("bytes", 1500)])
def test_what_is_written_reads_back(kind, value):
    assert kinds[kind].read(kinds[kind].write(value)) == value


def test_a_later_source_goes_before_an_earlier(tmp_path):
    first, second = tmp_path / "a.toml", tmp_path / "b.properties"
    first.write_text('"druid.worker.capacity" = 5\n"ovl.http.threads" = 5\n"ovl.http.waitingThreads" = 5\n')
    second.write_text("druid.worker.capacity=6\novl.http.threads=6\n")
    settings = load(
        first, second, env={"druid_worker_capacity": "7", "PATH": "/bin"}, **{"druid.worker.capacity": None}
    )
    assert settings["druid.worker.capacity"] == 7
    assert settings["ovl.http.threads"] == 6
    assert settings["ovl.http.waitingThreads"] == 5
    assert load(first, druid__worker__capacity=8)["druid.worker.capacity"] == 8
    assert settings.given["ovl.http.threads"] == f"{second}:2"


def test_nested_toml_tables_are_the_flat_names_and_a_map_stays_one(tmp_path):
    file = tmp_path / "a.toml"
    file.write_text("[druid.indexer.task.default.context]\npriority = 5\n[druid.worker]\ncapacity = 2\n")
    settings = load(file)
    assert settings["druid.indexer.task.default.context"] == {"priority": 5}
    assert settings["druid.worker.capacity"] == 2


def test_every_profile_loads():
    assert profile_names() == ["ci", "dev", "production"]
    for name in profile_names():
        assert load(name).given


def test_java_properties_are_read_as_java_reads_them():
    text = (
        "# comment\n! comment\n\n  a.b = 1 \nc:2\nd 3\ne\\ f\\=g = h\\u0041\\t|\n"
        "long = one, \\\n    two, \\\n    three\nempty=\nlast=\\\\\nopen=x\\\n"
    )
    got = {item.name: item.value for item in read_properties(text, "f")}
    assert got == {
        "a.b": "1 ", "c": "2", "d": "3", "e f=g": "hA\t|",
        "long": "one, two, three", "empty": "", "last": "\\", "open": "x",
    }  # fmt: skip
    assert [item.where for item in read_properties(text, "f")][-2:] == ["f:12", "f:13"]


def test_a_property_may_stand_for_the_environment_or_a_file(tmp_path, monkeypatch):
    secret = tmp_path / "secret"
    secret.write_text("pass")
    monkeypatch.setenv("WHO", "me")
    text = f"a=${{env:WHO}}\nb=${{file:UTF-8:{secret}}}\nc=${{env:NOBODY:-x}}\nd=${{sys:user.home}}/y\n"
    assert [item.value for item in read_properties(text, "f")] == ["me", "pass", "x", f"{Path.home()}/y"]
    with pytest.raises(SettingError, match=r"f:1: .*stands for nothing"):
        read_properties("a=${env:NOBODY}", "f")


def test_files_of_a_stock_cluster_give_warnings_only():
    files = [STOCK / f"{name}.runtime.properties" for name in ("common", "middleManager", "overlord")]
    settings = load(*files)
    assert settings["druid.indexer.queue.startDelay"] == 60_000
    assert settings["druid.storage.storageDirectory"] == Path("var/druid/segments").absolute()
    assert settings.dsn() is None
    unused = [note for note in settings.warnings if "not used here" in note]
    assert len(unused) == 1
    assert "druid.zk.service.host" in unused[0]
    assert "druid.indexer.fork.property.druid.processing.numThreads" in unused[0]
    assert any("httpRemote is taken as local" in note for note in settings.warnings)
    assert any("Derby" in note for note in settings.warnings)


def test_an_unknown_name_stops_the_start_and_names_the_nearest_with_its_place(tmp_path):
    file = tmp_path / "runtime.properties"
    file.write_text("# x\ndruid.indexer.queue.maxsize=5\novl.http.thread=x\n")
    with pytest.raises(SettingError) as caught:
        load(file)
    first, second = caught.value.message.splitlines()
    assert first.startswith(f"{file}:2: ")
    assert "'druid.indexer.queue.maxSize'" in first
    assert "'ovl.http.threads'" in second


def test_all_bad_values_are_told_at_once_with_their_place(tmp_path):
    file = tmp_path / "a.toml"
    file.write_text('"druid.worker.capacity" = "many"\n\n[ovl.http]\nthreads = 0\n')
    with pytest.raises(SettingError) as caught:
        load(file, env={"druid_plaintextPort": "99999"})
    message = caught.value.message
    assert f"{file}:1: druid.worker.capacity: expected a whole number" in message
    assert f"{file}:4: ovl.http.threads: must not be below 1" in message
    assert "environment variable druid_plaintextPort: druid.plaintextPort: must not be above 65535" in message


@pytest.mark.parametrize(("name", "text"), [("a.toml", "= 5"), ("b.toml", "a = [")])
def test_a_broken_toml_file_is_named(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(SettingError, match=name):
        load(tmp_path / name)


def test_a_missing_config_names_the_profiles():
    with pytest.raises(SettingError) as caught:
        load("nowhere")
    assert "production" in caught.value.hint


@pytest.mark.parametrize(
    ("uri", "dsn"),
    [
        ("jdbc:postgresql://h:5433/db", "postgresql://u:p%40%2F@h:5433/db"),
        ("jdbc:postgresql://h/db?ssl=true&x=1", "postgresql://u:p%40%2F@h/db?sslmode=require"),
        ("jdbc:postgresql:db", "postgresql://u:p%40%2F@localhost:5432/db"),
        ("jdbc:postgresql://h/db?user=a&currentSchema=s", "postgresql://a:p%40%2F@h/db?options=-csearch_path%3Ds"),
    ],
)
def test_the_jdbc_uri_becomes_a_dsn(uri, dsn):
    prefix = "druid.metadata.storage.connector."
    settings = load(**{prefix + "connectURI": uri, prefix + "user": "u", prefix + "password": "p@/"})
    assert settings.dsn() == dsn


def test_another_database_stops_the_start():
    with pytest.raises(SettingError, match="not of a Postgres"):
        load(**{"druid.metadata.storage.connector.connectURI": "jdbc:mysql://h/db"})
    with pytest.raises(SettingError, match="expected one of postgresql"):
        load(**{"druid.metadata.storage.type": "mysql"})


def test_a_password_may_come_from_a_provider(monkeypatch):
    monkeypatch.setenv("PW", "s3cret")
    name = "druid.metadata.storage.connector.password"
    assert load(**{name: '{"type": "environment", "variable": "PW"}'})[name] == "s3cret"
    assert load(**{name: '{"type": "default", "password": "x"}'})[name] == "x"
    with pytest.raises(SettingError, match="'NOPE'"):
        load(**{name: '{"type": "environment", "variable": "NOPE"}'})


def test_passwords_are_shown_nowhere():
    settings = load(
        **{
            "ovl.metadata.dsn": "postgresql://u:s3cret@h/db",
            "druid.metadata.storage.connector.password": "s3cret",
            "druid.metadata.storage.connector.connectURI": "jdbc:postgresql://h/db?password=s3cret",
            "druid.s3.secretKey": "s3cret",
        }
    )
    public = settings.public_properties()
    assert "s3cret" not in repr(settings) + str(public)
    assert public["druid.plaintextPort"] == "8090"
    assert public["druid.indexer.storage.recentlyFinishedThreshold"] == "P1D"
    assert "ovl.metadata.dsn" not in settings.subset("ovl.", "druid.storage.")


def test_changing_one_value_works_out_the_derived_ones_again():
    settings = load()
    assert settings["druid.worker.capacity"] >= 3
    changed = settings.with_(**{"ovl.data.dir": "/data", "druid.worker.capacity": 1})
    assert changed["druid.storage.storageDirectory"] == Path("/data/segments")
    assert changed["ovl.task.memoryBytes"] >= settings["ovl.task.memoryBytes"]
    assert settings["ovl.data.dir"] != Path("/data")
    with pytest.raises(SettingError, match="nearest"):
        settings.with_(**{"ovl.data.di": "/data"})


def test_an_unknown_name_asked_for_is_a_key_error_with_the_nearest():
    with pytest.raises(KeyError, match=r"ovl\.http\.threads"):
        load()["ovl.http.thread"]


def test_table_names_follow_the_base_and_are_folded():
    settings = load(
        **{"druid.metadata.storage.tables.base": "x", "druid.metadata.storage.tables.pendingSegments": "a_pendingSegs"}
    )
    tables = settings.tables()
    assert tables["tasks"] == "x_tasks"
    assert tables["tasklocks"] == "x_tasklocks"
    assert tables["pendingsegments"] == "a_pendingsegs"


def test_the_default_file_and_the_docs_follow_the_catalogue():
    assert (ROOT / "config/default.toml").read_text() == default_toml(), "run `make docs`"
    assert (ROOT / "docs/settings.md").read_text() == settings_page(), "run `make docs`"


def test_the_default_file_loads_to_the_defaults():
    assert dict(load(ROOT / "config/default.toml")) == dict(load())


def test_every_setting_has_help_and_numbers_have_a_unit():
    for setting in CATALOG.values():
        assert setting.help.endswith("."), setting.name
        assert setting.unit or setting.kind == "bool", setting.name


def test_deleting_old_logs_needs_an_age():
    with pytest.raises(SettingError, match="durationToRetain"):
        load(**{"druid.indexer.logs.kill.enabled": "true"})
