"""The OpenAPI document says every route of the application, and nothing else."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from overlord.app import create_app
from overlord.openapi import ROUTES, document


@pytest.fixture(scope="module")
def app():
    return create_app(SimpleNamespace())


@pytest.fixture(scope="module")
def written(app):
    return document(app, "1.2.3")


def test_every_route_is_described_and_no_other(app):
    assert {rule.endpoint for rule in app.url_map.iter_rules()} == set(ROUTES)


def test_it_is_valid_openapi(written):
    assert written["openapi"].startswith("3.1.")
    assert not list(OpenAPIV31SpecValidator(written).iter_errors())


def test_every_method_of_every_path_has_words_and_its_parameters(app, written):
    operations = [
        (path, method, operation) for path, methods in written["paths"].items() for method, operation in methods.items()
    ]
    asked = sum(len(rule.methods - {"HEAD", "OPTIONS"}) for rule in app.url_map.iter_rules())
    assert len(operations) == asked
    assert len({operation["operationId"] for _, _, operation in operations}) == asked
    for path, method, operation in operations:
        assert operation["summary"], (path, method)
        in_path = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"}
        assert in_path == {part.strip("{}") for part in path.split("/") if part.startswith("{")}, (path, method)


def test_a_route_that_nobody_described_is_missed(app):
    other = create_app(SimpleNamespace())
    other.add_url_rule("/new", "new", lambda: "")
    with pytest.raises(KeyError):
        document(other, "1")


def test_a_bare_text_called_json_has_no_schema_that_it_would_break(written):
    answer = written["paths"]["/druid/indexer/v1/taskStatus"]["post"]["responses"]["400"]
    assert answer["content"] == {"application/json": {}} and "text" in answer["description"]
