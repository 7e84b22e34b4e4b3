# make demo      the webcam script on the built-in sample: a window, or files in outputs/ where there is no display
# make test      all tests
# make notebooks the notebooks, run in place
# make lint      style, directions of imports, types, and the schema of the workflow
# make bench     the benchmarks, at a reduced size
# make model     models/emotion_net from random weights: hours; stopped, the same command goes on (models/recipes/)
#
# Each sets up what it needs in .venv when that is missing or older than the requirements: demo the light tier, without
# torch; the others everything, in the same environment. What is installed already is not installed again.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check

.PHONY: demo test notebooks lint bench model
.DELETE_ON_ERROR:

# Both files go before pip begins, and come back when it has ended: an installation that was interrupted is repeated.
define environment
@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("Found Python %d.%d; expected 3.11 or newer. Say which, e.g.: make $(MAKECMDGOALS) PYTHON=python3.12" % v[:2])'
@rm -f .venv/light .venv/ready
$(PYTHON) -m venv .venv
endef

.venv/light: requirements-demo.txt pyproject.toml
	$(environment)
	$(PIP) -r requirements-demo.txt
	@touch .venv/light

.venv/ready: requirements-demo.txt requirements.txt requirements-dev.txt pyproject.toml
	$(environment)
	$(PIP) -r requirements-dev.txt
	@touch .venv/light .venv/ready

demo: .venv/light
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

model: .venv/ready
	PATH="$(CURDIR)/$(BIN):$$PATH" bash models/recipes/emotion_net.sh
