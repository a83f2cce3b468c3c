"""What all shapes of specs share: fields that read JSON as Jackson does, and faults that know where they are.

A `Shape` is a marshmallow schema whose `load` gives the object as Druid would write it again: fields in the order in
which they are declared, defaults filled in, keys that nobody knows left out. Marshmallow collects every fault; Druid
tells the first one only. Which one that is follows from how it reads: values in the order of the text, each object's
own rules once all its values are read. `Fault.late` marks the latter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

from marshmallow import EXCLUDE, Schema, ValidationError, fields, missing, post_load, validates_schema

from overlord.errors import BadRequest
from overlord.model.granularity import Granularity
from overlord.model.instant import format_instant, parse_instant
from overlord.model.interval import Interval
from overlord.model.period import Period
from overlord.registry import Registry

JSON = Any


class Fault(str):
    """One thing wrong with a spec, in Druid's words.

    Attributes
    ----------
    late : bool
        Druid finds it when it builds the object, after it has read all of the object's values.
    of_field : bool
        It is late, but its path ends in the field that is to blame.
    hint : str or None
        What to do about it.
    """

    late: bool
    of_field: bool
    hint: str | None

    def __new__(cls, text: str, *, late: bool = False, of_field: bool = False, hint: str | None = None) -> Fault:
        self = super().__new__(cls, text)
        self.late = late
        self.of_field = of_field
        self.hint = hint
        return self


def fault(text: str, *, hint: str | None = None) -> ValidationError:
    """A fault to raise from a field."""
    return ValidationError([Fault(text, hint=hint)])


Problem = tuple[str | None, str]
"""Name of the field at fault, or None for the object, and Druid's text."""


