"""One attempt at a task, from the fork to the end file.

The order of its last acts is what recovery rests on: report file, end file (by rename), HTTP end, exit. Whoever
finds the end file knows that the work is done; whoever does not finds out from the publish ledger and `exit.json`.
"""

from __future__ import annotations

import ctypes
import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import orjson

from overlord import faults
from overlord.errors import OverlordError, TaskFailed
from overlord.model.host import ProcessIdentity
from workers.client import ActionClient, AttemptClient, NoOverlord, OverlordClient, Patience, StaleAttempt
from workers.context import Progress, TaskContext
from workers.files import read_json, take_lock, write_json
from workers.report import Report
from workers.tasks import jobs

STALE = 3
"""Exit code of an attempt that nobody wants."""
LOCK_WAIT_S = 30.0
STOP_SOFTLY_S = 2.0

_log = logging.getLogger("overlord.task")


class Stopped(BaseException):
    """Raised in the main thread of a task that was asked to stop and did not look at `ctx.stopping`."""


def run(folder: Path) -> int:
    """Run the attempt in `folder` and return the exit code. The process is this attempt's alone."""
    launch = read_json(folder / "launch.json")
    if launch is None:
        return STALE
    _settle(folder, launch)
    if not _begin(folder):
        _log.info("Attempt %d of task[%s] has begun elsewhere", launch["attempt"], launch["task_id"])
        return STALE
    try:
        return _Attempt(folder, launch).run()
    except StaleAttempt as stale:
        _log.info("This attempt is not wanted: %s", stale)
        return STALE


