"""From the text of a failure to its kind, and to what to do next."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Hint:
    """One kind of failure.

    Attributes
    ----------
    kind : str
    pattern : str
        Found in the text of such failures, in any case.
    step : str
        What to do next.
    """

    kind: str
    pattern: str
    step: str


HINTS = (  # the first that fits, so the narrow ones come first
    Hint(
        "shutdown", r"^shutdown request|request from user", "nothing is wrong with it: submit it again if it is wanted"
    ),
    Hint(
        "timeout",
        r"context\.timeoutMs",
        "raise context.timeoutMs, or look in the log for what took so long",
    ),
    Hint(
        "memoryLimit",
        r"memory limit: the task took",
        "raise ovl.task.memoryBytes (or lower druid.worker.capacity, so that each slot has more), "
        "or lower tuningConfig.maxRowsInMemory and maxBytesInMemory",
    ),
    Hint(
        "parseLimit",
        r"max parse exceptions|parse exceptions\[\d+\] exceeded",
        "correct the row that is named, or allow some: tuningConfig.maxParseExceptions. With maxSavedParseExceptions "
        "the report shows bad rows, and submit with ?dryRun=true reads a sample first",
    ),
    Hint(
        "lockRevoked",
        r"was revoked|lock.{0,40}revoked",
        "a task of higher priority took the interval: submit it again when that one has ended, or with a higher "
        "context.priority; context.retry does so by itself",
    ),
    Hint(
        "lockTimeout",
        r"failed to get locks|taskLockTimeout",
        "see who holds the interval (POST lockedIntervals/v2), then submit it again; context.taskLockTimeout sets how "
        "long it waits",
    ),
    Hint(
        "lockMissing",
        r"not covered by locks|holds no lock",
        "its lock was taken by another task meanwhile: submit it again",
    ),
    Hint(
        "publish",
        r"failed to publish|inconsistent metadata|failed to update metadata",
        "another task published there meanwhile: submit it again; context.retry does so by itself",
    ),
    Hint(
        "httpRefused",
        r"cannot read https?://\S+: HTTP 40[13]",
        "the server refuses to give the file: see httpAuthenticationUsername and -Password of the input source",
    ),
    Hint(
        "missingFile",
        r"no such file|does not exist|no file below .* matches|NoSuchKey|: HTTP 404",
        "put the file there, or correct inputSource; local paths are those of the worker's machine",
    ),
    Hint(
        "url",
        r"cannot read https?://|connection refused|name or service not known|temporary failure in name resolution",
        "try the address from the worker's machine; if it was away for a while, submit it again or use context.retry",
    ),
    Hint(
        "permission",
        r"permission denied|access ?denied",
        "let the user that runs the Overlord read, or write, what is named",
    ),
    Hint(
        "diskFull",
        r"no space left|disk quota exceeded",
        "make room, or move druid.indexer.task.baseTaskDir or druid.storage.storageDirectory to a larger disk",
    ),
    Hint("damagedInput", r"damaged \w+ data|compressed by", "the file is broken or of another compression: replace it"),
    Hint("inputChanged", r"changed while it was read", "submit it again once nobody writes to the file"),
    Hint(
        "unsupported",
        r"not supported|not built yet|unknown type|cannot be run",
        "change the part of the spec that is named",
    ),
    Hint(
        "killed",
        r"killed by signal 9",
        "look in the kernel's log (dmesg) whether memory ran out; if so, lower druid.worker.capacity or "
        "ovl.task.memoryBytes",
    ),
    Hint("signal", r"killed by signal|stopped by sigterm", "find out who sent the signal, and submit it again"),
    Hint("memory", r"out of memory|MemoryError", "lower tuningConfig.maxRowsInMemory, or give each slot more memory"),
    Hint(
        "lost",
        r"not been heard of|without an end file|process cannot be seen",
        "look whether its machine was restarted, and submit it again; context.retry does so by itself",
    ),
    Hint(
        "notReady",
        r"waiting for task to be ready",
        "correct what is named and submit it again; it never ran",
    ),
    Hint("noOverlord", r"did not answer POST", "the Overlord was away for too long: submit it again"),
    Hint(
        "start",
        r"cannot be started on this machine",
        "correct what is named, on the worker's machine, and submit it again",
    ),
)

_OTHER = Hint("other", "", "read the whole cause, then the log: GET task/{id}/log")


def hint_for(*texts: str) -> Hint:
    """The hint for a failure: the first text, most to the point, in which one is found."""
    for text in texts:
        for hint in HINTS:
            if re.search(hint.pattern, text, re.IGNORECASE):
                return hint
    return _OTHER
