"""Where the rows come from. To add a kind: one file, one decorator, one line here."""

from __future__ import annotations

from workers.ingest.sources import cloud as cloud
from workers.ingest.sources import combining as combining
from workers.ingest.sources import druid as druid
from workers.ingest.sources import http as http
from workers.ingest.sources import inline as inline
from workers.ingest.sources import local as local
from workers.ingest.sources import sql as sql
from workers.ingest.sources.ahead import Block, blocks
from workers.ingest.sources.base import (
    Access,
    ByteStream,
    InputObject,
    InputSource,
    RowSource,
    SplitHint,
    input_sources,
)

__all__ = [
    "Access",
    "Block",
    "ByteStream",
    "InputObject",
    "InputSource",
    "RowSource",
    "SplitHint",
    "blocks",
    "input_sources",
]
