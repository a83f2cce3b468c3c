"""The settings of a server: typed values under Druid's names, put together from files, environment and flags.

>>> settings = Settings.load(["production"], env={"druid_worker_capacity": "2"}, flags={"ovl.data.dir": "/srv"})
>>> settings["druid.worker.capacity"]
2

Order, the later goes first: defaults, `--config` files in the order given, environment, flags.
"""

from __future__ import annotations

import difflib
import json
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overlord.errors import SettingError
from overlord.model.jdbc import NotPostgres, dsn_from_jdbc
from overlord.settings.catalog import CATALOG, SECTIONS, TABLES, Setting
from overlord.settings.druid_keys import druid_names, is_druid_key
from overlord.settings.sources import Given, read_config, read_environment, read_flags

__all__ = ["CATALOG", "SECTIONS", "Setting", "SettingError", "Settings"]

_log = logging.getLogger(__name__)
_MASK = "***"


@dataclass(frozen=True, repr=False, eq=False)
class Settings(Mapping[str, Any]):
    """All settings, frozen. Every name of the catalogue is there; an unset one is None.

    Attributes
    ----------
    typed : dict
        Typed values by name: periods as int milliseconds, sizes as int bytes, paths as absolute `Path`.
    given : dict
        Those that were set, by whom it may concern: name to `file:line`, variable or flag.
    unused : dict
        Properties of Druid's that were set and that nothing here uses.
    warnings : tuple of str
        What to tell the operator once, at the start.
    """

    typed: Mapping[str, Any]
    given: Mapping[str, str]
    unused: Mapping[str, str]
    warnings: tuple[str, ...] = ()

    @classmethod
    def load(
        cls,
        config_files: Iterable[str | Path] = (),
        env: Mapping[str, str] | None = None,
        flags: Mapping[str, Any] | None = None,
    ) -> Settings:
        """Put the settings together.

        Parameters
        ----------
        config_files : iterable of str or Path
            TOML or properties files, or names of profiles; a later one goes before an earlier.
        env : mapping, optional
            The environment; `os.environ` unless given.
        flags : mapping, optional
            Values under their setting's name; None means not given.

        Raises
        ------
        SettingError
            For a name that neither Druid nor we know, and for a bad value; all of them in one message.
        """
        items: list[Given] = []
        for config in config_files:
            items += read_config(config, _is_map)
        items += read_environment(os.environ if env is None else env)
        items += read_flags(flags or {})
        return _assemble(items)

    def with_(self, **changes: Any) -> Settings:
        """The same with some values changed: typed ones, or texts in Druid's notation."""
        for name in changes:
            if name not in CATALOG:
                raise SettingError(_unknown(name))
        kept = {name: self.typed[name] for name in self.given}
        kept.update({name: _typed(CATALOG[name], value, "with_") for name, value in changes.items()})
        given = {**self.given, **dict.fromkeys(changes, "with_")}
        return Settings(_filled(kept), given, self.unused, self.warnings)

    def __getitem__(self, name: str) -> Any:
        try:
            return self.typed[name]
        except KeyError:
            raise KeyError(_unknown(name)) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.typed)

    def __len__(self) -> int:
        return len(self.typed)

    def __repr__(self) -> str:
        shown = {name: self.shown(name) for name in self.given if name in CATALOG}
        return f"Settings({', '.join(f'{name}={value}' for name, value in shown.items())})"

    def shown(self, name: str) -> str:
        """A value in Druid's notation, a secret as `***`."""
        setting, value = CATALOG[name], self.typed[name]
        if setting.secret and value:
            return _MASK
        return _without_password(setting.write(value))

    def subset(self, *prefixes: str) -> dict[str, Any]:
        """The values whose names begin so; secrets are left out. For worker processes."""
        return {
            name: value for name, value in self.typed.items() if name.startswith(prefixes) and not CATALOG[name].secret
        }

    def public_properties(self) -> dict[str, str]:
        """Everything set or defaulted, as texts, for `/status/properties`; what may hold a secret is left out."""
        everything = {name: self.shown(name) for name in CATALOG if self.typed[name] is not None}
        everything.update({name: _without_password(value) for name, value in self.unused.items()})
        hidden = [part.lower() for part in self["druid.server.hiddenProperties"]]
        return {
            name: everything[name]
            for name in sorted(everything)
            if not any(part in name.lower() for part in hidden) and not (name in CATALOG and CATALOG[name].secret)
        }

    def dsn(self) -> str | None:
        """DSN of the Postgres to use, or None for the embedded one."""
        if self["ovl.metadata.dsn"]:
            return str(self["ovl.metadata.dsn"])
        uri = self["druid.metadata.storage.connector.connectURI"]
        if not uri:
            return None
        prefix = "druid.metadata.storage.connector."
        try:
            return dsn_from_jdbc(uri, self[prefix + "user"], self[prefix + "password"])
        except NotPostgres as error:
            raise SettingError(
                f"{prefix}connectURI {str(error)!r} is not of a Postgres",
                hint="only jdbc:postgresql://host:port/db is supported; leave it out for the embedded Postgres",
            ) from None

    def tables(self) -> dict[str, str]:
        """Name of every Druid table by its plain name (`tasks`, `pendingsegments`), folded as Postgres folds it."""
        return {
            suffix.lower(): str(self[f"druid.metadata.storage.tables.{key}"]).lower() for key, suffix in TABLES.items()
        }


