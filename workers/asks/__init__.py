"""Questions that the Overlord asks of a process of its own: a bad answer, or none, hurts nobody else.

A question has a folder with `request.json`: `{"kind", "body", "settings", "timeout_s", "memory_bytes"}`. Its process,
forked from the nursery, writes `answer.json` (the answer) or `fault.json` (`{"message", "where", "hint"}`) and ends.
"""

from __future__ import annotations

import logging
import os
import resource
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

from overlord.errors import OverlordError, TaskFailed
from overlord.registry import Registry
from workers.files import read_json, write_atomically, write_json


class Refused(TaskFailed):
    """A fault whose words are all that is to be said."""


asks: Registry[Callable[[Mapping[str, Any], Mapping[str, Any]], Any]] = Registry("question")
"""What answers a question of a kind: its body and the settings in, JSON out."""

FAILED = 1
_OVERTIME_S = 5.0

_log = logging.getLogger(__name__)


def load_all() -> None:
    """Import every kind, so that it files itself."""
    from workers.asks import sample  # noqa: F401


def answer_in(folder: Path) -> int:
    """Answer the question in `folder`, and return the exit code. The process is this question's alone."""
    request = read_json(folder / "request.json")
    if request is None:
        return FAILED
    _settle(request)
    try:
        answer = asks[request["kind"]](request["body"], request["settings"])
        write_atomically(folder / "answer.json", orjson.dumps(answer))
    except OverlordError as error:
        fault = {"message": error.message, "where": error.where, "hint": error.hint}
        write_json(folder / "fault.json", fault | {"bare": isinstance(error, Refused)})
    except MemoryError:
        write_json(folder / "fault.json", {"message": f"It takes more memory than {request['memory_bytes']} bytes"})
    except BaseException as error:  # a panic of a library is no Exception
        traceback.print_exc()
        sys.stderr.flush()
        write_json(folder / "fault.json", {"message": f"{type(error).__name__}: {error}"})
    return 0


def _settle(request: Mapping[str, Any]) -> None:
    """A session of our own, and bounds on what we take even when nobody watches us."""
    os.setsid()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit = _data_bytes() + int(request["memory_bytes"])
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    last = threading.Timer(float(request["timeout_s"]) + _OVERTIME_S, os._exit, (FAILED,))
    last.daemon = True
    last.start()


def _data_bytes() -> int:
    """What the process has already, most of it shared with the nursery."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0
