"""Samples of input, read by helper processes: the server itself opens no input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from overlord.errors import BadRequest
from overlord.runners.asking import NoAnswer

if TYPE_CHECKING:
    from overlord.runners.base import Runner


def sample(runner: Runner, settings: Mapping[str, Any], request: Mapping[str, Any]) -> bytes:
    """Answer a sampler spec with every default; gives the JSON of Druid's answer.

    Raises
    ------
    BadRequest
        The input cannot be read, or not in time, in Druid's words.
    Unavailable
        Too many samples are taken at the same time.
    """
    most_ms = int(settings["ovl.ask.timeout"])
    config = dict(request["samplerConfig"])
    config["timeoutMs"] = min(config["timeoutMs"], most_ms) if config["timeoutMs"] > 0 else most_ms
    body = {**request, "samplerConfig": config}
    try:
        return runner.ask("sample", body, max(1.0, config["timeoutMs"] / 1000))
    except NoAnswer as error:
        text = error.message if error.bare else f"Failed to sample data: {error.message}"
        raise BadRequest(text, where=error.where, hint=error.hint) from None
