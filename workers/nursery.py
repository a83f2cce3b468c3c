"""The process that all tasks are forked from: it has imported everything, and has touched no data.

Protocol, over a SEQPACKET socket whose other end the runner holds; each message is one JSON object:

====================================================  ======================================================
runner to nursery                                     nursery to runner
====================================================  ======================================================
`{"folder": attempt folder}`: fork                    `{"ready": true}`: imports are done
`{"ask": folder of a question}`: fork (`workers.asks`)
..                                                    `{"forked": folder, "pid": n}`
..                                                    `{"exited": folder, "pid": n, "status": wait status}`
====================================================  ======================================================

Each wait status is first written to the attempt's `exit.json`, so that it outlives the Overlord (a question's is not).
When the socket closes, the Overlord is gone: the nursery stays until its last child has ended, and then ends too.

Why not the standard library's forkserver: there the exit status goes to the parent alone, and is lost with it.
polars is only imported here; a fork after it has run hangs.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import orjson

from workers.files import write_json

PRELOADED = ("numpy", "polars", "orjson", "msgspec", "pyroaring", "lz4.block", "lz4.frame")


class Nursery:
    """The loop."""

    def __init__(self, runner: socket.socket) -> None:
        self._runner: socket.socket | None = runner
        self._children: dict[int, Path] = {}
        self._questions: set[int] = set()
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self) -> None:
        """Serve until the runner is gone and no child is left."""
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        self._tell({"ready": True})
        while self._runner is not None or self._children:
            readable = [self._wake_read] if self._runner is None else [self._wake_read, self._runner.fileno()]
            ready, _, _ = select.select(readable, [], [], 5.0)
            if self._wake_read in ready:
                self._drain()
            self._reap()
            if self._runner is not None and self._runner.fileno() in ready:
                self._listen()

    def _drain(self) -> None:
        try:
            while os.read(self._wake_read, 512):
                pass
        except BlockingIOError:
            return

    def _listen(self) -> None:
        assert self._runner is not None
        try:
            message = self._runner.recv(65536)
        except OSError:
            message = b""
        if not message:
            self._runner.close()
            self._runner = None
            return
        asked = orjson.loads(message)
        self._fork(Path(asked.get("folder") or asked["ask"]), question="ask" in asked)

    def _fork(self, folder: Path, *, question: bool) -> None:
        pid = os.fork()
        if pid == 0:
            self._child(folder, question)
        self._children[pid] = folder
        if question:
            self._questions.add(pid)
        self._tell({"forked": str(folder), "pid": pid})

    def _child(self, folder: Path, question: bool) -> None:
        """In the child: drop what is the nursery's and become the attempt, or answer. Does not return."""
        code = 70
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.close(self._wake_read)
            os.close(self._wake_write)
            if self._runner is not None:
                self._runner.close()
            gc.enable()
            from workers.asks import answer_in
            from workers.main import run

            code = answer_in(folder) if question else run(folder)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)  # no exit handlers: they are the nursery's, and threads may hang in them

    def _reap(self) -> None:
        """Record each child that has ended, and end what is left of its group while its pid is still its own."""
        while self._children:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            pid = ended.si_pid
            folder = self._children.pop(pid, None)
            if folder is not None:
                _kill_group(pid)
            _, status, usage = os.wait4(pid, 0)
            if folder is not None:
                self._record(folder, pid, status, usage.ru_maxrss)

    def _record(self, folder: Path, pid: int, status: int, max_rss_kb: int) -> None:
        end = {"pid": pid, "status": status, "at": time.time(), "max_rss_kb": max_rss_kb}
        if pid in self._questions:
            self._questions.discard(pid)
        else:
            try:
                write_json(folder / "exit.json", end)
            except OSError as error:
                print(f"{folder}/exit.json: {error}", file=sys.stderr, flush=True)
        self._tell({"exited": str(folder), "pid": pid, "status": status})

    def _tell(self, message: dict[str, Any]) -> None:
        if self._runner is None:
            return
        try:
            self._runner.send(orjson.dumps(message))
        except OSError:
            self._runner.close()
            self._runner = None


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return  # it never came to its own session, or has no one left


def preload() -> None:
    """Import what tasks need, so that a fork has it for nothing."""
    import importlib

    for name in PRELOADED:
        try:
            importlib.import_module(name)
        except ImportError as error:  # an extra that is not installed
            print(f"not preloaded: {error}", file=sys.stderr, flush=True)
    import workers.asks
    import workers.main
    import workers.tasks

    workers.asks.load_all()
    workers.tasks.load_all()


def main() -> None:
    """`python -m workers.nursery <fd of the socket>`."""
    runner = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(runner.fileno(), False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()
    preload()
    gc.collect()
    gc.freeze()  # what was imported is never collected, so its pages stay shared
    Nursery(runner).run()


if __name__ == "__main__":
    main()
