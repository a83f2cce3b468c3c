"""The kafka supervisor: its thread, which takes notices and runs in turn, and what others see of it."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from overlord.errors import BadRequest
from overlord.model.instant import format_instant, now_ms
from overlord.model.supervisor import SupervisorSpec, SupervisorState
from overlord.store import events
from overlord.store.tasks import fence
from overlord.supervisors.base import Supervisor, supervisor_types
from overlord.supervisors.kafka.broker import Broker, StreamFault
from overlord.supervisors.kafka.engine import Engine
from overlord.supervisors.kafka.groups import Offsets, shown
from overlord.supervisors.kafka.health import Health
from overlord.supervisors.kafka.records import Records
from overlord.supervisors.kafka.scaler import LagScaler
from overlord.supervisors.kafka.talk import Talk
from overlord.supervisors.kafka.tasks import duration_ms
from overlord.supervisors.kafka.times import Times

if TYPE_CHECKING:
    from overlord.services import Services

_log = logging.getLogger(__name__)

_AFTER_CREATION_S = 5.0
_IDLE_AFTER_MS = 600_000
_FIRST_FETCH_S = 1.0
_EVENT_S = 5.0

Notice = Callable[[], None]


@supervisor_types.add("kafka")
class KafkaSupervisor(Supervisor):
    """Keeps tasks reading the topic of its spec."""

    def __init__(self, spec: SupervisorSpec, services: Services, epoch: int) -> None:
        super().__init__(spec, services, epoch)
        parts = spec.payload["spec"]
        self._io: dict[str, Any] = parts["ioConfig"]
        self._tuning: dict[str, Any] = parts["tuningConfig"]
        self._stopping = threading.Event()
        self._health = Health(suspended=spec.suspended)
        self._told = self._health.state
        self._broker = Broker(self._io, self._stopping)
        self._records = Records(services.db, spec.datasources[0], self._io["stream"], epoch)
        self._patience_s = duration_ms(self._tuning["shutdownTimeout"]) / 1000
        self._talk = Talk(
            services.db, timeout_s=duration_ms(self._tuning["httpTimeout"]) / 1000, patience_s=self._patience_s
        )
        self._engine = Engine(
            spec, services, broker=self._broker, records=self._records, talk=self._talk, health=self._health
        )
        self._notices: queue.SimpleQueue[Notice | None] = queue.SimpleQueue()
        self._graceful = False
        self._working = threading.Thread(target=self._work, name=f"kafka-{self.id}", daemon=True)
        self._fetching = threading.Thread(target=self._fetch, name=f"kafka-{self.id}-offsets", daemon=True)
        self._latest: Offsets | None = None
        self._latest_ms: int | None = None
        self._times = Times(self._io) if self._io["emitTimeLagMetrics"] else None
        self._time_lag: Offsets | None = None
        self._stored: Offsets = {}
        self._active_at = time.monotonic()
        self._idle = False
        scaler = self._io["autoScalerConfig"]
        enabled = scaler is not None and scaler["enableTaskAutoScaler"]
        self._scaler = LagScaler(scaler, time.monotonic()) if enabled else None

    def check(self) -> None:
        """Refuse a spec that cannot run for want of a package."""
        if self.spec.suspended:
            return
        try:
            import confluent_kafka  # noqa: F401
        except ImportError:
            raise BadRequest(
                "This Overlord cannot read Kafka: the package confluent-kafka is missing",
                where="type",
                hint="pip install 'overlord[kafka]'; or keep the supervisor suspended",
            ) from None

    def start(self) -> None:
        self._working.start()
        self._fetching.start()

    def stop(self, *, graceful: bool) -> None:
        self._health.stop()
        self._graceful = graceful
        self._stopping.set()
        if self._fetching.is_alive():  # first: a wait for the broker would hold the answer while tasks publish already
            self._fetching.join(1.0)
        self._notices.put(None)
        if self._working.is_alive():
            self._working.join(self._patience_s + _EVENT_S if graceful else 1.0)

    # ---- notices ----

    def reset(self, metadata: Mapping[str, Any] | None = None) -> None:
        names = None if metadata is None else list(self._records.read({**metadata}))
        self._notices.put(lambda: self._engine.reset(names))

    def reset_offsets(self, metadata: Mapping[str, Any]) -> None:
        offsets = self._records.read(metadata)
        self._notices.put(lambda: self._engine.reset_to(offsets))

    def handoff(self, group_ids: list[int]) -> None:
        self._notices.put(lambda: self._engine.handoff(group_ids))

    def checkpoint(self, group_id: int, metadata: Mapping[str, Any]) -> None:
        partitions = metadata["partitions"]
        found = partitions.get("partitionSequenceNumberMap") or partitions.get("partitionOffsetMap") or {}
        start = {str(name): int(offset) for name, offset in found.items()}
        self._notices.put(lambda: self._engine.checkpoint(group_id, start))

    # ---- the thread ----

    def _work(self) -> None:
        due = time.monotonic() + duration_ms(self._io["startDelay"]) / 1000
        period_s = duration_ms(self._io["period"]) / 1000
        while True:
            try:
                notice = self._notices.get(timeout=max(0.0, due - time.monotonic()))
            except queue.Empty:
                created = self._guarded(self._run)
                self._tell_health()
                due = time.monotonic() + (min(_AFTER_CREATION_S, period_s) if created else period_s)
                continue
            if notice is None:
                break
            self._guarded(notice)
            self._tell_health()
        if self._graceful:
            self._guarded(self._leave)

    def _run(self) -> bool:
        if self._stopping.is_set():
            return False
        try:
            created = self._engine.run(idle=self._rests())
        except StreamFault:
            self._engine.look()  # tasks that run are no worse for a broker that does not answer
            raise
        self._health.good(idle=self._idle)
        self._scale()
        return created

    def _guarded(self, step: Callable[[], Any]) -> Any:
        try:
            return step()
        except Exception as error:
            if self._stopping.is_set():
                _log.info("supervisor[%s], being stopped: %s", self.id, error)
                return None
            level = logging.WARNING if isinstance(error, StreamFault) else logging.ERROR
            _log.log(level, "supervisor[%s]: %s", self.id, error, exc_info=not isinstance(error, StreamFault))
            self._health.bad(error)
            return None

    def _tell_health(self) -> None:
        """An event when it has become healthy, or has ceased to be."""
        before, now = self._told, self._health.state
        if now.healthy == before.healthy or now.detailed == "STOPPING":
            return
        try:
            with self.services.db.transaction() as tx:
                if fence(tx, self.epoch):
                    detail = {"from": before.detailed, "to": now.detailed}
                    events.note_supervisor(tx, self.id, self.spec, "healthy" if now.healthy else "unhealthy", detail)
        except Exception as error:
            _log.warning("supervisor[%s] cannot tell that it is %s: %s", self.id, now.detailed, error)
            return  # after the next run
        self._told = now

    def _leave(self) -> None:
        """The spec has changed or is gone: let all that is read be published."""
        self._engine.look()
        self._engine.end(list(self._engine.active.values()))

    def _rests(self) -> bool:
        """Whether the stream has brought nothing for so long that no tasks are needed."""
        config = self._io["idleConfig"]
        if config is None or not config["enabled"]:
            return False
        latest = self._latest
        after_s = (config["inactiveAfterMillis"] or _IDLE_AFTER_MS) / 1000
        quiet = latest is not None and self._total_lag() == 0
        self._idle = quiet and time.monotonic() - self._active_at >= after_s
        return self._idle

    def _scale(self) -> None:
        if self._scaler is None or self.spec.suspended or self._latest is None:
            return
        now = time.monotonic()
        self._scaler.collect([max(0, lag) for lag in self._lag().values()], now)
        wanted = self._scaler.decide(self._engine.task_count, len(self._engine.partitions), now)
        if wanted != self._engine.task_count:
            self._engine.scale(wanted)

    # ---- offsets, fetched beside ----

    def _fetch(self) -> None:
        every_s = duration_ms(self._tuning["offsetFetchPeriod"]) / 1000
        wait_s = duration_ms(self._io["startDelay"]) / 1000 + _FIRST_FETCH_S
        while not self._stopping.wait(wait_s):
            wait_s = every_s if self._latest is not None else min(every_s, _FIRST_FETCH_S)
            if not self._engine.partitions:
                continue
            try:
                self._fetch_once()
            except Exception as error:
                _log.info("supervisor[%s] cannot fetch offsets: %s", self.id, error)

    def _fetch_once(self) -> None:
        latest = self._broker.latest(self._engine.partitions)
        self._engine.look_at_offsets()
        self._stored = self._records.stored()
        if latest != self._latest or self._lagging(latest):
            self._active_at = time.monotonic()
        if self._times is not None:
            self._time_lag = self._times.lag(self._engine.highest(self._stored), latest)
        self._latest, self._latest_ms = latest, now_ms()

    def _lagging(self, latest: Offsets) -> bool:
        highest = self._engine.highest(self._stored)
        return any(offset > highest.get(name, offset) for name, offset in latest.items())

    def _lag(self) -> dict[str, int]:
        if self._latest is None:
            return {}
        highest = self._engine.highest(self._stored)
        return {name: offset - highest[name] for name, offset in self._latest.items() if name in highest}

    def _total_lag(self) -> int:
        return sum(max(0, lag) for lag in self._lag().values())

    # ---- what others see ----

    def state(self) -> SupervisorState:
        return self._health.state

    def healthy(self) -> bool:
        return self._health.state.healthy

    def status(self) -> dict[str, Any]:
        state, now, engine = self._health.state, now_ms(), self._engine
        length = duration_ms(self._io["taskDuration"])
        active, publishing = [], []
        for group in sorted([*engine.active.values()], key=lambda each: each.id):
            for member in list(group.members.values()):
                active.append(shown(member, group, now, duration_ms=length, latest=self._latest, left_s=None))
        for group in list(engine.publishing):
            left = max(0, int(group.deadline - time.monotonic()))
            for member in list(group.members.values()):
                publishing.append(shown(member, group, now, duration_ms=length, latest=None, left_s=left))
        payload: dict[str, Any] = {
            "dataSource": self.spec.datasources[0],
            "stream": self.spec.source,
            "partitions": len(engine.partitions),
            "replicas": self._io["replicas"],
            "durationSeconds": length // 1000,
            "activeTasks": active,
            "publishingTasks": publishing,
        }
        if self._latest is not None:
            payload["latestOffsets"] = self._latest
        payload |= {"minimumLag": self._lag(), "aggregateLag": self._total_lag()}
        if self._time_lag is not None:
            total = sum(max(0, lag) for lag in self._time_lag.values())
            payload |= {"minimumLagMillis": self._time_lag, "aggregateLagMillis": total}
        if self._latest_ms is not None:
            payload["offsetsLastUpdated"] = format_instant(self._latest_ms)
        return payload | {
            "suspended": self.spec.suspended,
            "healthy": state.healthy,
            "state": state.state,
            "detailedState": state.detailed,
            "recentErrors": self._health.errors,
        }

    def stats(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for group_id, task_id, answer in self._ask_all("rowStats"):
            found.setdefault(str(group_id), {})[task_id] = answer
        return found

    def parse_errors(self) -> list[Any]:
        errors = [each for _, _, answer in self._ask_all("unparseableEvents") for each in answer]
        errors.sort(key=lambda each: each["timeOfExceptionMillis"], reverse=True)
        return errors[: max(self._tuning["maxSavedParseExceptions"], 0)]

    def _ask_all(self, path: str) -> list[tuple[int, str, Any]]:
        groups = [*self._engine.active.values(), *self._engine.publishing]
        running = {task_id: group.id for group in groups for task_id, member in list(group.members.items())}
        answers = self._talk.each(running, lambda task_id: self._talk.get(task_id, path))
        return [(running[task_id], task_id, found) for task_id, found in answers.items() if found is not None]
