# Everything a developer runs, one word each. `make` alone lists the targets.
# Any variable can be set on the command line: make demo DEMO_ARGS="--seed_everything 1"

PYTHON     ?= python3
VENV       ?= .venv
PIP_ARGS   ?=
DEMO       ?= configs/clevr_demo.yaml
DEMO_ARGS  ?=
DEMO_RUN   ?= runs/clevr_demo
PYTEST_ARGS ?= -n logical --maxprocesses 4
BENCH      ?= $(sort $(shell grep -l __main__ benchmarks/*.py))
BENCH_ARGS ?=
WHEEL_ARGS ?=

BIN   := $(VENV)/bin
STAMP := $(VENV)/.dualgan-setup
SUPPORTED := import sys; sys.exit(sys.version_info < (3, 11))

# Some containers set this. Without saved bytecode every process would compile PyTorch anew, for some twenty seconds.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test lint lint-format lint-ruff lint-types format bench wheel clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(STAMP)  ## create .venv and install dualgan with its development tools (at once when nothing changed)

# A half-made environment is repaired, a whole one is kept. Byte-compiling all of PyTorch at install time would cost a
# minute (--no-compile): Python compiles what it imports.
$(STAMP): pyproject.toml
	@if ! "$(BIN)/python" -m pip --version >/dev/null 2>&1; then \
	    command -v "$(PYTHON)" >/dev/null || { \
	        echo "'$(PYTHON)' was not found. Install Python 3.11 or newer, or name one: make $(or $(MAKECMDGOALS),setup) PYTHON=/path/to/python3" >&2; exit 1; }; \
	    "$(PYTHON)" -c '$(SUPPORTED)' || { \
	        echo "'$(PYTHON)' is $$("$(PYTHON)" --version 2>&1), dualgan needs Python 3.11 or newer. Name one: make $(or $(MAKECMDGOALS),setup) PYTHON=python3.11" >&2; exit 1; }; \
	    echo "Creating $(VENV) with $$("$(PYTHON)" --version 2>&1)"; \
	    "$(PYTHON)" -m venv "$(VENV)" || { \
	        echo "'$(PYTHON) -m venv' failed. On Debian and Ubuntu it is in the package python3-venv." >&2; exit 1; }; \
	    "$(BIN)/python" -m pip --version >/dev/null 2>&1 || { \
	        echo "$(VENV) is damaged: its pip does not run. Remove $(VENV) and run make again." >&2; exit 1; }; \
	fi
	@"$(BIN)/python" -c '$(SUPPORTED)' || { \
	    echo "$(VENV) holds $$("$(BIN)/python" --version 2>&1), dualgan needs Python 3.11 or newer. Remove $(VENV) and run make again." >&2; exit 1; }
	@echo "Installing dualgan and its dependencies into $(VENV) (PyTorch is large: this can take some minutes)"
	@"$(BIN)/python" -m pip install -q --disable-pip-version-check --no-compile $(PIP_ARGS) -e '.[dev]'
	@touch $@

demo: setup  ## train a small dual contrastive GAN on rendered scenes; goes on with a stopped run (minutes on 2 CPU cores)
	$(BIN)/dualgan fit --config $(DEMO) $(if $(wildcard $(DEMO_RUN)/checkpoints/last.ckpt),--ckpt_path last) $(DEMO_ARGS)

test: setup lint  ## lint, then run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST_ARGS)

lint: lint-format lint-ruff lint-types  ## check format, style and types (the pre-commit hooks run the same three)

lint-format: setup
	$(BIN)/ruff format --check .

lint-ruff: setup
	$(BIN)/ruff check .

lint-types: setup
	$(BIN)/mypy

format: setup  ## rewrite the sources the way lint wants them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup  ## run benchmarks/*.py one after the other
	@test -n "$(BENCH)" || { echo "No benchmark found in benchmarks/." >&2; exit 1; }
	@set -e; for script in $(BENCH); do echo "== $$script"; $(BIN)/python $$script $(BENCH_ARGS); done

wheel: setup  ## build a wheel into dist/
	$(BIN)/python -m build --wheel $(WHEEL_ARGS)

clean:  ## remove build products and caches; .venv, runs and data stay
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
