"""The command `overlord`."""

from __future__ import annotations

from overlord.cli.app import main

__all__ = ["main"]
