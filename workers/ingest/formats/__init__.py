"""How bytes become rows. To add a kind: one file, one decorator, one line here."""

from __future__ import annotations

from workers.ingest.formats import avro as avro
from workers.ingest.formats import delimited as delimited
from workers.ingest.formats import json as json
from workers.ingest.formats import orc as orc
from workers.ingest.formats import parquet as parquet
from workers.ingest.formats import regex as regex
from workers.ingest.formats.base import InputFormat, NotAnObject, RawBatch, RawChunk, Rows, input_formats

__all__ = ["InputFormat", "NotAnObject", "RawBatch", "RawChunk", "Rows", "input_formats"]
