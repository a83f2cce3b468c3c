"""Supervisors: what keeps starting tasks. Each kind is a class filed in `supervisor_types`, in a file of its own."""

from __future__ import annotations

from overlord.supervisors.base import Supervisor, supervisor_types

__all__ = ["Supervisor", "supervisor_types"]