class Shape(Schema):
    """The shape of one JSON object.

    Attributes
    ----------
    java : str
        Druid's class, for "Cannot construct instance of".
    omit_null, omit_false, omit_empty : set of str
        Fields that Druid does not write while they are null, false or zero, or empty.
    omit_when : mapping
        Fields that Druid does not write while they have this value.
    read_only : set of str
        Fields that Druid reads but never writes again.
    """

    class Meta:
        unknown = EXCLUDE

    java: ClassVar[str] = ""
    omit_null: ClassVar[frozenset[str]] = frozenset()
    omit_false: ClassVar[frozenset[str]] = frozenset()
    omit_empty: ClassVar[frozenset[str]] = frozenset()
    omit_when: ClassVar[Mapping[str, Any]] = {}
    read_only: ClassVar[frozenset[str]] = frozenset()

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        """Druid's own rules for this object; `data` lacks the fields that could not be read."""
        return iter(())

    def finish(self, data: dict[str, Any]) -> dict[str, Any]:
        """The object as Druid writes it again."""
        return data

    @validates_schema(skip_on_field_errors=False)
    def _check(self, data: dict[str, Any], **_: Any) -> None:
        found: dict[str, list[Fault]] = {}
        for name, text in self.problems(data):
            text = f"Cannot construct instance of `{self.java}`, problem: {text}"
            refused = Fault(text, late=True, of_field=name is not None)
            found.setdefault(name or "_schema", []).append(refused)
        if found:
            raise ValidationError(found)

    @post_load
    def _finish(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        finished = self.finish(data)
        return {name: value for name, value in finished.items() if not self._omitted(name, value)}

    def _omitted(self, name: str, value: Any) -> bool:
        return (
            name in self.read_only
            or (name in self.omit_null and value is None)
            or (name in self.omit_false and not value)
            or (name in self.omit_empty and not value)
            or (name in self.omit_when and value == self.omit_when[name])
        )


class AnyShape(Shape):
    """An object that passes as it is, such as one of a kind that only an extension knows."""

    class Meta:
        unknown = "include"


_instances: dict[type[Shape], Shape] = {}


def shape(kind: type[Shape]) -> Shape:
    """The one instance of a shape; making one is slow."""
    if kind not in _instances:
        _instances[kind] = kind()
    return _instances[kind]


def load(kind: type[Shape], value: Any) -> dict[str, Any]:
    """Load an object, or raise marshmallow's ValidationError with the faults below it."""
    if not isinstance(value, Mapping):
        raise fault(no_creator(kind.java, value))
    try:
        loaded: dict[str, Any] = shape(kind).load(value)
    except ValidationError as e:
        raise ValidationError(e.messages) from None  # without the half that was read: nobody's rules should meet it
    return loaded


def no_creator(java: str, value: Any) -> str:
    """Jackson's text for a value that no object can be made of."""
    if isinstance(value, list):
        return f"Cannot deserialize value of type `{java}` from {token(value)}"
    if isinstance(value, bool):
        kind, shown = "boolean/Boolean", f"boolean value ({str(value).lower()})"
    elif isinstance(value, int | float):
        kind, shown = "int/Int" if isinstance(value, int) else "double/Double", f"Number value ({value})"
    else:
        kind, shown = "String", f"String value ('{value}')"
    return (
        f"Cannot construct instance of `{java}` (although at least one Creator exists): "
        f"no {kind}-argument constructor/factory method to deserialize from {shown}"
    )


def token(value: Any) -> str:
    """What a value is, in Jackson's words."""
    if isinstance(value, bool):
        return f"Boolean value (token `JsonToken.VALUE_{str(value).upper()}`)"
    if isinstance(value, int):
        return f"Number value ({value})"
    if isinstance(value, float):
        return f"Floating-point value ({value})"
    if isinstance(value, str):
        return f'String value ("{value}")'
    if isinstance(value, list):
        return "Array value (token `JsonToken.START_ARRAY`)"
    return "Object value (token `JsonToken.START_OBJECT`)"


# ---------------------------------------------------------------- fields


class Lenient(fields.Field[Any]):
    """A field for which null and absence are the same: its default."""

    def __init__(self, default: Any = None, **kw: Any) -> None:
        super().__init__(load_default=default, allow_none=True, **kw)

    def default(self) -> Any:
        """A fresh default."""
        return self.load_default() if callable(self.load_default) else self.load_default

    def deserialize(self, value: Any, attr: str | None = None, data: Any = None, **kw: Any) -> Any:
        """Read a value."""
        if value is missing or value is None:
            return self.default()
        return self.read(value)

    def read(self, value: Any) -> Any:
        """Read a value that is there."""
        raise NotImplementedError

    def inside(self, value: Any) -> Iterator[tuple[str, Shape, Mapping[str, Any]]]:
        """Objects in a value: path from here, shape and the object. For the search for unknown keys."""
        return iter(())


class Raw(Lenient):
    """Any JSON."""

    def read(self, value: Any) -> Any:
        return value


class Whole(Lenient):
    """An int or long; a number in a string is read, a fraction is cut off."""

    def __init__(self, default: int | None = None, *, long: bool = False, **kw: Any) -> None:
        super().__init__(default, **kw)
        self.java = "long" if long else "int"
        self.bits = 63 if long else 31

    def read(self, value: Any) -> int | None:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise fault(f"Cannot deserialize value of type `{self.java}` from {token(value)}")
        return self._fitting(int(value), str(value))

    def _text(self, value: str) -> int | None:
        if not value.strip():
            return self.default()  # type: ignore[no-any-return]
        try:
            return self._fitting(int(value), value)
        except ValueError:
            raise fault(
                f'Cannot deserialize value of type `{self.java}` from String "{value}": not a valid `{self.java}` value'
            ) from None

    def _fitting(self, number: int, shown: str) -> int:
        if not -(1 << self.bits) <= number < 1 << self.bits:
            raise fault(
                f"Numeric value ({shown}) out of range of {self.java} ({-(1 << self.bits)} - {(1 << self.bits) - 1})"
            )
        return number


class Real(Lenient):
    """A float or double; a number in a string is read."""

    def read(self, value: Any) -> float:
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            try:
                return float(value)
            except ValueError:
                pass
        raise fault(f"Cannot deserialize value of type `float` from {token(value)}")


class Ignored(Lenient):
    """A property that Druid does not read here, though it writes one of that name."""

    def read(self, value: Any) -> None:
        return None


class Flag(Lenient):
    """A boolean; "true" and "false" in strings are read, and numbers (0 is false)."""

    def read(self, value: Any) -> bool | None:
        if isinstance(value, bool):
            return value
        if isinstance(value, int):
            return value != 0
        if isinstance(value, str) and value in ("true", "True", "TRUE", "false", "False", "FALSE"):
            return value.lower() == "true"
        if isinstance(value, str) and not value.strip():
            return self.default()  # type: ignore[no-any-return]
        shown = f'String "{value}": only "true" or "false" recognized' if isinstance(value, str) else token(value)
        raise fault(f"Cannot deserialize value of type `boolean` from {shown}")


class Text(Lenient):
    """A string; numbers and booleans become their text."""

    def read(self, value: Any) -> str:
        if isinstance(value, str):
            return value
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | float):
            return str(value)
        raise fault(f"Cannot deserialize value of type `java.lang.String` from {token(value)}")


