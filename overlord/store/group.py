"""Group commit: what several threads ask at the same time is done in one transaction by one of them.

Nobody waits for company: who comes first begins at once, and whoever comes while that is under way is in the next
round. No lock is held over a round; who waits holds no connection.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from overlord.errors import Unavailable

Q = TypeVar("Q")
R = TypeVar("R")


@dataclass(eq=False)
class _Asked(Generic[Q, R]):
    request: Q
    told: threading.Event = field(default_factory=threading.Event)
    leads: bool = False
    answer: R | None = None
    error: BaseException | None = None

    def result(self) -> R | None:
        if self.error is not None:
            raise self.error
        return self.answer


class Groups:
    """Requests by key, in the order in which they came.

    Parameters
    ----------
    most : int
        Requests in one round.
    """

    def __init__(self, most: int = 500) -> None:
        self._most = most
        self._mutex = threading.Lock()
        self._queues: dict[str, deque[_Asked[Any, Any]]] = {}

    def ask(self, key: str, request: Q, perform: Callable[[Sequence[Q]], Sequence[R]]) -> R | None:
        """Have `request` performed, with others of its key if there are any.

        Parameters
        ----------
        perform : callable
            Does all of them, or none when it raises; then each is tried alone, so that a bad one harms no other.
        """
        own: _Asked[Q, R] = _Asked(request)
        with self._mutex:
            queue = self._queues.get(key)
            if queue is None:
                self._queues[key] = deque()
                own.leads = True
            else:
                queue.append(own)
        if not own.leads:
            own.told.wait()
        if own.leads:
            self._lead(key, own, perform)
        return own.result()

    def _lead(self, key: str, own: _Asked[Q, R], perform: Callable[[Sequence[Q]], Sequence[R]]) -> None:
        with self._mutex:
            queue = self._queues[key]
            asked = [own, *(queue.popleft() for _ in range(min(len(queue), self._most - 1)))]
        try:
            _perform(asked, perform)
        finally:
            with self._mutex:
                following = queue.popleft() if queue else None
                if following is None:
                    del self._queues[key]
                else:
                    following.leads = True
            if following is not None:
                following.told.set()
            for each in asked:
                each.told.set()


def _perform(asked: Sequence[_Asked[Q, R]], perform: Callable[[Sequence[Q]], Sequence[R]]) -> None:
    try:
        for each, answer in zip(asked, perform([each.request for each in asked]), strict=True):
            each.answer = answer
    except Exception as error:
        if len(asked) == 1 or isinstance(error, Unavailable):
            for each in asked:
                each.error = error
        else:
            for each in asked:
                _perform([each], perform)
    except BaseException as error:  # of the thread that leads; the others shall not wait for ever
        for each in asked:
            each.error = error
        raise
