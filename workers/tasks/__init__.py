"""The running side of each task type: a function of a context, filed under the type's name.

>>> from workers.tasks import jobs
>>> @jobs.add("noop")
... def run(ctx): ...

A job returns when its work is done, and raises `overlord.errors.TaskFailed` with the errorMsg when it is not.
"""

from __future__ import annotations

import importlib
import logging
import pkgutil
from collections.abc import Callable
from typing import TYPE_CHECKING

from overlord.registry import Registry

if TYPE_CHECKING:
    from workers.context import TaskContext

jobs: Registry[Callable[[TaskContext], None]] = Registry("job")


def load_all() -> None:
    """Import every module of this package, each of which files its jobs."""
    for module in pkgutil.iter_modules(__path__):
        try:
            importlib.import_module(f"{__name__}.{module.name}")
        except Exception:
            # One broken kind must not take the others with it; its tasks fail as unknown.
            logging.getLogger(__name__).exception("the jobs of %s cannot be loaded", module.name)
