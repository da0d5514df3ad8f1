# Everything a developer runs. CI runs the same recipes (.ci/run). Each target sets up what it needs.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV ?= .venv
PYTHON ?=
JOBS ?= 2
ARGS ?=

# Processes are started by the hundred here: none is to compile again what another has compiled.
export PYTHONDONTWRITEBYTECODE :=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
DEMO := $(VENV)/.installed-demo
DEV := $(VENV)/.installed-dev

.PHONY: help demo test test-long check fmt bench clean

help: ## Say what can be made
	@echo "Framekeep. Nothing needs to be installed first: each target makes $(VENV) when it is missing."
	@echo
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|' 2>/dev/null \
	  || sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1   \2/p' $(MAKEFILE_LIST)
	@echo
	@echo "  ARGS=…    is handed on:     make test ARGS='-k timeline -x'    make bench ARGS=--quick"
	@echo "  PYTHON=…  is used for $(VENV): make demo PYTHON=python3.13       (default: python3.11, else the newest)"

demo: $(DEMO) ## Take 336,776 real flights through a whole session and show the figures
	@$(BIN)/framekeep demo $(ARGS)

# Each run has other hashes of strings; which ones is printed, so that a run can be repeated.
test: $(DEV) ## Run the tests (all but the long form)
	@export PYTHONHASHSEED=$${PYTHONHASHSEED:-$$RANDOM}; echo "PYTHONHASHSEED=$$PYTHONHASHSEED"; \
	$(BIN)/python -m pytest -n $(JOBS) -m "not long" $(ARGS)

test-long: $(DEV) ## Run the long form of the suites (kill -9 by the hundred, big frames, HTTP on every place)
	@$(BIN)/python -m pytest -m long --timeout 1800 $(ARGS)

check: $(DEV) ## Check style, types and layers: ruff, ruff format, mypy strict, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

fmt: $(DEV) ## Format the code and mend what ruff can mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(DEV) ## Measure every bar against the pickle-file and Parquet designs
	@$(BIN)/python -m benchmarks.run $(ARGS)

clean: ## Remove caches and build output (keeps .venv and every store)
	@rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# A half-made environment is worse than none: Debian splits ensurepip from python3, and `-m venv` then
# leaves a directory without pip behind. So ask first, and fall back to virtualenv or uv.
$(BIN)/python:
	@py="$(PYTHON)"; \
	if [ -z "$$py" ]; then for p in python3.11 python3.14 python3.13 python3.12 python3 python; do \
	  if "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then py=$$p; break; fi; done; fi; \
	if [ -z "$$py" ]; then echo "No Python 3.11 or newer was found. Install one, or name it: make … PYTHON=/path/to/python" >&2; exit 1; fi; \
	echo "Making $(VENV) with $$("$$py" --version) …" >&2; \
	if "$$py" -c 'import ensurepip, venv' 2>/dev/null; then "$$py" -m venv "$(VENV)"; \
	elif "$$py" -c 'import virtualenv' 2>/dev/null; then "$$py" -m virtualenv -q "$(VENV)"; \
	elif command -v virtualenv >/dev/null; then virtualenv -q -p "$$(command -v "$$py")" "$(VENV)"; \
	elif command -v uv >/dev/null; then uv venv -q --seed --python "$$(command -v "$$py")" "$(VENV)"; \
	else echo "$$py cannot make virtual environments (ensurepip is missing)." >&2; \
	  echo "On Debian and Ubuntu: apt install python3-venv (or: apt install virtualenv), then again." >&2; exit 1; fi

$(DEMO): pyproject.toml constraints.txt | $(BIN)/python
	@if [ -n "$$(find $(DEV) -newer pyproject.toml -newer constraints.txt 2>/dev/null)" ]; then touch $@; exit 0; fi; \
	echo "Installing Framekeep and the demo's data into $(VENV) (once) …" >&2; \
	$(PIP) install -qq -c constraints.txt -e '.[demo]'; touch $@

$(DEV): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Framekeep and its tools into $(VENV) (once) …" >&2; \
	$(PIP) install -qq -c constraints.txt -e '.[dev]'; touch $@