class Choice(Text):
    """One of a few words, in any case; written in lower case."""

    def __init__(self, java: str, words: Iterable[str], default: str | None = None, **kw: Any) -> None:
        super().__init__(default, **kw)
        self.java = java
        self.words = tuple(words)

    def read(self, value: Any) -> str:
        word = super().read(value).lower()
        if word not in self.words:
            raise fault(
                f"Cannot construct instance of `{self.java}`, problem: "
                f"No enum constant {self.java.replace('$', '.')}.{word.upper()}",
                hint=f"known: {', '.join(self.words)}",
            )
        return word


class Enum(Text):
    """One of a few words, spelt exactly."""

    def __init__(self, java: str, words: Iterable[str], default: str | None = None, **kw: Any) -> None:
        super().__init__(default, **kw)
        self.java = java
        self.words = tuple(words)

    def read(self, value: Any) -> str:
        word = super().read(value)
        if word not in self.words:
            raise fault(
                f'Cannot deserialize value of type `{self.java}` from String "{word}": '
                f"not one of the values accepted for Enum class: [{', '.join(self.words)}]"
            )
        return word


class Object(Lenient):
    """A map with any content."""

    def read(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            if isinstance(value, list):
                kind = "java.util.LinkedHashMap<java.lang.String,java.lang.Object>"
                raise fault(f"Cannot deserialize value of type `{kind}` from {token(value)}")
            raise fault(no_creator("java.util.LinkedHashMap", value))
        return dict(value)


class ListOf(Lenient):
    """A list of values that each fit one field. A bare value is no list."""

    def __init__(self, item: Lenient, default: Callable[[], list[Any]] | None = None, **kw: Any) -> None:
        super().__init__(default, **kw)
        self.item = item

    def read(self, value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise fault(f"Cannot deserialize value of type `java.util.ArrayList` from {token(value)}")
        out: list[Any] = []
        errors: dict[int, Any] = {}
        for index, element in enumerate(value):
            try:
                out.append(self.item.deserialize(element))
            except ValidationError as e:
                errors[index] = e.messages
        if errors:
            raise ValidationError(errors)
        return out

    def inside(self, value: Any) -> Iterator[tuple[str, Shape, Mapping[str, Any]]]:
        for index, element in enumerate(value if isinstance(value, list) else ()):
            for path, inner, found in self.item.inside(element):
                yield f"[{index}]{path}", inner, found


class Inside(Lenient):
    """An object of one shape."""

    def __init__(self, kind: type[Shape], default: Any = None, **kw: Any) -> None:
        super().__init__(default, **kw)
        self.kind = kind

    def read(self, value: Any) -> dict[str, Any]:
        return load(self.kind, value)

    def inside(self, value: Any) -> Iterator[tuple[str, Shape, Mapping[str, Any]]]:
        if isinstance(value, Mapping):
            yield "", shape(self.kind), value


Kinds = Registry[type[Shape]]


class Poly(Lenient):
    """An object whose `type` says its shape.

    Parameters
    ----------
    kinds : Registry
        Shapes by type.
    java : str
        Druid's class of all of them, for its texts.
    only : collection of str, optional
        The types that fit here, if not all do.
    without_type : str, optional
        The type of an object that names none.
    named : str, optional
        The name by which Druid's text calls this field; its own by default.
    """

    def __init__(
        self,
        kinds: Kinds,
        java: str,
        default: Any = None,
        *,
        only: Iterable[str] | None = None,
        without_type: str | None = None,
        named: str | None = None,
        **kw: Any,
    ) -> None:
        super().__init__(default, **kw)
        self.kinds = kinds
        self.java = java
        self.only = None if only is None else tuple(only)
        self.without_type = without_type
        self.named = named

    def read(self, value: Any) -> dict[str, Any]:
        kind, name = self.resolve(value)
        return {"type": name, **load(kind, {k: v for k, v in value.items() if k != "type"})}

    def resolve(self, value: Any) -> tuple[type[Shape], str]:
        """Shape and type of an object."""
        name = value.get("type", self.without_type) if isinstance(value, Mapping) else None
        if not isinstance(value, Mapping) or ("type" not in value and name is None):
            raise fault(
                f"Could not resolve subtype of [simple type, class {self.java}]: "
                f"missing type id property 'type'{self._property}"
            )
        known = self.kinds.names() if self.only is None else list(self.only)
        if not isinstance(name, str) or name not in known:
            raise ValidationError({"type": [self._unknown(name, known)]})
        return self.kinds[name], name

    @property
    def _property(self) -> str:
        name = self.named or self.name
        return f" (for POJO property '{name}')" if name else ""

    def _unknown(self, name: Any, known: list[str]) -> Fault:
        return unknown_type(name, self.java, known, self._property)

    def inside(self, value: Any) -> Iterator[tuple[str, Shape, Mapping[str, Any]]]:
        try:
            kind, _ = self.resolve(value)
        except ValidationError:
            return
        if isinstance(value, Mapping):  # a bare name may stand for an object
            yield "", shape(kind), value


class OtherwiseDefault(Poly):
    """A `Poly` whose `without_type` is also the type of what nobody knows, as Jackson has it for some."""

    def resolve(self, value: Any) -> tuple[type[Shape], str]:
        if isinstance(value, Mapping) and value.get("type") not in (self.only or self.kinds.names()):
            value = {"type": self.without_type}
        return super().resolve(value)


def unknown_type(name: Any, java: str, known: list[str], suffix: str = "") -> Fault:
    """Druid's text for a type that it does not know, with the nearest right one as a hint."""
    import difflib

    shown = "null" if name is None else "[" if isinstance(name, list) else "{" if isinstance(name, dict) else str(name)
    near = difflib.get_close_matches(shown, known, n=1)
    return Fault(
        f"Please make sure to load all the necessary extensions and jars with type '{shown}' on 'druid/overlord' "
        f"service. Could not resolve type id '{shown}' as a subtype of `{java}` "
        f"known type ids = [{', '.join(sorted(known))}]{suffix}",
        hint=f"did you mean '{near[0]}'?" if near else None,
    )


def _text_only(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise BadRequest(f"Cannot deserialize value of type `java.lang.String` from {token(value)}")


def _scalar_text(value: Any) -> str:
    """What Jackson takes for the text of a value of any kind; of an array or an object it is the bracket."""
    if isinstance(value, list):
        return "["
    if isinstance(value, Mapping):
        return "{"
    return value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)


class _FromModel(Lenient):
    """A value that `overlord.model` reads."""

    def read(self, value: Any) -> Any:
        try:
            return self.through_model(value)
        except BadRequest as e:
            raise fault(e.message, hint=e.hint) from None

    def through_model(self, value: Any) -> Any:
        """Read and written again."""
        raise NotImplementedError


class IntervalText(_FromModel):
    """An interval, written as two instants."""

    def through_model(self, value: Any) -> str:
        return str(Interval.parse(_scalar_text(value)))


class InstantText(_FromModel):
    """An instant in text or millis, written as text."""

    def through_model(self, value: Any) -> str:
        is_number = isinstance(value, int) and not isinstance(value, bool)
        return format_instant(value if is_number else parse_instant(_text_only(value)))


class PeriodText(_FromModel):
    """A period."""

    def through_model(self, value: Any) -> str:
        return str(Period.parse(_text_only(value)))


class GranularityJson(_FromModel):
    """A granularity, written by its name if it has one."""

    def through_model(self, value: Any) -> Any:
        return Granularity.parse(value).to_json()
