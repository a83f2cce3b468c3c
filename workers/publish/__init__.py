"""From built segments to visible ones: identity (`claims`), deep storage (`pushers`), publish (`transaction`)."""

from __future__ import annotations

from workers.publish import local as local
from workers.publish import s3 as s3
from workers.publish.base import Pusher, open_pusher, pushers

__all__ = ["Pusher", "open_pusher", "pushers"]
