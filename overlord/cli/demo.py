"""demo: a server of its own, the shipped spec over shipped real data, and a report that can be read."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path
from typing import Any

import orjson

from overlord.cli.database import running_server
from overlord.cli.remote import Remote
from overlord.cli.segments import folder_of, show
from overlord.cli.show import err, out
from overlord.cli.tasks import summary, wait
from overlord.errors import OverlordError
from overlord.model.segment import DataSegment
from overlord.settings import Settings

START_S = 60.0
SHOWN = 8


def add_to(commands: Any) -> None:
    """Add the command."""
    demo = commands.add_parser("demo", help="ingest real data with a server of its own, and show the result")
    demo.add_argument("--data-dir", default="overlord-demo", metavar="D", help="folder of the server (overlord-demo)")
    demo.set_defaults(run=run_demo)


def run_demo(args: argparse.Namespace) -> int:
    """Start, submit, wait, report, stop."""
    data_dir = Path(args.data_dir).resolve()
    data_dir.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    with (data_dir / "server.log").open("ab") as log:
        command = [sys.executable, "-m", "overlord", "serve", "--port", "0", "--data-dir", str(data_dir)]
        server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        url = _address(server, data_dir)
        err.print(f"Overlord is up at {url} after {time.monotonic() - begun:.1f} s")
        return _ingest(Remote(url), data_dir)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()


def _address(server: subprocess.Popen[bytes], data_dir: Path) -> str:
    """URL of the server once it leads."""
    settings = Settings.load(env={}, flags={"ovl.data.dir": str(data_dir)})
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        known = running_server(settings)
        if known is not None:
            try:
                if Remote(known["url"]).get("/isLeader"):
                    return str(known["url"])
            except OverlordError:
                pass
        time.sleep(0.05)
    tail = (data_dir / "server.log").read_text(errors="replace").splitlines()[-8:]
    raise OverlordError("The server did not start:\n" + "\n".join(tail), hint=f"see {data_dir / 'server.log'}")


def spec() -> dict[str, Any]:
    """The shipped spec, with the folder of the shipped data."""
    folder = Path(str(resources.files("overlord.examples")))
    found: dict[str, Any] = orjson.loads((folder / "flights.json").read_bytes())
    found["spec"]["ioConfig"]["inputSource"]["baseDir"] = str(folder)
    return found


def _ingest(remote: Remote, data_dir: Path) -> int:
    wanted = spec()
    again = data_dir / "flights.json"
    again.write_bytes(orjson.dumps(wanted, option=orjson.OPT_INDENT_2))
    datasource = wanted["spec"]["dataSchema"]["dataSource"]
    task_id = remote.post("/task", wanted)["task"]
    status = wait(remote, task_id)
    summary(remote, task_id, status)
    if status["statusCode"] != "SUCCESS":
        return 1
    found = remote.segments(datasource)
    show(found, most=SHOWN, rows=_rows(found[:SHOWN]))
    where = os.path.commonpath([str(folder_of(DataSegment.from_json(each))) for each in found])
    out.print(f"They lie in {where}", markup=False)
    first = found[0]["interval"].split("/")[0][:10]
    out.print(
        f"\nNext:\n  overlord cat {datasource} --data-dir {data_dir} --interval {first}/P1D --format csv | head"
        f"\n  overlord serve --data-dir {data_dir}        # then http://127.0.0.1:8090/druid/indexer/v1/tasks"
        f"\n  overlord submit {again} --wait        # against that server, or a stock one with --url",
        markup=False,
    )
    return 0


def _rows(found: list[dict[str, Any]]) -> dict[str, int]:
    """Rows of segments, by the product's own reader."""
    from workers.segment.reader import SegmentReader

    return {each["identifier"]: SegmentReader(folder_of(DataSegment.from_json(each))).num_rows for each in found}
