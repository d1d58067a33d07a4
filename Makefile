# Two commands: `make demo` and `make test`. Each sets up what it needs in .venv.
PYTHON ?= python3
BIN = .venv/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test check test-slow test-slow-slice schema clean

demo: .venv/demo
	$(BIN)/uncork demo

test: .venv/dev
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m uncork.testing
	$(MAKE) test

test-slow: .venv/dev
	$(BIN)/python -m pytest -n 2 -m slow

# A slice of the slow suite for CI: as many tests as fit in eight minutes, in an order that the seed decides.
SLICE_SEED ?= $(shell git rev-parse --short HEAD)
test-slow-slice: .venv/dev
	$(BIN)/python -m pytest -n 2 -m slow --slice-minutes 8 --slice-seed "$(SLICE_SEED)"

# Writes docs/report.schema.json again; a test fails when it has drifted from the code.
schema: .venv/dev
	$(BIN)/python -m uncork.testing --write-schema

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "uncork needs Python 3.11 or later: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv

.venv/demo: .venv/bin/python pyproject.toml constraints.txt
	$(INSTALL) --editable '.[demo]'
	touch $@

.venv/dev: .venv/bin/python pyproject.toml constraints.txt
	$(INSTALL) --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
