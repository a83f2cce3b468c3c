"""explain: why a task is where it is."""

from __future__ import annotations

import argparse
from typing import Any

from rich.text import Text

from overlord.cli.app import add_url
from overlord.cli.remote import Remote
from overlord.cli.show import as_json, out, table

_COLOURS = {"SUCCESS": "green", "FAILED": "red"}
_ATTEMPT = ("attempt", "status", "startedTime", "endedTime", "worker", "pid", "cause")
_HOLDER = ("task", "taskType", "taskState", "groupId", "priority", "lockType", "interval", "since")


def add_to(commands: Any) -> None:
    """Add the command."""
    explain = commands.add_parser("explain", help="why a task waits, where it runs, or how it ended and what to do")
    explain.add_argument("id", metavar="ID")
    explain.set_defaults(run=run)
    add_url(explain)


def run(args: argparse.Namespace) -> int:
    """Ask, and show."""
    found = Remote(args.url).task(args.id, "/explain")
    if args.json:
        as_json(found)
        return 0
    state = found["state"]
    out.print(Text.assemble((state, _COLOURS.get(state, "yellow")), f" since {found['since']}  {found['task']}"))
    _line("cause", found["cause"])
    _line("next", found["nextStep"])
    for name in ("lock", "queue", "worker", "failure", "success"):
        if name in found:
            _SECTIONS[name](found[name])
    for name in ("progress", "heartbeatAgeMs", "timeLeftMs"):
        _line(name, found.get(name))
    if len(found["attempts"]) > 1:
        table(
            _ATTEMPT, ([_first_line(each[name]) for name in _ATTEMPT] for each in found["attempts"]), title="attempts"
        )
    return 0


def _line(name: str, value: Any) -> None:
    if isinstance(value, dict):
        value = ", ".join(f"{key} {each}" for key, each in value.items() if each is not None)
    if value not in (None, ""):
        out.print(Text(f"  {name}: {value}"))


def _lock(lock: dict[str, Any]) -> None:
    for wanted in lock["wanted"]:
        _line("wants", f"{wanted['type']} on {wanted['interval']}")
    _line("waiting before it", lock["waitingBefore"])
    if lock["holders"]:
        table(_HOLDER, ([each[name] for name in _HOLDER] for each in lock["holders"]), title="held by")


def _queue(queue: dict[str, Any]) -> None:
    _line("place", f"{queue['place']} of {queue['of']}")
    for each in queue["workers"]:
        able = "" if each["enabled"] else ", disabled"
        able += "" if each["allowed"] else ", not for this datasource"
        _line("worker", f"{each['host']}: {each['slotsUsed']} of {each['slotsTotal']} slots taken{able}")


def _failure(failure: dict[str, Any]) -> None:
    for name in ("phase", "exception", "inputFile", "line", "record", "row", "rows"):
        _line(name, failure[name])
    if "\n" in failure["cause"]:
        out.print(Text("the whole cause:"))
        out.print(Text(failure["cause"]))
    if failure["logTail"]:
        out.print(Text("last lines of its log:"))
        out.print(Text("\n".join(failure["logTail"]), style="dim"))


def _first_line(value: Any) -> Any:
    return value.partition("\n")[0] if isinstance(value, str) else value


def _success(success: dict[str, Any]) -> None:
    _line("segments", success["segmentsPublished"])
    _line("rows", success["rows"])


def _worker(worker: dict[str, Any]) -> None:
    _line("worker", worker)


_SECTIONS = {"lock": _lock, "queue": _queue, "worker": _worker, "failure": _failure, "success": _success}
