"""What sub-tasks handed to each other is removed once their parent has ended, however it ended."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping, Set
from functools import partial
from typing import Any

from overlord.errors import OverlordError
from workers.exchange import open_exchange

_log = logging.getLogger(__name__)


class HandedOn:
    """A thread that removes; folders of many segments take their time.

    Parameters
    ----------
    settings : Mapping
        `ovl.exchange.*`.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        self._ended: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self, open_tasks: Callable[[], Set[str]]) -> None:
        """Begin, with what ended while nobody looked."""
        self._thread = threading.Thread(target=self._run, args=(open_tasks,), name="handed-on", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._ended.put(None)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def put(self, parent_id: str) -> None:
        """Nobody needs any more what the sub-tasks of this task made."""
        self._ended.put(parent_id)

    def _run(self, open_tasks: Callable[[], Set[str]]) -> None:
        self._safely(lambda: open_exchange(self._settings).sweep(open_tasks))
        while (parent_id := self._ended.get()) is not None:
            self._safely(partial(self._remove, parent_id))

    def _remove(self, parent_id: str) -> None:
        open_exchange(self._settings).remove(parent_id)

    @staticmethod
    def _safely(remove: Callable[[], None]) -> None:
        try:
            remove()
        except (OSError, OverlordError):
            _log.exception("What sub-tasks left in the exchange cannot be removed now; the next start tries again")
