"""Passwords are taken out of what is stored, and put back where they were."""

from __future__ import annotations

import copy

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from overlord.model.secrets import redact, restore


def task(**source):
    return {"type": "index", "id": "t", "spec": {"ioConfig": {"inputSource": {"type": "x", **source}}}}


def source(payload):
    return payload["spec"]["ioConfig"]["inputSource"]


def test_a_provider_loses_its_password_and_keeps_its_type():
    given = task(httpAuthenticationPassword={"type": "default", "password": "hush"})
    clean, secrets = redact(given)
    assert source(clean)["httpAuthenticationPassword"] == {"type": "default"}
    assert restore(clean, secrets) == given


def test_plain_texts_are_hidden_as_providers():
    given = task(properties={"accessKeyId": "me", "secretAccessKey": "hush"}, database={"user": "u", "password": "p"})
    clean, secrets = redact(given)
    assert "hush" not in str(clean) and "'p'" not in str(clean)
    assert source(clean)["database"]["user"] == "u"
    assert restore(clean, secrets) == given


def test_the_key_of_azure_is_hidden_and_a_key_elsewhere_is_not():
    given = task(properties={"account": "me", "key": "hush"}, objects=[{"bucket": "b", "key": "path"}])
    clean, secrets = redact(given)
    assert "hush" not in str(clean) and source(clean)["objects"] == [{"bucket": "b", "key": "path"}]
    assert restore(clean, secrets) == given


def test_passwords_are_found_in_lists():
    given = task(delegates=[{"a": 1}, {"password": "hush", "type": "default"}])
    clean, secrets = redact(given)
    assert source(clean)["delegates"] == [{"a": 1}, {"type": "default"}]
    assert restore(clean, secrets) == given


def test_a_provider_that_names_a_variable_is_left_as_it_is():
    given = task(password={"type": "environment", "variable": "PW"})
    assert redact(given) == (given, [])


names = st.sampled_from(["password", "type", "secretAccessKey", "data", "x"])
values = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault
@given(st.dictionaries(names, values))
def test_whatever_is_hidden_comes_back(payload):
    before = copy.deepcopy(payload)
    clean, secrets = redact(payload)
    assert payload == before
    assert restore(clean, secrets) == before
    assert redact(clean)[1] == []
