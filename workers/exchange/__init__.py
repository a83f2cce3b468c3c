"""What tasks of a group hand to each other. To add a kind of place: one file, one decorator, one line here."""

from __future__ import annotations

from workers.exchange import local as local
from workers.exchange.base import Exchange, exchanges, open_exchange

__all__ = ["Exchange", "exchanges", "open_exchange"]
