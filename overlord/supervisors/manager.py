"""All supervisors of the server that leads: their specs in Postgres, their objects here.

A change of one supervisor waits for that supervisor alone: each has a lock of its own, and no other is held while one
stops. The new version is committed before the old object is stopped, so a server killed in between starts the new one;
what cannot be accepted (a spec that is refused, a database that is away) leaves the old object running.
"""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from overlord.errors import BadRequest, OverlordError, Unavailable
from overlord.model.audit import AuditInfo
from overlord.model.instant import format_instant, now_ms
from overlord.model.supervisor import SupervisorSpec
from overlord.schemas import stored_supervisor
from overlord.store import events
from overlord.store import supervisors as store
from overlord.store import tasks as tasks_store
from overlord.supervisors.base import Supervisor, supervisor_types
from overlord.supervisors.compaction import CompactionScheduler

if TYPE_CHECKING:
    from overlord.services import Services

_log = logging.getLogger(__name__)

_AT_ONCE = 16
_QUICK_STOP_S = 5.0


class SupervisorManager:
    """The supervisors.

    Parameters
    ----------
    services : callable
        The parts of this server; asked for when they are needed, as the manager is one of them.

    Attributes
    ----------
    compaction : CompactionScheduler
        Compacts, for autocompact supervisors or by the compaction configuration.
    """

    def __init__(self, services: Callable[[], Services]) -> None:
        self._services = services
        self._epoch: int | None = None
        self._running: dict[str, Supervisor] = {}
        self._doors: dict[str, tuple[threading.Lock, int]] = {}
        self.compaction = CompactionScheduler(services, self._compacted)
        self._guard = threading.Lock()  # of the three above; never held over anything slow

    # ---- leading ----

    def start(self, epoch: int) -> None:
        """Lead: start what the last versions say. One that cannot be started does not keep others from it."""
        with self._services().db.transaction() as tx:
            rows = store.latest(tx)
        self._epoch = epoch
        for spec_id, payload in rows:
            try:
                spec = stored_supervisor(payload)
                if not spec.is_noop:
                    self._begin(self._make(spec))
            except Exception:
                _log.exception("supervisor[%s] cannot be started from its stored spec", spec_id)
        self.compaction.start()

    def stop(self) -> None:
        """Lead no more: every object stops at once, tasks go on."""
        with self._guard:
            self._epoch = None
            left = list(self._running.values())
            self._running.clear()
        self.compaction.stop()
        threads = [threading.Thread(target=_stop, args=(each, False), daemon=True) for each in left]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(_QUICK_STOP_S)

    # ---- looking ----

    def ids(self) -> list[str]:
        """Of all that run or are suspended."""
        with self._guard:
            return list(self._running)

    def find(self, supervisor_id: str) -> Supervisor | None:
        """One of them."""
        with self._guard:
            return self._running.get(supervisor_id)

    def all(self) -> list[Supervisor]:
        """All of them."""
        with self._guard:
            return list(self._running.values())

    # ---- changing ----

    def submit(self, spec: SupervisorSpec, audit: AuditInfo, *, skip_unmodified: bool = False) -> bool:
        """Create a supervisor, or replace it by one of this spec.

        Parameters
        ----------
        spec : SupervisorSpec
        audit : AuditInfo
        skip_unmodified : bool
            Leave it alone if it runs with an equal spec.

        Returns
        -------
        bool
            False if it was left alone.
        """
        assert spec.id is not None
        with self._alone(spec.id):
            old = self.find(spec.id)
            equal = old is not None and old.spec.written == spec.written
            if equal and skip_unmodified:
                return False
            self._replace(old, spec, version=not equal, audit=audit, event="created" if old is None else "updated")
        return True

    def suspend(self, supervisor_id: str) -> SupervisorSpec | None:
        """Suspend one; its new spec, or None if there is no such supervisor.

        Raises
        ------
        BadRequest
            It is suspended already.
        """
        return self._toggle(supervisor_id, suspended=True)

    def resume(self, supervisor_id: str) -> SupervisorSpec | None:
        """Resume one; its new spec, or None if there is no such supervisor.

        Raises
        ------
        BadRequest
            It is running already.
        """
        return self._toggle(supervisor_id, suspended=False)

    def _toggle(self, supervisor_id: str, *, suspended: bool) -> SupervisorSpec | None:
        with self._alone(supervisor_id):
            old = self.find(supervisor_id)
            if old is None:
                return None
            if old.spec.suspended == suspended:
                raise BadRequest(f"[{supervisor_id}] is already {'suspended' if suspended else 'running'}")
            spec = old.spec.with_suspended(suspended)
            self._replace(old, spec, version=True, event="suspended" if suspended else "resumed")
            return spec

    def terminate(self, supervisor_id: str) -> bool:
        """End one for good; False if there is no such supervisor."""
        with self._alone(supervisor_id):
            old = self.find(supervisor_id)
            if old is None:
                return False
            self._write(supervisor_id, old.spec.tombstone(), event="terminated")
            _stop(old, True)
            with self._guard:
                if self._running.get(supervisor_id) is old:
                    del self._running[supervisor_id]
        _log.info("supervisor terminated id=%s", supervisor_id)
        return True

    def suspend_all(self) -> None:
        """Suspend each that is not."""
        self._each(lambda each: None if each.spec.suspended else self.suspend(each.id))

    def resume_all(self) -> None:
        """Resume each that is suspended."""
        self._each(lambda each: self.resume(each.id) if each.spec.suspended else None)

    def terminate_all(self) -> None:
        """Terminate each."""
        self._each(lambda each: self.terminate(each.id))

    def _each(self, change: Callable[[Supervisor], object]) -> None:
        """Change all, several at a time; one that fails does not stop the others."""
        left = self.all()
        if not left:
            return
        with ThreadPoolExecutor(min(_AT_ONCE, len(left)), "supervisors") as pool:
            results = [pool.submit(change, each) for each in left]
        for failed in (result.exception() for result in results):
            if isinstance(failed, BadRequest):
                continue  # someone else was faster
            if failed is not None:
                raise failed

    # ---- what tasks say ----

    def reset_datasource(self, datasource: str, metadata: Mapping[str, Any] | None) -> bool:
        """Forget offsets that a task could not read; False if no supervisor took it."""
        found = self._streaming(datasource)
        if found is None:
            return False
        try:
            found.reset(metadata)
        except BadRequest as error:
            _log.warning("supervisor[%s] took no reset: %s", datasource, error.message)
            return False
        return True

    def checkpoint(self, supervisor_id: str, group_id: int, metadata: Mapping[str, Any]) -> bool:
        """Pass on that a task group has come to the end of a sequence; False if no supervisor took it."""
        found = self._streaming(supervisor_id)
        if found is None:
            return False
        try:
            found.checkpoint(group_id, metadata)
        except OverlordError as error:
            _log.warning("supervisor[%s] took no checkpoint: %s", supervisor_id, error.message)
            return False
        return True

    def _streaming(self, name: str) -> Supervisor | None:
        """By its id; or, as tasks know only that, by its datasource."""
        found = self.find(name)
        if found is not None:
            return found
        return next((each for each in self.all() if each.spec.type == "kafka" and name in each.spec.datasources), None)

    # ---- inside ----

    def _compacted(self) -> list[dict[str, Any]]:
        """Configurations of the autocompact supervisors that are not suspended."""
        found = [each.spec for each in self.all() if each.spec.type == "autocompact"]
        return [spec.payload["spec"] for spec in found if not spec.suspended]

    def _leading(self) -> int:
        if self._epoch is None:
            raise Unavailable("This server does not lead")
        return self._epoch

    @contextmanager
    def _alone(self, supervisor_id: str) -> Iterator[None]:
        """Be the only one who changes this supervisor."""
        with self._guard:
            door, waiting = self._doors.get(supervisor_id, (threading.Lock(), 0))
            self._doors[supervisor_id] = (door, waiting + 1)
        try:
            with door:
                yield
        finally:
            with self._guard:
                door, waiting = self._doors.pop(supervisor_id)
                if waiting > 1:
                    self._doors[supervisor_id] = (door, waiting - 1)

    def _make(self, spec: SupervisorSpec) -> Supervisor:
        return supervisor_types[spec.type](spec, self._services(), self._leading())

    def _begin(self, supervisor: Supervisor) -> None:
        """Show an object to everybody and start it."""
        with self._guard:
            self._still(supervisor)
            self._running[supervisor.id] = supervisor
        supervisor.start()
        try:
            self._still(supervisor)
        except Unavailable:
            _stop(supervisor, False)  # `stop` came before the start
            raise

    def _still(self, supervisor: Supervisor) -> None:
        if self._epoch != supervisor.epoch:
            raise Unavailable("This server does not lead any more")

    def _replace(
        self,
        old: Supervisor | None,
        spec: SupervisorSpec,
        *,
        version: bool,
        event: str,
        audit: AuditInfo | None = None,
    ) -> None:
        new = self._make(spec)
        new.check()
        self._write(new.id, spec, event=event, version=version, audit=audit)
        if old is not None:
            _stop(old, True)
        try:
            self._begin(new)
        except Unavailable:
            raise  # the next leader starts it
        except Exception:
            _log.exception("supervisor[%s] did not start; what was before comes back", new.id)
            self._restore(new, old)
            raise
        _log.info("supervisor started id=%s type=%s suspended=%s", new.id, spec.type, spec.suspended)

    def _restore(self, failed: Supervisor, old: Supervisor | None) -> None:
        _stop(failed, False)
        with self._guard:
            self._running.pop(failed.id, None)
        before = failed.spec.tombstone() if old is None else old.spec
        self._write(failed.id, before, event="terminated" if old is None else "updated")
        if old is not None:
            self._begin(self._make(old.spec))

    def _write(
        self,
        supervisor_id: str,
        spec: SupervisorSpec,
        *,
        event: str,
        version: bool = True,
        audit: AuditInfo | None = None,
    ) -> None:
        """Commit a version, if it is one, the event, and the audit row of a post."""
        epoch, db = self._leading(), self._services().db

        def body() -> None:
            at = format_instant(now_ms())
            with db.transaction() as tx:
                if not tasks_store.fence(tx, epoch):
                    raise Unavailable("This server does not lead any more")
                if version:
                    store.append(tx, supervisor_id, spec, at)
                events.note_supervisor(tx, supervisor_id, spec, event)
                if audit is not None:
                    store.write_audit(tx, spec, audit, at)

        db.retry(body)


def _stop(supervisor: Supervisor, graceful: bool) -> None:
    try:
        supervisor.stop(graceful=graceful)
    except Exception:
        _log.exception("supervisor[%s] did not stop well", supervisor.id)


for _module in ("noop", "autocompact", "scheduled", "kafka"):
    importlib.import_module(f"overlord.supervisors.{_module}")
