"""Telling others what happens to tasks and supervisors: webhooks, and server-sent events."""

from __future__ import annotations

from overlord.notify.hub import EventHub
from overlord.notify.webhooks import Webhooks

__all__ = ["EventHub", "Webhooks"]
