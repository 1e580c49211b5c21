# Everything a fresh machine needs is installed into .venv, in the versions of constraints.txt.

PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	--constraint constraints.txt --editable

# A file of tests at a time on each core, in the order of tests/conftest.py: the long ones first.
# More processes than these would want more memory.
SIDE_BY_SIDE := -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: quickstart test lint check audit clean

## Evaluate two models on the built-in tasks, offline, and write a report.
quickstart: .venv/quickstart-installed
	HF_HUB_OFFLINE=1 $(BIN)/granite-bench run quickstart
	$(BIN)/granite-bench table quickstart
	$(BIN)/granite-bench report quickstart

## Run the tests, and hold the coverage of the package to what pyproject.toml asks for.
test: .venv/test-installed
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) --cov --cov-report=term:skip-covered

## Lint, format, types.
lint: .venv/test-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

## What continuous integration runs.
check: test lint

## Known vulnerabilities of the pinned packages; asks an advisory service on the internet.
audit:
	test -x .venv/audit/bin/pip-audit || $(PYTHON) -m venv .venv/audit
	.venv/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	.venv/audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip

clean:
	rm -rf .venv

.venv/quickstart-installed .venv/test-installed: .venv/%-installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) '.[$*]'
	touch $@
