"""Functions of the expression language by name in lower case, a module a family."""

from __future__ import annotations

import importlib

from workers.ingest.expressions.functions.base import Function, functions

__all__ = ["Function", "functions"]

for _module in ("general", "maths", "text", "time", "arrays", "json"):
    importlib.import_module(f"{__name__}.{_module}")
