"""docs/http-api.md names every route of the application, and no other."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

from overlord.app import create_app

PAGE = Path(__file__).parents[3] / "docs" / "http-api.md"


def routes():
    app = create_app(SimpleNamespace())
    return {
        f"{method} " + re.sub("<(?:[^:>]+:)?([a-z_]+)>", r"{\1}", rule.rule)
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }


def test_every_route_is_on_the_page():
    assert set(re.findall(r"^\| `([A-Z]+ /[^`?]*)", PAGE.read_text(), re.MULTILINE)) == routes()
