# Everything a fresh machine needs is installed into .venv, in the versions of constraints.txt.

PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	--constraint constraints.txt --editable

# A file of tests at a time on each core; more processes than these would want more memory.
SIDE_BY_SIDE := -n auto --maxprocesses 4 --dist loadfile

.PHONY: quickstart test check clean

## Evaluate two models on the built-in tasks, offline, and write a report.
quickstart: .venv/quickstart-installed
	HF_HUB_OFFLINE=1 $(BIN)/granite-bench run quickstart
	$(BIN)/granite-bench table quickstart
	$(BIN)/granite-bench report quickstart

## Run the tests.
test: .venv/test-installed
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

## Everything a change must pass: lint, types, tests with coverage.
check: .venv/test-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) --cov --cov-report=term:skip-covered

clean:
	rm -rf .venv

.venv/quickstart-installed .venv/test-installed: .venv/%-installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) '.[$*]'
	touch $@
