"""jq programs, through the `jq` library (extra `jq`). They see the row alone: no environment, no files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_ALONE = "def env: {{}}; {{}} as $ENV | (\n{}\n)"


class BadProgram(ValueError):
    """A text that is no jq program, or nothing that could be run here."""


def jq_program(text: str) -> Callable[[Any], Any]:
    """A program as a function of a row: its first output; None where it fails or gives nothing.

    Raises
    ------
    BadProgram
        If it cannot be read, or the library is not there.
    """
    try:
        import jq
    except ImportError:
        raise BadProgram("jq programs cannot be read here: pip install 'overlord[jq]'") from None
    try:
        jq.compile(text)
        program = jq.compile(_ALONE.format(text))
    except ValueError as error:
        said = str(error).partition("\n")[0].removeprefix("jq: error: ")
        raise BadProgram(f"{said.partition(' at <top-level>')[0]} (jq program {text!r:.200})") from None

    def run(row: Any) -> Any:
        try:
            return program.input_value(row).first()
        except (ValueError, StopIteration):
            return None

    return run
