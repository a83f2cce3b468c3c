"""Named points at which a test can kill the process, as a crash would.

`OVL_FAULT=after_push` kills at that point each time; `OVL_FAULT=after_push@/tmp/once` only for the
first process that makes the file. Points: see docs/durability.md.
"""

from __future__ import annotations

import os
import signal


def point(name: str) -> None:
    """Die here by SIGKILL if the environment says so; otherwise cost one dictionary look-up."""
    wanted = os.environ.get("OVL_FAULT")
    if not wanted:
        return
    for entry in wanted.split(","):
        at, _, once = entry.partition("@")
        if at != name:
            continue
        if once:
            try:
                os.close(os.open(once, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                continue
        os.kill(os.getpid(), signal.SIGKILL)
