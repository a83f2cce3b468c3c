"""What a parent shows: its report, and the file that the chat routes are answered from."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from workers.context import TaskContext
from workers.files import write_json
from workers.parallel.phase import Phase, SubTaskSpec
from workers.publish.availability import Availability
from workers.tasks.index import REPORT

FILE = "subtasks.json"
_EVERY_S = 0.2
_COUNTERS = ("processed", "processedBytes", "processedWithError", "thrownAway", "unparseable")
_BUILDING = ("single_phase_sub_task", "partial_index_generate", "partial_range_index_generate")


class Shown:
    """See the module's text."""

    def __init__(self, ctx: TaskContext) -> None:
        self._ctx = ctx
        self._phase: Phase | None = None
        self._totals = dict.fromkeys(_COUNTERS, 0)
        self._events: list[Any] = []
        self._counted: set[str] = set()
        self._segments_read: int | None = None
        self.availability = Availability()
        self._shown_at = float("-inf")

    def begin(self, phase: Phase) -> None:
        """Another phase."""
        self._phase = phase
        self._shown_at = float("-inf")
        self._ctx.log.info("Phase[%s] begins with [%d] sub-tasks", phase.name, len(phase.specs))
        self.show()

    def count(self, result: Mapping[str, Any]) -> None:
        """Add what a sub-task has built."""
        phase = self._phase
        if phase is None or phase.kind not in _BUILDING or result["subTaskId"] in self._counted:
            return
        self._counted.add(result["subTaskId"])
        for name, number in result["rowStats"]["buildSegments"].items():
            self._totals[name] += number
        if result.get("segmentsRead") is not None and phase.kind != "single_phase_sub_task":
            self._segments_read = (self._segments_read or 0) + int(result["segmentsRead"])
        self._events = [*result["unparseableEvents"]["buildSegments"], *self._events]

    def report(self, *, error: str | None = None, published: int | None = None) -> dict[str, Any]:
        """The payload of `ingestionStatsAndErrors`."""
        payload: dict[str, Any] = {
            "ingestionState": "COMPLETED" if published is not None or error is not None else "BUILD_SEGMENTS",
            "unparseableEvents": {"buildSegments": self._events},
            "rowStats": {"totals": {"buildSegments": self._totals}},
            "errorMsg": error,
            "segmentAvailabilityConfirmed": self.availability.confirmed,
            "segmentAvailabilityWaitTimeMs": self.availability.waited_ms,
            "recordsProcessed": {},
        }
        if published is None:
            return payload
        read = {} if self._segments_read is None else {"segmentsRead": self._segments_read}
        return payload | read | {"segmentsPublished": published}

    def show(self) -> None:
        """Write the state as it is now; not at each small step."""
        phase = self._phase
        if phase is None:
            return
        running = sum(spec.running is not None for spec in phase.specs)
        succeeded = sum(spec.result is not None for spec in phase.specs)
        all_done = succeeded == len(phase.specs)
        if time.monotonic() - self._shown_at < _EVERY_S and not all_done:
            return
        self._shown_at = time.monotonic()
        self._ctx.progress(phase=phase.name, subTasksDone=succeeded, subTasks=len(phase.specs))
        self._ctx.report.set(REPORT, self.report())
        write_json(
            self._ctx.dir.parent / FILE,
            {
                "phase": phase.name,
                "progress": {
                    "running": running,
                    "succeeded": succeeded,
                    "failed": 0,
                    "complete": succeeded,
                    "total": len(phase.specs),
                    "estimatedExpectedSucceeded": len(phase.specs),
                },
                "specs": [_spec_json(spec) for spec in phase.specs],
            },
        )


def _spec_json(spec: SubTaskSpec) -> dict[str, Any]:
    payload = spec.payload
    return {
        "id": spec.id,
        "running": spec.running,
        "complete": spec.result is not None,
        "tried": spec.tried,
        "succeededBy": None if spec.result is None else spec.result["subTaskId"],
        "spec": {
            "id": spec.id,
            "groupId": payload["groupId"],
            "supervisorTaskId": payload["supervisorTaskId"],
            "context": payload["context"],
            "inputSplit": None if spec.split is None else {"split": spec.split},
            "ingestionSpec": payload["spec"],
        },
    }
