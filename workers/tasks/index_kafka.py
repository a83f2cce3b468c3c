"""index_kafka: reads partitions of Kafka topics for a supervisor, which says where to begin and when to end."""

from __future__ import annotations

from workers.context import TaskContext
from workers.ingest.account import Ledger, Tolerance
from workers.tasks import jobs


@jobs.add("index_kafka")
def run(ctx: TaskContext) -> None:
    """Read, publish, and report how it went."""
    from workers.streaming.runner import StreamIngestion
    from workers.tasks.index import REPORT, failing_into

    ledger = Ledger(Tolerance.from_json(ctx.payload["tuningConfig"]), determining=False)
    ctx.report.set("taskContext", ctx.context)
    work = StreamIngestion(ctx, ledger)
    with failing_into(ctx, work.report):
        work.run()
    ctx.report.set(REPORT, work.report(done=True))
