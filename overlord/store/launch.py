"""Becomes Postgres: run as a script, in a process of its own, it gives up root, ties itself to its parent, and execs.

    python -I -S launch.py <way> <pid of parent> <folder to be in> <program> [argument ...]

Postgres refuses to run as root. Ways not to be it, none of which adds a user or changes modes of folders:

plain      we are not root.
userns     a user namespace in which root is called 65534. Reads what root reads. Some containers forbid it.
ambient    user 65534 with the one capability that passes by file permissions. Wants CAP_SETPCAP.
nobody     user 65534. All folders on the way to the program and the data must be open to it.

The signal at the parent's death is that of the parent's *thread* that forked, and a change of user clears it: so it
is asked for last. Only the standard library is imported: this may run where our packages cannot be read.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

NOBODY = 65534
WAYS = ("userns", "ambient", "nobody")

_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1
_PR_SET_SECUREBITS = 28
_NO_SETUID_FIXUP = 1 << 2
_PR_CAP_AMBIENT, _AMBIENT_RAISE = 47, 2
_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION_3 = 0x20080522


def main(arguments: list[str]) -> None:
    """Do as the arguments say; returns only by an exception."""
    way, parent, folder, program, *rest = arguments
    change = {"userns": _enter_namespace, "ambient": _keep_one_capability, "nobody": _become_nobody}
    if way != "plain":
        change[way]()
    _call("prctl", _PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0)
    if os.getppid() != int(parent):
        raise SystemExit("the parent is gone")
    os.chdir(folder)
    os.execv(program, [program, *rest])


def _enter_namespace() -> None:
    uid, gid = os.geteuid(), os.getegid()
    _call("unshare", _CLONE_NEWUSER)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{NOBODY} {uid} 1"), ("gid_map", f"{NOBODY} {gid} 1")):
        Path("/proc/self", name).write_text(text, encoding="ascii")


def _keep_one_capability() -> None:
    _call("prctl", _PR_SET_SECUREBITS, _NO_SETUID_FIXUP, 0, 0, 0)
    _become_nobody()
    _call("prctl", _PR_SET_SECUREBITS, 0, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    only = 1 << _CAP_DAC_OVERRIDE
    sets = (ctypes.c_uint32 * 6)(only, only, only, 0, 0, 0)  # effective, permitted, inheritable; then the upper halves
    _call("capset", header, sets)
    _call("prctl", _PR_CAP_AMBIENT, _AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)


def _become_nobody() -> None:
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def _call(name: str, *arguments: object) -> None:
    """A function of libc, whose failure raises."""
    libc = ctypes.CDLL(None, use_errno=True)
    plain = [ctypes.c_ulong(value) if isinstance(value, int) and name == "prctl" else value for value in arguments]
    if getattr(libc, name)(*plain) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


if __name__ == "__main__":
    main(sys.argv[1:])
