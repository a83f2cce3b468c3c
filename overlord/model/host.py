"""A process as it is known on its host: (boot id, pid, start time) never names two processes."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ProcessIdentity:
    """Attributes
    ----------
    host : str
        Name of the machine, to tell a reboot from another machine.
    boot_id : str
        The kernel's, new with each boot.
    pid : int
    start_time : int
        Clock ticks from boot to the start of the process.
    """

    host: str
    boot_id: str
    pid: int
    start_time: int

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity | None:
        """The identity of a living process, None for a dead one."""
        started = start_time(pid)
        if started is None:
            return None
        return cls(host=socket.gethostname(), boot_id=boot_id(), pid=pid, start_time=started)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> ProcessIdentity:
        """Of what `to_json` gave."""
        return cls(
            host=str(value["host"]),
            boot_id=str(value["boot_id"]),
            pid=int(value["pid"]),
            start_time=int(value["start_time"]),
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {"host": self.host, "boot_id": self.boot_id, "pid": self.pid, "start_time": self.start_time}

    def is_here(self) -> bool:
        """Whether it is, or was, a process of this machine."""
        return self.boot_id == boot_id() or self.host == socket.gethostname()

    def is_alive(self) -> bool:
        """Whether that very process lives on this machine; one that only waits to be reaped does not."""
        return self.boot_id == boot_id() and start_time(self.pid) == self.start_time


@cache
def boot_id() -> str:
    """The kernel's id of this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def start_time(pid: int) -> int | None:
    """Start of a living process in clock ticks since boot; None when there is none, or only a zombie."""
    fields = stat_fields(pid)
    if fields is None or fields[0] in ("Z", "X"):
        return None
    return int(fields[19])


def stat_fields(pid: int) -> list[str] | None:
    """Fields of `/proc/<pid>/stat` from the third (state) on; the name before may hold anything."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    return text[text.rindex(b")") + 2 :].decode("ascii").split()


def signal_group(identity: ProcessIdentity, number: int) -> bool:
    """Signal the process group that `identity` leads; False when it is gone."""
    if not identity.is_alive():
        return False
    try:
        os.killpg(identity.pid, number)
    except ProcessLookupError:
        return False
    return True
