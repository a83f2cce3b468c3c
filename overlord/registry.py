"""One place where the kinds of a thing (task types, input formats, ...) are found by their Druid name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from overlord.errors import UnknownKind

T = TypeVar("T")


class Registry(Generic[T]):
    """Names to kinds, filled by a decorator, or by other packages' entry points in `overlord.<what>`.

    Parameters
    ----------
    what : str
        What the members are, in the words of an error: "input format".
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self._members: dict[str, T] = {}
        self._plugins_loaded = False

    def add(self, *names: str) -> Callable[[T], T]:
        """Decorator that files its argument under each of `names`; a name twice fails at import."""

        def file(member: T) -> T:
            for name in names:
                if name in self._members:
                    raise ValueError(f"{self.what} {name!r} is registered twice")
                self._members[name] = member
            return member

        return file

    def __getitem__(self, name: str) -> T:
        if name not in self._members:
            self._load_plugins()
        try:
            return self._members[name]
        except (KeyError, TypeError):
            near = difflib.get_close_matches(str(name), self._members, n=3)
            raise UnknownKind(self.what, str(name), self.names(), near) from None

    def __contains__(self, name: object) -> bool:
        if name not in self._members:
            self._load_plugins()
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def names(self) -> list[str]:
        """All names, sorted."""
        self._load_plugins()
        return sorted(self._members)

    def _load_plugins(self) -> None:
        if self._plugins_loaded:
            return
        self._plugins_loaded = True
        for point in entry_points(group="overlord." + self.what.replace(" ", "_")):
            if point.name not in self._members:
                self._members[point.name] = point.load()
