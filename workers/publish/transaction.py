"""Push, then one publish for all; what is not published does not stay in deep storage."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from overlord import faults
from overlord.errors import TaskFailed
from overlord.model.segment import DataSegment
from workers.client import Actions, NoOverlord
from workers.publish.base import LoadSpec, Pusher

PUBLISH = {"APPEND": "segmentTransactionalAppend", "REPLACE": "segmentTransactionalReplace"}
TRIES = 5
STREAM_TRIES = 200
"""A stream's offsets go on when the task before has published its own, which may take minutes; who waits in vain is
ended by its supervisor."""
_MOST_WAIT_S = 5.0

_log = logging.getLogger("overlord.publish")


class Transaction:
    """Use it with `with`: segments pushed in it are removed again unless they were published.

    Once a publish is sent, only a refusal makes the files ours to remove; when no answer comes they stay.
    """

    def __init__(self, pusher: Pusher, actions: Actions) -> None:
        self._pusher = pusher
        self._actions = actions
        self._pushed: list[LoadSpec] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for load_spec in self._pushed:
            try:
                self._pusher.remove(load_spec)
            except TaskFailed as failure:
                _log.warning("%s", failure.message)

    def push(self, directory: Path, segment: DataSegment) -> DataSegment:
        """Store a segment; gives it with its loadSpec."""
        load_spec = self._pusher.push(directory, segment)
        self._pushed.append(load_spec)
        return replace(segment, load_spec=load_spec)

    def publish_stream(self, segments: Sequence[dict[str, Any]], lock_type: str, offsets: dict[str, Any]) -> bool:
        """Make all of them visible at once, and move the offsets of their stream.

        Parameters
        ----------
        offsets : dict
            `dataSource`, `startMetadata` and `endMetadata` of the action.

        Returns
        -------
        bool
            False if a replica had published these very segments, so that ours are not needed.

        Raises
        ------
        TaskFailed
            The Overlord refused; in its words.
        """
        if self._pushed:
            self._pusher.settle()
        faults.point("after_push")
        kind = PUBLISH.get(lock_type, "segmentTransactionalInsert")
        pushed, self._pushed = self._pushed, []
        try:
            self._submit({"type": kind, "segments": list(segments), **offsets}, STREAM_TRIES)
        except NoOverlord:
            raise
        except TaskFailed:
            there = self._published(segments)
            if there is None:
                raise  # nobody knows: the files stay
            ours = [load_spec for load_spec in pushed if load_spec not in there.values()]
            self._pushed = ours
            if segments and len(there) == len(segments):
                return len(ours) < len(pushed)
            raise
        faults.point("after_publish")
        return True

    def _published(self, segments: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
        """Load specs of those that are published, by id; None if nobody can say."""
        if not segments:
            return {}
        action = {
            "type": "retrieveSegmentsById",
            "dataSource": segments[0]["dataSource"],
            "segmentIds": [segment["identifier"] for segment in segments],
        }
        try:
            return {each["identifier"]: each.get("loadSpec") for each in self._actions.submit(action) or []}
        except TaskFailed:
            return None

    def publish(self, segments: Sequence[dict[str, Any]], lock_type: str) -> None:
        """Make all of them visible at once.

        Raises
        ------
        TaskFailed
            The Overlord refused; in its words.
        """
        if not segments:
            return
        self._pusher.settle()
        faults.point("after_push")
        pushed, self._pushed = self._pushed, []
        try:
            self._submit({"type": PUBLISH.get(lock_type, "segmentTransactionalInsert"), "segments": list(segments)})
        except NoOverlord:
            raise
        except TaskFailed:
            if not self._is_there(segments):
                self._pushed = pushed
            raise
        faults.point("after_publish")

    def _submit(self, action: dict[str, Any], tries: int = TRIES) -> None:
        for tried in range(1, tries + 1):
            answer = self._actions.submit(action)
            if answer["success"]:
                return
            reason = answer.get("errorMsg") or "no reason given"
            if not answer.get("retryable") or tried == tries:
                break
            _log.info("Publishing failed (%s); trying again", reason)
            time.sleep(min(_MOST_WAIT_S, 0.1 * 2**tried))
        raise TaskFailed(f"Failed to publish segments: {reason}")

    def _is_there(self, segments: Sequence[dict[str, Any]]) -> bool:
        """Whether a publish that seemed to fail took place all the same."""
        action = {
            "type": "retrieveSegmentsById",
            "dataSource": segments[0]["dataSource"],
            "segmentIds": [segment["identifier"] for segment in segments],
        }
        try:
            return bool(self._actions.submit(action))
        except TaskFailed:
            return True  # nobody knows
