"""How much memory a task takes."""

from __future__ import annotations

import os
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_NOT_RECLAIMABLE = ("Pss_Anon:", "Pss_Shmem:", "SwapPss:")


def members_of_groups(groups: set[int]) -> dict[int, list[int]]:
    """The processes of each process group, from one walk over /proc; those that only wait to be reaped as well."""
    members: dict[int, list[int]] = {group: [] for group in groups}
    for name in os.listdir("/proc"):  # noqa: PTH208 - names are enough
        if not name.isdigit():
            continue
        try:
            group = os.getpgid(int(name))  # every process is asked each second: no file is opened for that
        except ProcessLookupError:
            continue
        if group in members:
            members[group].append(int(name))
    return members


def rss_bytes(pid: int) -> int:
    """Resident memory, cheap to read and never less than `pss_bytes`; 0 when the process is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def pss_bytes(pid: int) -> int:
    """The process's share of resident memory, without pages of files, which the kernel takes back at will.

    So a task that maps its spill files is not ended for what is but cache.
    """
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0
    sizes = {line.split()[0]: int(line.split()[1]) * 1024 for line in text.splitlines()[1:]}
    if _NOT_RECLAIMABLE[0] not in sizes:  # before Linux 5.4
        return sizes.get("Pss:", 0)
    return sum(sizes.get(name, 0) for name in _NOT_RECLAIMABLE)


def group_bytes(pids: list[int], limit: int) -> int:
    """Memory of a group, exactly when it comes near `limit`, else an upper bound."""
    bound = sum(rss_bytes(pid) for pid in pids)
    return bound if bound <= limit else sum(pss_bytes(pid) for pid in pids)
