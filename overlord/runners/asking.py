"""Questions put to short-lived processes that the nursery forks; `workers.asks` answers them.

They take no task slot. No more than a few run at the same time; each has a deadline, after which its whole process
group is killed, and bounds on its memory (`workers.asks`).
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from overlord.errors import OverlordError, Unavailable
from workers.files import read_json, write_json

_log = logging.getLogger(__name__)

_GRACE_S = 3.0
"""A process that was told its time may take this much longer, to write its answer."""


class NoAnswer(OverlordError):
    """A question that could not be answered, in the words of who tried; the asker knows whose fault that is.

    Attributes
    ----------
    bare : bool
        Whether the words are all that is to be said.
    """

    bare = False


@dataclass
class _Question:
    folder: Path
    pid: int | None = None
    status: int | None = None
    over: threading.Event = field(default_factory=threading.Event)


class Asking:
    """The questions of one runner.

    Parameters
    ----------
    root : Path
        Folder for the questions' own folders.
    send : callable
        Gives a message to the nursery; raises OSError when it cannot.
    settings : mapping
        What workers are told of the server's settings.
    most : int
        How many processes may answer at the same time.
    memory_bytes : int
        What each may take.
    """

    def __init__(
        self,
        root: Path,
        send: Callable[[dict[str, Any]], None],
        settings: Mapping[str, Any],
        *,
        most: int,
        memory_bytes: int,
    ) -> None:
        self._root = root
        self._send = send
        self._settings = settings
        self._most = most
        self._memory_bytes = memory_bytes
        self._places = threading.BoundedSemaphore(most)
        self._lock = threading.Lock()
        self._open: dict[str, _Question] = {}

    def ask(self, kind: str, body: Mapping[str, Any], timeout_s: float) -> bytes:
        """See `Runner.ask`."""
        deadline = time.monotonic() + timeout_s
        if not self._places.acquire(timeout=timeout_s):
            raise Unavailable(f"All {self._most} helper processes are at work. Try again later.", retry_after_s=2)
        folder = self._root / f"{os.getpid()}-{uuid.uuid4().hex}"
        question = _Question(folder)
        try:
            folder.mkdir(parents=True, mode=0o700)
            left_s = max(0.5, deadline - time.monotonic())
            request = {
                "kind": kind,
                "body": body,
                "settings": self._settings,
                "timeout_s": left_s,
                "memory_bytes": self._memory_bytes,
            }
            write_json(folder / "request.json", request)
            return self._answer(question, left_s)
        except OSError as error:
            raise Unavailable(f"A helper process cannot be asked: {error}") from error
        finally:
            with self._lock:
                self._open.pop(str(folder), None)
            shutil.rmtree(folder, ignore_errors=True)
            self._places.release()

    def _answer(self, question: _Question, left_s: float) -> bytes:
        with self._lock:
            self._open[str(question.folder)] = question
        self._send({"ask": str(question.folder)})
        if not question.over.wait(left_s + _GRACE_S):
            self._kill(question)
            raise NoAnswer(f"No answer within {left_s:.0f} s")
        answer, fault = question.folder / "answer.json", read_json(question.folder / "fault.json")
        if answer.exists():
            return answer.read_bytes()
        if fault:
            refused = NoAnswer(fault["message"], where=fault.get("where"), hint=fault.get("hint"))
            refused.bare = bool(fault.get("bare"))
            raise refused
        limit = f"ovl.ask.memoryBytes = {self._memory_bytes}"
        raise NoAnswer(f"The process that worked on it {_how(question.status)} ({limit})")

    def heard(self, message: Mapping[str, Any]) -> bool:
        """Take a message of the nursery; False when it is not about a question."""
        folder = str(message.get("forked") or message.get("exited"))
        with self._lock:
            question = self._open.get(folder)
        if question is None:
            return Path(folder).parent == self._root
        if "forked" in message:
            question.pid = message["pid"]
        else:
            question.pid = None
            question.status = int(message["status"])
            question.over.set()
        return True

    def lost(self) -> None:
        """The nursery is gone, and will tell of no end any more: whoever waits is told so."""
        with self._lock:
            waiting = list(self._open.values())
        for question in waiting:
            self._kill(question)
            question.over.set()

    def sweep(self) -> None:
        """Remove what processes left that are gone."""
        for folder in self._root.glob("*-*"):
            owner = folder.name.partition("-")[0]
            if not Path("/proc", owner).exists():
                shutil.rmtree(folder, ignore_errors=True)

    @staticmethod
    def _kill(question: _Question) -> None:
        if question.pid is not None:
            try:
                os.killpg(question.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                return


def _how(status: int | None) -> str:
    if status is None:
        return "is gone"
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"ended with code {code}"
    return f"was ended by {signal.Signals(-code).name}"
