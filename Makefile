# make demo      the webcam script on the built-in sample: a window, or files in outputs/ where there is no display
# make test      all tests
# make notebooks the notebooks, run in place
# make lint      style, directions of imports, types, and the schema of the workflow
# make bench     the benchmarks, at a reduced size
#
# Each sets up .venv by itself when it is missing or older than the requirements.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test notebooks lint bench
.DELETE_ON_ERROR:

.venv/ready: requirements-demo.txt requirements.txt requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("Found Python %d.%d; expected 3.11 or newer. Say which, e.g.: make $(MAKECMDGOALS) PYTHON=python3.12" % v[:2])'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements-dev.txt
	@touch $@

demo: .venv/ready
	$(BIN)/python -m fer.webcam --source sample --demo

test: .venv/ready
	$(BIN)/python -m pytest

notebooks: .venv/ready
	$(BIN)/python notebooks/run.py

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

bench: .venv/ready
	$(BIN)/python -m benchmarks
