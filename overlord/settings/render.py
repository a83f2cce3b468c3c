"""`config/default.toml` and `docs/settings.md`, made from the catalogue: `python -m overlord.settings.render`."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path

from overlord.settings.catalog import SECTIONS, Setting
from overlord.settings.kinds import kinds

_TOML_HEAD = """\
# Every setting with its default. Made from overlord/settings/catalog.py by `make docs`; change it there.
# Copy the lines you want to change into a file of your own and give it with --config. Where a `#` stands before the
# key, the default is worked out at the start, or there is none.
"""

_DOC_HEAD = """\
# Settings

Made from `overlord/settings/catalog.py` by `make docs`; change it there.

Names are Druid's own where Druid has one; ours begin with `ovl.`. What is set later goes first:

1. the defaults below (also in `config/default.toml`);
2. `--config FILE`, as often as you like: TOML (`"druid.worker.capacity" = 4`, or nested tables), a
   `runtime.properties` or `common.runtime.properties` of Druid's (with `${env:NAME}`, `${sys:user.home}` and
   `${file:UTF-8:PATH}` filled in), or a profile by name: `dev`, `ci`, `production`;
3. the environment, as Druid's Docker image has it: `druid_worker_capacity=4`, `ovl_data_dir=/srv/overlord`;
4. flags of the command line.

A property that Druid knows and that is not used here gives one warning at the start, which lists them all. A name that
neither Druid nor we know, or a bad value, stops the start and names the nearest right one with file and line.

Kinds: *period* is an ISO 8601 period (`PT5M`; no months or years), *bytes* a number or Druid's readable form (`500m` is
500,000,000, `1GiB` is 2^30), *list* a JSON or TOML array or texts between commas, *map* a JSON object or a TOML table,
*path* a path that counts from where the server was started if it is relative.
"""


def default_toml() -> str:
    """The text of `config/default.toml`."""
    parts = [_TOML_HEAD]
    for title, settings in SECTIONS.items():
        parts.append(f"\n# ---- {title} ----\n")
        parts += [_toml_entry(setting) for setting in settings]
    return "".join(parts)


def _toml_entry(setting: Setting) -> str:
    about = f"{setting.kind}, {setting.unit}" if setting.unit else setting.kind
    comment = textwrap.wrap(f"{setting.help} ({about})", 118)
    head = "\n" + "".join(f"# {line}\n" for line in comment)
    if setting.derive:
        return f'{head}# "{setting.name}" = <{setting.default}>\n'
    if setting.default is None:
        return f'{head}# "{setting.name}" =\n'
    return f'{head}"{setting.name}" = {_toml_value(setting)}\n'


def _toml_value(setting: Setting) -> str:
    value = setting.default_value
    if setting.kind in ("int", "float", "bool"):
        return kinds[setting.kind].write(value)
    if setting.kind == "list":
        return json.dumps(list(value))
    if setting.kind == "map":
        return "{" + ", ".join(f"{json.dumps(k)} = {json.dumps(v)}" for k, v in value.items()) + "}"
    return json.dumps(setting.default)


def settings_page() -> str:
    """The text of `docs/settings.md`."""
    parts = [_DOC_HEAD]
    for title, settings in SECTIONS.items():
        parts.append(f"\n## {title}\n\n| setting | kind | default | unit | what it does |\n|---|---|---|---|---|\n")
        parts += [_row(setting) for setting in settings]
    return "".join(parts)


def _row(setting: Setting) -> str:
    default = "unset" if setting.default is None else setting.default
    shown = default if setting.derive or setting.default is None else f"`{default}`"
    text = setting.help
    if setting.choices:
        text += f" One of: {', '.join(setting.choices)}."
    if setting.instead:
        text += f" A stock value taken as ours: {', '.join(setting.instead)}."
    cells = (f"`{setting.name}`", setting.kind, shown, setting.unit, text)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def main() -> int:
    """Write both files below the current folder."""
    Path("config/default.toml").write_text(default_toml(), encoding="utf-8")
    Path("docs").mkdir(exist_ok=True)
    Path("docs/settings.md").write_text(settings_page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
