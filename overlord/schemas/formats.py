"""Input formats: how bytes become rows."""
# ruff: noqa: N815  fields bear Druid's names

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping
from typing import Any

from marshmallow import ValidationError

from overlord.model.java_pattern import java_pattern
from overlord.model.jq_program import BadProgram, jq_program
from overlord.model.json_path import BadPath, parse_json_path
from overlord.registry import Registry
from overlord.schemas.base import (
    Fault,
    Flag,
    Inside,
    Kinds,
    ListOf,
    Object,
    Poly,
    Problem,
    Shape,
    Text,
    Whole,
    fault,
)

input_format_kinds: Kinds = Registry("input format")
flatten_kinds: Kinds = Registry("flatten field")
INPUT_FORMAT = "org.apache.druid.data.input.InputFormat"
_IMPL = "org.apache.druid.data.input.impl."


def input_format() -> Poly:
    """A field for an inputFormat."""
    return Poly(input_format_kinds, INPUT_FORMAT, named="inputFormat")


@flatten_kinds.add("root", "path", "jq", "tree")
class FlattenField(Shape):
    """A column taken out of nested data."""

    java = "org.apache.druid.java.util.common.parsers.JSONPathFieldSpec"

    name = Text()
    expr = Text()
    nodes = ListOf(Text())

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if "name" in data and data["name"] is None:
            yield "name", "Missing 'name' in field spec"

    def finish(self, data: dict[str, Any]) -> dict[str, Any]:
        return data | {"expr": data["name"] if data["expr"] is None else data["expr"]}


class FlattenFieldOrName(Poly):
    """A flatten field, or the bare name of one at the root."""

    def __init__(self) -> None:
        super().__init__(flatten_kinds, "org.apache.druid.java.util.common.parsers.JSONPathFieldSpec")

    def read(self, value: Any) -> dict[str, Any]:
        if isinstance(value, Mapping):
            read = super().read(value)
            if read["type"] in ("path", "jq"):
                self._check(read["type"], read["name"], value.get("expr"))
            return read
        name = Text().read(value)
        return {"type": "root", "name": name, "expr": name, "nodes": None}

    def _check(self, kind: str, name: str, expr: Any) -> None:
        """Refuse an expression that a task could not read; a stock Overlord would have the task fail."""
        if expr is None:
            raise fault(f"Cannot construct instance of `{self.java}`, problem: Missing 'expr' for field[{name}]")
        try:
            parse_json_path(str(expr)) if kind == "path" else jq_program(str(expr))
        except (BadPath, BadProgram) as error:
            problem = f"Cannot construct instance of `{self.java}`, problem: {error}"
            raise ValidationError({"expr": [Fault(problem, late=True, of_field=True)]}) from None


class FlattenSpec(Shape):
    """Which nested values become columns."""

    java = "org.apache.druid.java.util.common.parsers.JSONPathSpec"

    useFieldDiscovery = Flag(True)
    fields_ = ListOf(FlattenFieldOrName(), list, data_key="fields")

    def finish(self, data: dict[str, Any]) -> dict[str, Any]:
        return {"useFieldDiscovery": data["useFieldDiscovery"], "fields": data["fields_"]}


@input_format_kinds.add("json")
class JsonFormat(Shape):
    """One JSON object after the other."""

    java = _IMPL + "JsonInputFormat"
    omit_null = frozenset({"flattenSpec", "keepNullColumns", "assumeNewlineDelimited", "useJsonNodeReader"})
    omit_empty = frozenset({"featureSpec"})

    flattenSpec = Inside(FlattenSpec)
    featureSpec = Object(dict)
    keepNullColumns = Flag()
    assumeNewlineDelimited = Flag()
    useJsonNodeReader = Flag()

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if data.get("assumeNewlineDelimited") and data.get("useJsonNodeReader"):
            yield None, "useJsonNodeReader cannot be set to true when assumeNewlineDelimited is true."


