"""submit, tasks, status, log, report and shutdown."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from overlord.cli.app import add_url
from overlord.cli.remote import Remote
from overlord.cli.sampling import show_dry_run
from overlord.cli.show import as_json, err, out, seconds, table
from overlord.errors import OverlordError

SUPERVISORS = frozenset({"kafka", "kinesis", "rabbit", "autocompact", "scheduled_batch", "NoopSupervisorSpec"})
ENDED = ("SUCCESS", "FAILED")


def add_to(commands: Any) -> None:
    """Add the commands."""
    submit = commands.add_parser("submit", help="submit a task or supervisor spec (- reads standard input)")
    submit.add_argument("spec", metavar="SPEC")
    submit.add_argument("--wait", action="store_true", help="wait for the task's end; exit 1 if it failed")
    submit.add_argument("--dry-run", action="store_true", help="tell what would come of it; exit 1 if not valid")
    submit.set_defaults(run=run_submit)
    tasks = commands.add_parser("tasks", help="list tasks")
    tasks.add_argument("--state", choices=("waiting", "pending", "running", "complete"))
    tasks.add_argument("--datasource")
    tasks.add_argument("--max", type=int, default=50, help="of ended tasks (50)")
    tasks.set_defaults(run=run_tasks)
    status = commands.add_parser("status", help="where a task stands")
    status.add_argument("id", metavar="ID")
    status.set_defaults(run=run_status)
    log = commands.add_parser("log", help="the log of a task")
    log.add_argument("id", metavar="ID")
    log.add_argument("-f", "--follow", action="store_true", help="go on until the task has ended")
    log.set_defaults(run=run_log)
    report = commands.add_parser("report", help="the report of a task")
    report.add_argument("id", metavar="ID")
    report.set_defaults(run=run_report)
    shutdown = commands.add_parser("shutdown", help="end a task")
    shutdown.add_argument("id", metavar="ID")
    shutdown.set_defaults(run=run_shutdown)
    for command in (submit, tasks, status, log, report, shutdown):
        add_url(command)


def read_spec(name: str) -> dict[str, Any]:
    """A spec from a file, or from standard input."""
    text = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    try:
        spec = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise OverlordError(f"{name} is not JSON: {error}", hint="see docs/ for specs that work") from None
    if not isinstance(spec, dict):
        raise OverlordError(f"{name} holds no JSON object")
    return spec


def run_submit(args: argparse.Namespace) -> int:
    """Submit, and wait if asked to."""
    remote, spec = Remote(args.url), read_spec(args.spec)
    if args.dry_run:
        return show_dry_run(remote.post("/task?dryRun=true", spec), as_it_is=args.json)
    if spec.get("type") in SUPERVISORS:
        answer = remote.post("/supervisor", spec)
        as_json(answer) if args.json else out.print(f"supervisor {answer['id']}")
        return 0
    task_id = remote.post("/task", spec)["task"]
    if not args.wait:
        as_json({"task": task_id}) if args.json else out.print(task_id)
        return 0
    status = wait(remote, task_id, quiet=args.json)
    if args.json:
        as_json({"task": task_id, "status": status, "report": report_of(remote, task_id)})
    else:
        summary(remote, task_id, status)
    return 0 if status["statusCode"] == "SUCCESS" else 1


def wait(remote: Remote, task_id: str, *, quiet: bool = False) -> dict[str, Any]:
    """Show a bar until the task has ended; gives its status."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[rows]:,} rows{task.fields[pace]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, disable=quiet, transient=True) as progress:
        bar = progress.add_task(task_id, total=None, rows=0, pace="")
        pause_s, looked = 0.05, time.monotonic()
        while True:
            status: dict[str, Any] = remote.task(task_id, "/status")["status"]
            if status["statusCode"] in ENDED:
                return status
            state = status.get("runnerStatusCode") or status["statusCode"]
            if not quiet and time.monotonic() - looked > 1:
                looked = time.monotonic()
                progress.update(bar, **_progress(remote, task_id))
            progress.update(bar, description=f"{task_id} {state}")
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.3, 1.0)


