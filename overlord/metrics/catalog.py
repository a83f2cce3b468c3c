"""Every metric: Druid's own name where Druid has one, `ovl/…` for ours.

On the page `/metrics` a slash becomes `_`, Druid's get `druid_` before them, times `_seconds` behind, counts `_total`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

TIME, COUNT, GAUGE = "time", "count", "gauge"

FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
SLOW = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric.

    Attributes
    ----------
    name : str
        With slashes.
    kind : str
        TIME (a histogram of seconds), COUNT or GAUGE.
    help : str
    labels : tuple of str
    buckets : tuple of float
        Of a histogram.
    """

    name: str
    kind: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = FAST

    @property
    def exposed(self) -> str:
        """Its name on the page."""
        name = self.name.replace("/", "_")
        ending = {TIME: "_seconds", COUNT: "_total", GAUGE: ""}[self.kind]
        return ("" if name.startswith("ovl_") else "druid_") + name + ending


def _by_name(metrics: Iterable[Metric]) -> dict[str, Metric]:
    return {metric.name: metric for metric in metrics}


_TASK = ("dataSource", "taskType")

METRICS = _by_name(
    (
        Metric(
            name="task/run/time",
            kind=TIME,
            help="From the start of a task's last attempt to its end.",
            labels=(*_TASK, "taskStatus"),
            buckets=SLOW,
        ),
        Metric(
            name="task/pending/time",
            kind=TIME,
            help="From having all its locks to having a slot.",
            labels=_TASK,
            buckets=SLOW,
        ),
        Metric(
            name="task/waiting/time",
            kind=TIME,
            help="From submission to having all its locks.",
            labels=_TASK,
            buckets=SLOW,
        ),
        Metric(
            name="task/success/count",
            kind=COUNT,
            help="Tasks that ended SUCCESS.",
            labels=_TASK,
        ),
        Metric(
            name="task/failed/count",
            kind=COUNT,
            help="Tasks that ended FAILED, those that never ran too.",
            labels=_TASK,
        ),
        Metric(
            name="task/action/run/time",
            kind=TIME,
            help="Performing one action of a task; for a lock one look whether it can be had.",
            labels=("taskActionType",),
        ),
        Metric(
            name="task/action/failed/count",
            kind=COUNT,
            help="Actions that were refused or failed.",
            labels=("taskActionType",),
        ),
        Metric(
            name="lock/wait/time",
            kind=TIME,
            help="How long a lockAcquire that could not be granted at once waited; outcome is granted or gaveUp.",
            labels=("outcome",),
            buckets=SLOW,
        ),
        Metric(
            name="segment/added/count",
            kind=COUNT,
            help="Segments published.",
            labels=("dataSource",),
        ),
        Metric(
            name="segment/added/bytes",
            kind=COUNT,
            help="Bytes of segments published.",
            labels=("dataSource",),
        ),
        Metric(
            name="ovl/duty/run/time",
            kind=TIME,
            help="One run of a duty.",
            labels=("duty", "outcome"),
        ),
        Metric(
            name="ovl/http/request/time",
            kind=TIME,
            help="From a request's arrival in the application to its answer; sending of large answers comes on top.",
            labels=("method", "route", "status"),
        ),
        Metric(name="task/waiting/count", kind=GAUGE, help="Tasks that lack a lock.", labels=("dataSource",)),
        Metric(name="task/pending/count", kind=GAUGE, help="Tasks that lack a slot.", labels=("dataSource",)),
        Metric(name="task/running/count", kind=GAUGE, help="Tasks on a worker.", labels=("dataSource",)),
        Metric(name="taskSlot/total/count", kind=GAUGE, help="Slots of all workers."),
        Metric(name="taskSlot/used/count", kind=GAUGE, help="Slots with a task."),
        Metric(name="taskSlot/idle/count", kind=GAUGE, help="Slots without a task."),
        Metric(name="ovl/leader", kind=GAUGE, help="1 on the leader, 0 elsewhere."),
        Metric(name="ovl/database/up", kind=GAUGE, help="Whether the metadata store answered just now."),
    )
)
