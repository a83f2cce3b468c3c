"""Which types of metric are built, and what they need. Others are known to Druid, and refused when a spec is posted."""

from __future__ import annotations

from importlib.util import find_spec

SKETCHES = ("thetaSketch", "HLLSketchBuild", "HLLSketchMerge", "quantilesDoublesSketch", "quantilesDoublesSketchMerge")
"""Those of the DataSketches library."""
BUILT = tuple(
    sorted(
        [
            "count",
            *(f"{kind}{what}" for kind in ("long", "double", "float") for what in ("Sum", "Min", "Max")),
            *(f"{kind}{what}" for kind in ("long", "double", "float", "string") for what in ("First", "Last")),
            "hyperUnique",
            "filtered",
            *SKETCHES,
        ],
        key=str.lower,
    )
)
TAKEN = ("longAny", "doubleAny", "floatAny", "stringAny", "histogram", "cardinality")
"""Taken at submit, as by a stock Overlord, though the task fails: with a stock Druid too, but for `cardinality`."""
INSTALL = "pip install 'overlord[sketches]'"
NO_LIBRARY = f"sketches need the package datasketches, which is not installed: {INSTALL}"


def has_library() -> bool:
    """Whether `datasketches` is installed; the server and its workers share an installation."""
    return find_spec("datasketches") is not None
