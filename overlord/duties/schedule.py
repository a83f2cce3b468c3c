"""When duties run, on the server that leads: one after the other, on APScheduler's clock."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from overlord import metrics
from overlord.duties.base import Duty, Run, duties
from overlord.errors import BadRequest, NotFound, OverlordError, SettingError, Unavailable
from overlord.model.instant import format_instant, now_ms
from overlord.store import duties as store

if TYPE_CHECKING:
    from overlord.services import Services

_log = logging.getLogger(__name__)
logging.getLogger("apscheduler").setLevel(logging.WARNING)  # a line for each job it adds


def check(settings: Mapping[str, Any]) -> None:
    """Refuse settings that a duty which is on cannot work with.

    Raises
    ------
    SettingError
        All of them, in one message.
    """
    made = [duties[name]() for name in duties]
    faults = [fault for duty in made if duty.is_on(settings) for fault in duty.faults(settings)]
    if faults:
        raise SettingError("\n".join(faults))


class Duties:
    """The duties of this server.

    Parameters
    ----------
    services : callable
        The parts of this server; asked for when they are needed, as the duties are one of them.
    """

    def __init__(self, services: Callable[[], Services]) -> None:
        self._services = services
        self._epoch: int | None = None
        self._clock: Any = None
        self._duties: dict[str, Duty] = {name: duties[name]() for name in duties}
        self._at_work: set[str] = set()
        self._guard = threading.Lock()  # of the set above

    # ---- leading ----

    def start(self, epoch: int) -> None:
        """Lead: each duty that is on runs when its time has come."""
        services = self._services()
        self._epoch = epoch
        self._duties = {name: duties[name]() for name in duties}
        with services.db.transaction() as tx:
            last = store.last_runs(tx)
        clock = BackgroundScheduler(executors={"default": ThreadPoolExecutor(1)}, timezone=UTC, daemon=True)
        for name, duty in self._duties.items():
            if duty.is_on(services.settings):
                clock.add_job(
                    self._run_in_turn,
                    IntervalTrigger(seconds=max(1.0, duty.period_ms(services.settings) / 1000), timezone=UTC),
                    args=(name,),
                    id=name,
                    next_run_time=_first(duty, services.settings, last.get(name)),
                    coalesce=True,
                    max_instances=1,
                    misfire_grace_time=None,
                )
        clock.start()
        self._clock = clock

    def stop(self) -> None:
        """Lead no more. A duty in the middle of its work fails at the fence with its next batch."""
        self._epoch = None
        clock, self._clock = self._clock, None
        if clock is not None:
            clock.shutdown(wait=False)

    # ---- running ----

    def run(self, name: str, *, dry: bool = False) -> dict[str, Any]:
        """Run a duty now, whether or not it is on.

        Raises
        ------
        BadRequest
            There is none of this name, its settings do not allow it, or it is at work.
        Unavailable
            This server does not lead.
        """
        if name not in self._duties:
            raise NotFound(f"There is no duty [{name}]; there are [{', '.join(sorted(self._duties))}]", where="name")
        duty, services, epoch = self._duties[name], self._services(), self._epoch
        if epoch is None:
            raise Unavailable("This server does not lead")
        if faults := list(duty.faults(services.settings)):
            raise BadRequest(f"Duty [{name}] cannot run: {'; '.join(faults)}", where=name)
        run = Run(services=services, epoch=epoch, now_ms=now_ms(), dry=dry)
        if dry:
            return _told(name, run, duty.run(run))
        with self._alone(name):
            return self._noted(duty, run)

    def _noted(self, duty: Duty, run: Run) -> dict[str, Any]:
        """Run, log, and write down that it ran."""
        began = time.monotonic()
        counts: dict[str, Any] = {}
        error: str | None = None
        try:
            counts = duty.run(run)
        except Exception as failure:
            error = failure.message if isinstance(failure, OverlordError) else f"{type(failure).__name__}: {failure}"
            raise
        finally:
            took_ms = round((time.monotonic() - began) * 1000)
            metrics.observe("ovl/duty/run/time", took_ms / 1000, duty=duty.name, outcome="failed" if error else "ok")
            _log.info("duty name=%s duration_ms=%d counts=%s error=%s", duty.name, took_ms, counts, error)
            self._note(duty.name, run, took_ms, counts, error)
        return _told(duty.name, run, counts) | {"durationMs": took_ms}

    @staticmethod
    def _note(name: str, run: Run, took_ms: int, counts: dict[str, Any], error: str | None) -> None:
        try:
            with run.transaction() as tx:
                store.ran(tx, name, run.now_ms, took_ms, counts, error)
        except OverlordError as failure:
            _log.warning("The run of duty[%s] cannot be noted: %s", name, failure.message)

    def _run_in_turn(self, name: str) -> None:
        try:
            self.run(name)
        except OverlordError as failure:
            _log.warning("duty[%s]: %s", name, failure.message)
        except Exception:
            _log.exception("duty[%s] failed; it runs again in its time", name)

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        with self._guard:
            if name in self._at_work:
                raise BadRequest(f"Duty [{name}] is at work; ask again when it has ended", where=name)
            self._at_work.add(name)
        try:
            yield
        finally:
            with self._guard:
                self._at_work.discard(name)

    # ---- looking ----

    def listed(self, *, dry: bool = False) -> list[dict[str, Any]]:
        """Each duty with its last run, its next, and, if asked for, what would go now."""
        services = self._services()
        with services.db.transaction() as tx:
            last = store.last_runs(tx)
        return [self._described(name, services.settings, last.get(name), dry) for name in sorted(self._duties)]

    def _described(
        self, name: str, settings: Mapping[str, Any], last: dict[str, Any] | None, dry: bool
    ) -> dict[str, Any]:
        duty = self._duties[name]
        clock = self._clock
        job = clock.get_job(name) if clock is not None else None
        described: dict[str, Any] = {
            "name": name,
            "on": duty.is_on(settings),
            "setting": duty.switch,
            "periodMs": duty.period_ms(settings),
            "atWork": name in self._at_work,
            "lastRun": None if last is None else _last(last),
            "nextRun": None if job is None or job.next_run_time is None else _instant(job.next_run_time),
        }
        if dry:
            try:
                described["wouldGo"] = self.run(name, dry=True)["counts"]
            except BadRequest as refused:
                described["wouldGo"] = {"error": refused.message}
        return described


def _first(duty: Duty, settings: Mapping[str, Any], last: dict[str, Any] | None) -> datetime:
    """After the start's delay, and not before its period is over."""
    earliest = datetime.now(UTC) + timedelta(milliseconds=duty.first_delay_ms(settings))
    if last is None:
        return earliest
    due: datetime = last["ran_at"] + timedelta(milliseconds=duty.period_ms(settings))
    return max(earliest, due)


def _told(name: str, run: Run, counts: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "dryRun": run.dry, "time": format_instant(run.now_ms), "counts": counts}


def _last(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "time": _instant(row["ran_at"]),
        "durationMs": row["duration_ms"],
        "counts": row["counts"],
        "error": row["error"],
    }


def _instant(when: datetime) -> str:
    return format_instant(round(when.timestamp() * 1000))