def _settle(folder: Path, launch: dict[str, Any]) -> None:
    """A session of our own, the log as output, and a name for `ps`."""
    os.setsid()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # a thread waits for it
    log = os.open(folder.parent / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(null)
    os.close(log)
    sys.stdout = os.fdopen(1, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
    _log_to_stderr()
    ctypes.CDLL(None).prctl(15, f"ovl:{launch['type']}".encode()[:15], 0, 0, 0)  # PR_SET_NAME
    try:
        # Should memory run out, the kernel takes a task before the Overlord or its Postgres.
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")
    except OSError:
        _log.debug("oom_score_adj cannot be set", exc_info=True)


def _log_to_stderr() -> None:
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s [%(name)s] %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)


def _begin(folder: Path) -> bool:
    """Take the task's lock for life and say who we are; False when this attempt has begun before."""
    deadline = time.monotonic() + LOCK_WAIT_S
    while take_lock(folder.parent / "lock") is None:
        # An earlier attempt is being killed; two never work at once.
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    if (folder / "identity.json").exists():
        return False
    identity = ProcessIdentity.of(os.getpid())
    assert identity is not None
    write_json(folder / "identity.json", {**identity.to_json(), "folder": str(folder)})
    return True


class _Attempt:
    """What the steps of an attempt share."""

    def __init__(self, folder: Path, launch: dict[str, Any]) -> None:
        self.folder = folder
        self.launch = launch
        self.task = (folder / "task.json").read_bytes()
        headers = {"Authorization": f"Bearer {launch['token']}", "X-Ovl-Attempt": str(launch["attempt"])}
        client = OverlordClient(folder / "overlord.url", headers)
        self.client = client
        self.overlord = AttemptClient(client, launch["task_id"], launch["attempt"])
        self.actions = ActionClient(client, self.task, patience=Patience(**launch.get("patience", {})))
        self.over = threading.Event()
        self.began = time.monotonic()

    def run(self) -> int:
        self.overlord.started(read_json(self.folder / "identity.json"))
        faults.point("after_started")
        ctx = self._context()
        self._in_background(lambda: self._heartbeats(ctx))
        self._in_background(lambda: self._stop_on_sigterm(ctx))
        outcome = self._work(ctx)
        self.over.set()
        ctx.report.finish()
        shutil.rmtree(ctx.dir, ignore_errors=True)
        return self._end(outcome)

    def _context(self) -> TaskContext:
        launch = self.launch
        scratch = self.folder / "scratch"
        scratch.mkdir(mode=0o700, exist_ok=True)
        tempfile.tempdir = str(scratch)  # so that nothing of this task is left anywhere else
        return TaskContext(
            task_id=launch["task_id"],
            attempt=launch["attempt"],
            type=launch["type"],
            payload=orjson.loads(self.task),
            dir=scratch,
            settings=launch["settings"],
            memory_bytes=launch["memory_bytes"],
            actions=self.actions,
            overlord=self.client,
            report=Report(self.folder / "report.json", launch["task_id"]),
            progress=Progress(),
        )

    def _work(self, ctx: TaskContext) -> dict[str, Any]:
        """Run the job; whatever happens becomes an outcome."""
        error, cause = None, None
        signal.signal(signal.SIGALRM, _raise_stopped)
        try:
            _log.info("Running %s task[%s], attempt %d", ctx.type, ctx.task_id, ctx.attempt)
            jobs[ctx.type](ctx)
        except TaskFailed as failed:
            error, cause = failed.message, _with_cause(failed)
            _log.error("%s", cause, exc_info=failed.__cause__)
        except OverlordError as failed:
            error, cause = failed.message, traceback.format_exc()
            _log.error("%s", cause)
        except MemoryError:
            error, cause = "Out of memory", traceback.format_exc()
            _log.error("%s", cause)
        except Stopped:
            error = "Stopped by SIGTERM"
            _log.info("%s", error)
        except (Exception, SystemExit) as failed:
            error, cause = f"{type(failed).__name__}: {failed}", traceback.format_exc()
            _log.error("%s", cause)
        finally:
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
        duration_ms = round((time.monotonic() - self.began) * 1000)
        status = "SUCCESS" if error is None else "FAILED"
        _log.info("Task[%s] completed with status[%s] in %d ms", ctx.task_id, status, duration_ms)
        if error is None and ctx.remarks:
            return {"status": status, "errorMsg": ctx.remarks[-1], "cause": None, "duration": duration_ms}
        return {"status": status, "errorMsg": error, "cause": cause or error, "duration": duration_ms}

    def _end(self, outcome: dict[str, Any]) -> int:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        faults.point("before_end_file")
        try:
            write_json(self.folder / "end.json", outcome)
        except OSError as error:
            # A full disk: the Overlord can still be told, and keeps it in its database.
            _log.warning("The end file cannot be written: %s", error)
        faults.point("after_end_file")
        try:
            self.overlord.end(outcome)
        except (NoOverlord, TaskFailed) as error:
            _log.warning("The end could not be told, the end file will: %s", error.message)
        return 0

    def _heartbeats(self, ctx: TaskContext) -> None:
        """Send signs of life until the job is over, and hear whether this attempt is still wanted."""
        every_s = max(0.05, self.launch["heartbeat_ms"] / 1000)
        while not self.over.wait(every_s):
            try:
                self.overlord.heartbeat(ctx.progress.take())
            except StaleAttempt as stale:
                _log.warning("The Overlord wants this attempt no more: %s", stale)
                os.kill(os.getpid(), signal.SIGTERM)
                return
            except (NoOverlord, TaskFailed) as error:
                _log.debug("heartbeat: %s", error.message)

    def _stop_on_sigterm(self, ctx: TaskContext) -> None:
        """Set `ctx.stopping`; a job that does not look at it gets an exception a little later."""
        signal.sigwait({signal.SIGTERM})
        _log.info("Asked to stop")
        ctx.stopping.set()
        main = threading.main_thread().ident
        while main is not None and not self.over.wait(STOP_SOFTLY_S):
            signal.pthread_kill(main, signal.SIGALRM)

    @staticmethod
    def _in_background(work: Callable[[], None]) -> None:
        threading.Thread(target=work, daemon=True).start()


def _with_cause(failed: TaskFailed) -> str:
    return failed.message if failed.__cause__ is None else f"{failed.message}: {failed.__cause__!r}"


def _raise_stopped(_number: int, _frame: FrameType | None) -> None:
    raise Stopped
