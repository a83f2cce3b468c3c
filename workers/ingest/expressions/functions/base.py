"""How a function of the expression language is filed.

A plain function gets its arguments' values; a special one (`if`, `map`) gets the arguments themselves, each a callable
of the row, and so decides what is evaluated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from overlord.registry import Registry

Env = dict[str, Any]
F = TypeVar("F", bound=Callable[..., Any])
Compiled = Callable[[Env], Any]


@dataclass(frozen=True)
class Function:
    """One function.

    Attributes
    ----------
    call : callable
        Values in, value out; for a special one compiled arguments in, compiled expression out.
    least, most : int
        Numbers of arguments; `most` may be None for any.
    special : bool
        See the module.
    """

    call: Callable[..., Any]
    least: int
    most: int | None
    special: bool = False


functions: Registry[Function] = Registry("function")


def function(name: str, least: int = 1, most: int | None = -1) -> Callable[[F], F]:
    """File a plain function; `most` is `least` unless given, None for any."""

    def add(call: F) -> F:
        functions.add(name)(Function(call, least, least if most == -1 else most))
        return call

    return add


def special(name: str, least: int, most: int | None) -> Callable[[Callable[..., Compiled]], Callable[..., Compiled]]:
    """File a special one."""

    def add(call: Callable[..., Compiled]) -> Callable[..., Compiled]:
        functions.add(name)(Function(call, least, most, special=True))
        return call

    return add
