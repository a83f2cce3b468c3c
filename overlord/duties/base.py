"""What a clean-up duty is.

A duty looks at Postgres, deletes what nobody needs any more in bounded batches, and says how much. Each batch is a
transaction of its own that holds the leader's fence, and asks again for what makes a row deletable: so a duty may be
killed anywhere, run twice, and run beside the duties of a stock Coordinator on the same database.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from overlord.errors import Unavailable
from overlord.registry import Registry
from overlord.store import tasks as task_store

if TYPE_CHECKING:
    from overlord.services import Services
    from overlord.store.db import Transaction

KILL = "druid.coordinator.kill."
INDEXING_PERIOD = "druid.coordinator.period.indexingPeriod"
METADATA_PERIOD = "druid.coordinator.period.metadataStoreManagementPeriod"

Counts = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of a duty.

    Attributes
    ----------
    services : Services
    epoch : int
        Of the leadership it belongs to.
    now_ms : int
    dry : bool
        Only count.
    """

    services: Services
    epoch: int
    now_ms: int
    dry: bool = False

    @property
    def settings(self) -> Mapping[str, Any]:
        """The server's settings."""
        return self.services.settings

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """A transaction that only a leader can commit."""
        with self.services.db.transaction() as tx:
            if not task_store.fence(tx, self.epoch):
                raise Unavailable("This server does not lead any more")
            yield tx

    def deleted(self, batch: Callable[[Transaction], int]) -> int:
        """Call `batch`, each time in a transaction of its own, until nothing went; the sum of what did."""
        total = 0

        def body() -> int:
            with self.transaction() as tx:
                return batch(tx)

        while gone := self.services.db.retry(body):
            total += gone
        return total


class Duty(ABC):
    """One kind of clean-up.

    Attributes
    ----------
    name : str
        In URLs and logs.
    switch : str
        The setting that turns it on.
    period_setting : str
        The setting of its period.
    least_period_setting : str or None
        The setting that its period must not be below.
    """

    name: ClassVar[str]
    switch: ClassVar[str]
    period_setting: ClassVar[str]
    least_period_setting: ClassVar[str | None] = None
    log: ClassVar[logging.Logger] = logging.getLogger("overlord.duties")

    def __init__(self) -> None:  # noqa: B027 - most remember nothing
        pass

    def is_on(self, settings: Mapping[str, Any]) -> bool:
        """Whether it runs by itself."""
        return bool(settings["ovl.duties.on"] and settings[self.switch])

    def period_ms(self, settings: Mapping[str, Any]) -> int:
        """Time between two runs."""
        return int(settings[self.period_setting])

    def first_delay_ms(self, settings: Mapping[str, Any]) -> int:
        """Wait before the first run of a new leader."""
        return int(settings["druid.coordinator.startDelay"])

    def faults(self, settings: Mapping[str, Any]) -> Iterator[str]:
        """What is wrong with its settings; asked only while it is on."""
        least = self.least_period_setting
        if least is not None and settings[self.period_setting] < settings[least]:
            yield f"{self.period_setting} must not be below {least}"

    @abstractmethod
    def run(self, run: Run) -> Counts:
        """Do it, or in a dry run only look; gives what went or would go."""


class MetadataDuty(Duty):
    """Deletes old rows of one table, under `druid.coordinator.kill.<what>.on`, `.period` and `.durationToRetain`."""

    what: ClassVar[str]
    least_period_setting = METADATA_PERIOD

    def __init_subclass__(cls) -> None:
        cls.switch = f"{KILL}{cls.what}.on"
        cls.period_setting = f"{KILL}{cls.what}.period"

    def faults(self, settings: Mapping[str, Any]) -> Iterator[str]:
        yield from super().faults(settings)
        retain = f"{KILL}{self.what}.durationToRetain"
        if settings.get(retain) is not None and settings[retain] < 0:
            yield f"{retain} must not be negative"

    def before_ms(self, run: Run) -> int:
        """What is older than this may go."""
        return run.now_ms - int(run.settings[f"{KILL}{self.what}.durationToRetain"])


duties: Registry[type[Duty]] = Registry("duty")
