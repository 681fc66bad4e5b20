# Every verb makes what it needs: on a fresh machine `make demo` and `make test` want only Python 3.11 or later and pip.
#   make test PYTHON=python3.12    another interpreter for a new environment
#   make test VENV=/path           another environment, made if it is absent
#   make test PYTEST_ARGS='-k coherence'
PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
PYTEST_ARGS ?=
BIN := $(VENV)/bin
STAMP := $(VENV)/.sarcd-installed

.DEFAULT_GOAL := help
.PHONY: help demo test lint format types bench gpu-check clean

help:  ## list the verbs
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("sarcd needs Python 3.11 or later: make PYTHON=...") if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv $(VENV)

$(STAMP): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: $(STAMP)  ## map the changes of a simulated mine, write map and picture to demo/
	$(BIN)/sarcd demo

test: $(STAMP)  ## all tests and doctests, without the benchmarks
	$(BIN)/python -m pytest -q -ra -n $(JOBS) --dist loadfile $(PYTEST_ARGS)

lint: $(STAMP)  ## style, import contracts, spelling and words
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/codespell
	$(BIN)/python tools/check_words.py

format: $(STAMP)  ## put style right where it can be done by machine
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP)  ## mypy, strict
	$(BIN)/mypy

bench: $(STAMP)  ## benchmarks, each figure beside a yardstick of the same run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	$(BIN)/python -m pytest tests/benchmarks -m benchmark -s -p no:xdist $(PYTEST_ARGS)

gpu-check: $(STAMP)  ## forward, training, precision, memory and speed on the GPU that is there
	$(BIN)/python -m pytest tests/benchmarks/test_gpu.py -s -rs -p no:xdist $(PYTEST_ARGS)

clean:  ## remove caches and builds; the environment stays
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks
	find sarcd cli tests examples -name __pycache__ -type d -prune -exec rm -rf {} +