def _progress(remote: Remote, task_id: str) -> dict[str, Any]:
    """What the bar shows; a stock Overlord only has the report."""
    try:
        told = remote.task(task_id, "/progress")
    except OverlordError:
        return {"rows": counts(report_of(remote, task_id))["processed"]}
    pace = f", {told['rowsPerSecond']:,} rows/s" if told["rowsPerSecond"] else ""
    if told["timeLeftMs"] is not None:
        pace += f", {seconds(told['timeLeftMs'])} left"
    known = {"total": told["totalBytes"], "completed": told["bytesRead"] or 0} if told["totalBytes"] else {}
    return {"rows": told["rows"] or 0, "pace": pace, **known}


def report_of(remote: Remote, task_id: str) -> dict[str, Any]:
    """The task's report, or an empty one."""
    try:
        found = remote.task(task_id, "/reports")
    except OverlordError:
        return {}
    return found if isinstance(found, dict) else {}


def counts(report: dict[str, Any]) -> dict[str, int]:
    """Rows of an ingestion, from either of Druid's two shapes of row statistics."""
    stats = (report.get("ingestionStatsAndErrors") or {}).get("payload", {}).get("rowStats") or {}
    built = (stats.get("totals") or stats).get("buildSegments") or {}
    names = ("processed", "processedWithError", "unparseable", "thrownAway")
    return {name: int(built.get(name) or 0) for name in names}


def summary(remote: Remote, task_id: str, status: dict[str, Any]) -> None:
    """A few lines on how a task ended."""
    good = status["statusCode"] == "SUCCESS"
    took = "" if status["duration"] < 0 else f" in {seconds(status['duration'])}"
    out.print(f"[{'green' if good else 'red'}]{status['statusCode']}[/]{took}  {task_id}")
    if not good:
        out.print(status.get("errorMsg") or "no cause was given", markup=False)
        out.print(f"Its log: overlord log {task_id} --url {remote.url}", markup=False)
    rows = counts(report_of(remote, task_id))
    if any(rows.values()):
        kept = rows["processed"] + rows["processedWithError"]
        read = kept + rows["unparseable"] + rows["thrownAway"]
        out.print(
            f"rows read {read:,}, kept {kept:,} ({rows['processedWithError']:,} with a value that could not be read), "
            f"rejected {rows['unparseable']:,}, thrown away {rows['thrownAway']:,}"
        )


def run_tasks(args: argparse.Namespace) -> int:
    """List tasks."""
    wanted = {"state": args.state, "datasource": args.datasource, "max": args.max}
    found = Remote(args.url).get("/tasks", **{name: value for name, value in wanted.items() if value is not None})
    if args.json:
        as_json(found)
        return 0
    columns = ("id", "type", "datasource", "created", "state", "duration")
    table(
        columns,
        (
            (
                each["id"],
                each["type"],
                each["dataSource"],
                each["createdTime"],
                each["statusCode"] if each["statusCode"] in ENDED else each["runnerStatusCode"],
                seconds(each["duration"]) if each["duration"] >= 0 else "",
            )
            for each in found
        ),
    )
    return 0


def run_status(args: argparse.Namespace) -> int:
    """Show a status."""
    answer = Remote(args.url).task(args.id, "/status")
    if args.json:
        as_json(answer)
    else:
        table(("field", "value"), ((name, str(value)) for name, value in answer["status"].items()))
    return 0


def run_log(args: argparse.Namespace) -> int:
    """Print a log; a stock Overlord knows no `follow`, so it is asked again and again."""
    remote, offset = Remote(args.url), 0
    path = f"/task/{quote(args.id, safe='')}/log"
    while True:
        ended = not args.follow or remote.task(args.id, "/status")["status"]["statusCode"] in ENDED
        try:
            for text in remote.lines(path, offset=offset):
                offset += len(text.encode())
                sys.stdout.write(text)
                sys.stdout.flush()
        except OverlordError:
            if not args.follow or ended:
                raise
        if ended:
            return 0
        time.sleep(0.5)


def run_report(args: argparse.Namespace) -> int:
    """Print a report."""
    as_json(Remote(args.url).task(args.id, "/reports"))
    return 0


def run_shutdown(args: argparse.Namespace) -> int:
    """End a task."""
    answer = Remote(args.url).post(f"/task/{quote(args.id, safe='')}/shutdown")
    as_json(answer) if args.json else out.print(f"shut down {answer['task']}")
    return 0
