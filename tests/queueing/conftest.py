"""A leading queue on a real Postgres, over a runner whose attempts end when the test says so."""

from __future__ import annotations

import pytest

from .harness import Line


@pytest.fixture
def line(dsn, tmp_path):
    """A queue that leads."""
    line = Line(dsn, tmp_path)
    line.lead()
    yield line
    line.close()
