"""Where settings come from: TOML files and profiles, Java's `runtime.properties`, the environment, flags.

Every source yields `Given` items: a name, a raw value and where it stood, so that an error can point at it.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from overlord.errors import SettingError

_ENV_PREFIXES = ("druid_", "ovl_")
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


@dataclass(frozen=True)
class Given:
    """One setting as somebody wrote it."""

    name: str
    value: Any
    where: str


def config_text(name: str) -> str:
    """A file of the shipped `config/` folder."""
    return resources.files("overlord.config").joinpath(name).read_text(encoding="utf-8")


def profile_names() -> list[str]:
    """The profiles shipped."""
    folder = resources.files("overlord.config").joinpath("profiles")
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


def read_config(config: str | Path, stop_at: Callable[[str], bool]) -> list[Given]:
    """A `--config`: a `.properties` file, a TOML file, a folder of stock properties, or a profile by name.

    Parameters
    ----------
    stop_at : callable
        Says of a dotted name that its value is a map, so that a TOML table there is a value and no nesting.

    Raises
    ------
    SettingError
        If it cannot be read.
    """
    path = Path(config)
    if str(config) in profile_names() and not path.is_file():
        return read_toml(config_text(f"profiles/{config}.toml"), f"profile {config}", stop_at)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        text = path.read_text(encoding="latin-1")
    except OSError as error:
        raise SettingError(
            f"cannot read the configuration {str(config)!r}: {error.strerror}",
            hint=f"give a .toml or .properties file, or a profile: {', '.join(profile_names())}",
        ) from None
    if path.suffix == ".toml":
        return read_toml(text, str(config), stop_at)
    return read_properties(text, str(config))


def read_toml(text: str, where: str, stop_at: Callable[[str], bool]) -> list[Given]:
    """Settings of a TOML text: quoted flat keys, nested tables, or both."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingError(f"{where} is no TOML: {error}") from None
    return [Given(name, value, _toml_place(text, where, name)) for name, value in _flatten(tree, "", stop_at)]


def _flatten(tree: Mapping[str, Any], prefix: str, stop_at: Callable[[str], bool]) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and not stop_at(name):
            yield from _flatten(value, name + ".", stop_at)
        else:
            yield name, value


def _toml_place(text: str, where: str, name: str) -> str:
    """`file:line` of a key, found again by its text: tomllib keeps no positions."""
    tails = [name.split(".", i)[-1] for i in range(name.count(".") + 1)]
    for tail in tails:
        pattern = re.compile(r"[\"']?" + re.escape(tail) + r"[\"']?\s*=")
        for number, line in enumerate(text.splitlines(), 1):
            if pattern.match(line.strip()):
                return f"{where}:{number}"
    return where


def read_properties(text: str, where: str) -> list[Given]:
    """Java's properties format: `=`, `:` or blank as separator, comments, continued lines, escapes."""
    return [
        Given(_unescape(name), interpolate(_unescape(value), f"{where}:{line}"), f"{where}:{line}")
        for line, name, value in (
            (number, *_split_property(logical)) for number, logical in _logical_lines(text.splitlines())
        )
    ]


def _logical_lines(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Lines with their continuations joined, each with the number of its first."""
    start, held = 0, ""
    for number, raw in enumerate(lines, 1):
        line = raw.lstrip(" \t\f")
        if not held and (not line or line[0] in "#!"):
            continue
        start = start if held else number
        if (len(line) - len(line.rstrip("\\"))) % 2:
            held += line[:-1]
            # A continuation may itself be empty so far; a NUL keeps `held` true and is dropped below.
            held = held or "\0"
            continue
        yield start, (held + line).replace("\0", "")
        held = ""
    if held:
        yield start, held.replace("\0", "")


def _split_property(line: str) -> tuple[str, str]:
    match = re.match(r"((?:\\.|[^=:\s\\])*)[ \t\f]*[=:]?[ \t\f]*(.*)", line, re.DOTALL)
    assert match is not None  # the pattern matches any text
    return match[1], match[2]


def _unescape(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        if match[1]:
            return chr(int(match[1], 16))
        return _ESCAPES.get(match[2], match[2])

    return re.sub(r"\\(?:u([0-9a-fA-F]{4})|(.))", one, text, flags=re.DOTALL)


def interpolate(value: str, where: str) -> str:
    """Fill in `${env:NAME}`, `${env:NAME:-default}`, `${sys:user.home}` and `${file:UTF-8:PATH}`, as Druid does."""

    def one(match: re.Match[str]) -> str:
        source, name, default = match[1], match[2], match[3]
        found = _looked_up(source, name)
        if found is None:
            found = default
        if found is None:
            raise SettingError(f"{where}: {match[0]} stands for nothing", where=where)
        return found

    return re.sub(r"\$\{(env|sys|file):(.*?)(?::-(.*?))?\}", one, value)


def _looked_up(source: str, name: str) -> str | None:
    if source == "env":
        return os.environ.get(name)
    if source == "sys":
        known = {"user.home": str(Path.home()), "user.dir": str(Path.cwd()), "java.io.tmpdir": "/tmp"}
        return known.get(name)
    encoding, _, path = name.rpartition(":")
    try:
        return Path(path).read_text(encoding=encoding or "utf-8")
    except (OSError, LookupError, UnicodeDecodeError):
        return None


def read_environment(env: Mapping[str, str]) -> list[Given]:
    """Variables as Druid's Docker image has them: `druid_indexer_queue_maxSize`; ours as `ovl_...`."""
    return [
        Given(name.replace("_", "."), value, f"environment variable {name}")
        for name, value in sorted(env.items())
        if name.startswith(_ENV_PREFIXES)
    ]


def read_flags(flags: Mapping[str, Any]) -> list[Given]:
    """Values given on the command line or by a caller; None means not given."""
    return [Given(name, value, f"flag for {name}") for name, value in flags.items() if value is not None]