def _assemble(items: list[Given]) -> Settings:
    """Typed settings from raw ones, all faults collected before any is raised."""
    kept: dict[str, Any] = {}
    given: dict[str, str] = {}
    unused: dict[str, str] = {}
    notes: list[str] = []
    faults: list[str] = []
    for item in _without_foreign_stores(items, notes):
        setting = CATALOG.get(item.name)
        if setting is None:
            if is_druid_key(item.name):
                unused[item.name] = item.value if isinstance(item.value, str) else json.dumps(item.value, default=str)
            else:
                faults.append(f"{item.where}: {_unknown(item.name)}")
            continue
        value = item.value
        if isinstance(value, str) and value in setting.instead:
            ours = setting.instead[value]
            notes.append(f"{item.where}: {item.name} = {value} is taken as {ours}: {setting.help}")
            value = ours
        try:
            kept[item.name] = _typed(setting, value, item.where)
        except SettingError as error:
            faults.append(error.message)
            continue
        given[item.name] = item.where
    if faults:
        raise SettingError("\n".join(faults))
    if unused:
        notes.append(f"{len(unused)} settings of Druid's are not used here: {', '.join(sorted(unused))}")
    return _checked(Settings(_filled(kept), given, unused, tuple(notes)))


def _without_foreign_stores(items: list[Given], notes: list[str]) -> list[Given]:
    """Leave out what belongs to a stock Druid's Derby: here the embedded Postgres takes its place."""
    last = {item.name: item.value for item in items}
    uri = last.get("druid.metadata.storage.connector.connectURI")
    if not (isinstance(uri, str) and uri.startswith("jdbc:derby:")):
        return items
    notes.append("the metadata store of this configuration is Derby; the embedded Postgres is used in its place")
    return [item for item in items if not item.name.startswith("druid.metadata.storage.connector.")]


def _checked(settings: Settings) -> Settings:
    """Settings that only make sense together."""
    settings.dsn()
    kill = "druid.indexer.logs.kill."
    if settings[kill + "enabled"] and settings[kill + "durationToRetain"] is None:
        raise SettingError(
            f"{settings.given[kill + 'enabled']}: {kill}enabled needs {kill}durationToRetain (in ms) as well"
        )
    return settings


def _filled(kept: Mapping[str, Any]) -> dict[str, Any]:
    """What was set, and the defaults of the rest. Derived ones may look at others, so they wait their turn."""
    values = {name: setting.default_value for name, setting in CATALOG.items() if not setting.derive}
    values.update(kept)
    for name, setting in CATALOG.items():
        if setting.derive and name not in kept:
            values[name] = setting.derive(values)
    return {name: values[name] for name in CATALOG}


def _typed(setting: Setting, value: Any, where: str) -> Any:
    if value is None:
        return None
    if setting.secret and isinstance(value, str) and value.strip().startswith("{"):
        value = _provided(value, where)
    try:
        if isinstance(value, Path) and setting.kind == "path":
            value = str(value)
        return setting.read(value)
    except ValueError as error:
        raise SettingError(f"{where}: {setting.name}: {error}") from None


def _provided(text: str, where: str) -> str:
    """A secret from Druid's password providers: type `default` or `environment`."""
    try:
        provider = json.loads(text)
    except json.JSONDecodeError:
        return text
    if provider.get("type") == "environment":
        name = str(provider.get("variable", ""))
        if name not in os.environ:
            raise SettingError(f"{where}: the environment variable {name!r} that holds the password is not set")
        return os.environ[name]
    if provider.get("type", "default") == "default" and "password" in provider:
        return str(provider["password"])
    raise SettingError(f"{where}: a password provider has type default or environment, not {provider.get('type')!r}")


def _is_map(name: str) -> bool:
    return name in CATALOG and CATALOG[name].kind == "map"


def _unknown(name: str) -> str:
    folded = {known.lower(): known for known in (*druid_names(), *CATALOG)}
    near = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.6)
    return f"there is no setting {name!r}" + (f"; the nearest is {folded[near[0]]!r}" if near else "")


def _without_password(text: str) -> str:
    """Mask the password in `//user:password@host` and `password=...`."""
    text = re.sub(r"(//[^:/@\s]*:)[^@\s]*@", rf"\1{_MASK}@", text)
    return re.sub(r"(?i)\b(password=)[^&\s]*", rf"\1{_MASK}", text)