class _FlatText(Shape):
    omit_null = frozenset({"listDelimiter"})
    omit_false = frozenset({"findColumnsFromHeader", "skipHeaderRows", "tryParseNumbers"})
    omit_empty = frozenset({"columns"})
    read_only = frozenset({"hasHeaderRow"})

    columns = ListOf(Text(), list)
    listDelimiter = Text()
    hasHeaderRow = Flag()
    findColumnsFromHeader = Flag()
    skipHeaderRows = Whole(0)
    tryParseNumbers = Flag(False)

    def delimiter_of(self, data: dict[str, Any]) -> str:
        return ","

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        columns, header, old = data.get("columns"), data.get("findColumnsFromHeader"), data.get("hasHeaderRow")
        delimiter = self.delimiter_of(data)
        if columns == []:
            yield from self._header_problems(header, old)
        if delimiter == data.get("listDelimiter"):
            yield "listDelimiter", f"Cannot have same delimiter and list delimiter of [{delimiter}]"
        for column in columns or ():
            if delimiter in column:
                yield "columns", f"Column[{column}] cannot have the delimiter[{delimiter}] in its name"

    @staticmethod
    def _header_problems(header: bool | None, old: bool | None) -> Iterator[Problem]:
        if header is not None and old is not None:
            yield None, "Cannot accept both [findColumnsFromHeader] and [hasHeaderRow]"
        elif header is None and old is None:
            yield None, "Either [columns] or [findColumnsFromHeader] must be set"
        elif not (header or old):
            yield (
                None,
                "If [columns] is not set, the first row of your data must have your header"
                " and [findColumnsFromHeader] must be set to true.",
            )

    def finish(self, data: dict[str, Any]) -> dict[str, Any]:
        header = data["findColumnsFromHeader"]
        if not data["columns"] and header is None:
            header = data["hasHeaderRow"]
        return data | {"findColumnsFromHeader": bool(header)}


@input_format_kinds.add("csv")
class CsvFormat(_FlatText):
    """Values with commas between."""

    java = _IMPL + "CsvInputFormat"


@input_format_kinds.add("tsv")
class DelimitedFormat(_FlatText):
    """Values with some delimiter between."""

    java = _IMPL + "DelimitedInputFormat"

    delimiter = Text("\t")

    def delimiter_of(self, data: dict[str, Any]) -> str:
        return str(data.get("delimiter", "\t"))


@input_format_kinds.add("regex")
class RegexFormat(Shape):
    """Lines that a pattern takes apart."""

    java = _IMPL + "RegexInputFormat"
    omit_null = frozenset({"listDelimiter", "columns"})

    pattern = Text()
    listDelimiter = Text()
    columns = ListOf(Text())

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if "pattern" not in data:
            return
        if data["pattern"] is None:
            yield "pattern", "pattern"
            return
        try:
            java_pattern(data["pattern"])
        except ValueError as error:
            yield "pattern", f"The pattern cannot be read: {error}"


class _TableFormat(Shape):
    """A format of tables."""

    omit_null = frozenset({"flattenSpec"})
    omit_false = frozenset({"binaryAsString"})

    flattenSpec = Inside(FlattenSpec)
    binaryAsString = Flag(False)


@input_format_kinds.add("parquet")
class ParquetFormat(_TableFormat):
    """Columns of Parquet."""

    java = "org.apache.druid.data.input.parquet.ParquetInputFormat"


@input_format_kinds.add("orc")
class OrcFormat(_TableFormat):
    """Columns of ORC."""

    java = "org.apache.druid.data.input.orc.OrcInputFormat"


@input_format_kinds.add("avro_ocf")
class AvroFormat(Shape):
    """Rows of Avro's files."""

    java = "org.apache.druid.data.input.avro.AvroOCFInputFormat"
    omit_null = frozenset({"flattenSpec", "schema"})
    omit_false = frozenset({"binaryAsString", "extractUnionsByType"})

    flattenSpec = Inside(FlattenSpec)
    schema = Object()
    binaryAsString = Flag(False)
    extractUnionsByType = Flag(False)

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if data.get("extractUnionsByType"):
            yield "extractUnionsByType", "extractUnionsByType is not known here: unions are read as their values"


header_kinds: Kinds = Registry("format of headers")
_KAFKA = "org.apache.druid.data.input.kafkainput."


@header_kinds.add("string")
class TextHeaders(Shape):
    """Headers whose values are texts."""

    java = _KAFKA + "KafkaStringHeaderFormat"

    encoding = Text("UTF-8")

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        try:
            codecs.lookup(data.get("encoding", "UTF-8"))
        except (LookupError, ValueError):
            yield "encoding", data["encoding"]


@input_format_kinds.add("kafka")
class KafkaFormat(Shape):
    """Keys, headers and values of Kafka's messages."""

    java = _KAFKA + "KafkaInputFormat"

    headerFormat = Poly(header_kinds, _KAFKA + "KafkaHeaderFormat", named="headerFormat")
    keyFormat = Poly(input_format_kinds, INPUT_FORMAT, named="keyFormat")
    valueFormat = Poly(input_format_kinds, INPUT_FORMAT, named="valueFormat")
    headerColumnPrefix = Text("kafka.header.")
    keyColumnName = Text("kafka.key")
    timestampColumnName = Text("kafka.timestamp")
    topicColumnName = Text("kafka.topic")

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if "valueFormat" in data and data["valueFormat"] is None:
            yield "valueFormat", "valueFormat must not be null"
