"""Which encodings of columns are written; all of Druid's are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

WRITTEN: Mapping[str, tuple[str, ...]] = {
    "bitmap": ("roaring",),
    "dimensionCompression": ("lz4", "uncompressed", "zstd"),
    "stringDictionaryEncoding": ("utf8", "frontCoded"),
    "metricCompression": ("lz4", "uncompressed", "none", "zstd"),
    "longEncoding": ("longs",),
    "complexMetricCompression": (),
    "jsonCompression": ("lz4", "uncompressed", "zstd"),
}
"""By key of `indexSpec`; leaving a key out is always possible."""


@dataclass(frozen=True, kw_only=True)
class Unwritten:
    """A choice that is read in segments but not written.

    Attributes
    ----------
    key : str
        Of `indexSpec`; `bitmap.type` where the choice is an object.
    asked : str
    """

    key: str
    asked: str

    @property
    def message(self) -> str:
        """What is wrong."""
        return f"segments with {self.key} [{self.asked}] can be read, but are not written"

    @property
    def hint(self) -> str:
        """What to do."""
        written = WRITTEN[self.key.partition(".")[0]]
        if self.asked in written:
            return f"install what it needs: pip install 'overlord[{self.asked}]'"
        return f"written: {', '.join(written)}; leave it out for {written[0]}" if written else "leave it out"


def _has_zstd() -> bool:
    """Whether the extra is installed; the server and its workers share an installation."""
    return find_spec("zstandard") is not None


def unwritten(json: Mapping[str, Any] | None) -> Iterator[Unwritten]:
    """The choices of an `indexSpec` that are not written."""
    for key, written in WRITTEN.items():
        asked = (json or {}).get(key)
        name = f"{key}.type" if isinstance(asked, Mapping) else key
        kind = asked.get("type") if isinstance(asked, Mapping) else asked
        if kind is not None and (kind not in written or (kind == "zstd" and not _has_zstd())):
            yield Unwritten(key=name, asked=str(kind))
