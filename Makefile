# `make` alone lists what can be made. Everything runs in .venv, which is made when it is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo run test test-druid test-kafka test-long check docs bench clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */  \1\t/' | expand -t 16

$(STAMP): setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[all]'
	@touch $@

$(VENV)/.developer: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' build
	@touch $@

demo: $(STAMP)  ## ingest real data with a server of its own, and show the result
	$(BIN)/overlord demo

run: $(STAMP)  ## a server on 127.0.0.1:8090 until Ctrl-C
	$(BIN)/overlord serve

test: $(VENV)/.developer  ## all fast tests
	$(BIN)/python -m pytest -q -n auto

test-druid: $(VENV)/.developer  ## a stock Druid over what we publish (needs a JDK and Maven)
	$(BIN)/python -m pytest -q -m druid tests

test-kafka: $(VENV)/.developer  ## against a real broker
	$(BIN)/python -m pytest -q -n 2 -m "kafka and not long" tests

test-long: $(VENV)/.developer  ## tests that take minutes
	$(BIN)/python -m pytest -q -m long tests

check: $(VENV)/.developer  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.developer  ## write the pages and files that are made from code
	$(BIN)/python -m overlord.settings.render

bench: $(STAMP)  ## times of a server at BASE (http://127.0.0.1:8090)
	$(BIN)/python bench/bench.py latency submit drain list --base $(or $(BASE),http://127.0.0.1:8090)

clean:  ## remove what was made here
	rm -rf $(VENV) build dist *.egg-info overlord-demo .pytest_cache .mypy_cache .ruff_cache
