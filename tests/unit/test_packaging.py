"""What setup.cfg says of the packages is what the tree has."""

from __future__ import annotations

import configparser
from pathlib import Path

ROOT = Path(__file__).parents[2]


def config():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def test_every_package_is_listed():
    listed = set(config()["options"]["packages"].split())
    there = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for top in ("overlord", "workers")
        for path in (ROOT / top).rglob("__init__.py")
    }
    assert listed == there | {"overlord.sql", "overlord.config", "overlord.examples"}


def test_every_data_file_travels():
    patterns = config()["options.package_data"]
    for name in ("sql", "config", "examples"):
        allowed = {
            path for pattern in patterns[f"overlord.{name}"].split(",") for path in (ROOT / name).glob(pattern.strip())
        }
        files = {path for path in (ROOT / name).rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
        assert files == allowed
