# Every target makes its own environment in $(VENV) and installs what it needs there.
# Needed beforehand: make, Python 3.11 or newer, and a package index pip can reach.

PYTHON ?= python3
ifeq ($(PYTHON),python3)
VENV ?= .venv
else
VERSION := $(shell command -v $(PYTHON) >/dev/null && $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
VENV ?= .venv-$(VERSION)
endif
PYTEST ?=

BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install-test test test-all check format demo bench docs clean

define HELP
make test       run the test suite (PYTEST="-k name -x" adds pytest options)
make test-all   the suite on $(PYTHON) and on the newest CPython found, both on asyncio and on uvloop
make check      ruff, mypy --strict and pyright
make format     let ruff format the code and fix what it can
make demo       flights over TCP, live, then the same pipeline over the recording in batch
                (DEMO="--rate 4000" slows it down for watching; DEMO=--help lists the options)
make docs       run every example of the documentation and build its site in docs/_build/html
make bench      measure against hand-written loops and the alternatives (BENCH=--help for more)
make clean      remove environments, caches and downloaded data

PYTHON=python3.13 chooses another interpreter; its packages go to .venv-3.13, or to VENV=folder.
endef

help:
	@: $(info $(HELP))

$(VENV)/.pip:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) was not found. Install Python 3.11 or newer, or say where it is: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is $$($(PYTHON) --version 2>&1), and Reactive needs 3.11 or newer. Name one: make PYTHON=python3.12" >&2; exit 1; }
	@$(BIN)/python -c 'import pip' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	@touch $@

# One stamp for each set of dependencies, so that the demo does not wait for type checkers.
$(VENV)/.demo: pyproject.toml $(VENV)/.pip
	@echo "installing what the demo needs into $(VENV)"
	@$(BIN)/python -m pip install --quiet -e ".[terminal]"
	@touch $@

$(VENV)/.test $(VENV)/.check $(VENV)/.docs: $(VENV)/.%: pyproject.toml $(VENV)/.pip
	@echo "installing the dependency group '$*' into $(VENV)"
	@$(BIN)/python -m pip install --quiet -e . --group $*
	@touch $@

$(VENV)/.bench: pyproject.toml benchmarks/requirements.txt $(VENV)/.pip
	@echo "installing the libraries to measure beside into $(VENV)"
	@$(BIN)/python -m pip install --quiet -e ".[all]" -r benchmarks/requirements.txt
	@touch $@

install-test: $(VENV)/.test

test: $(VENV)/.test
	$(BIN)/python -m pytest $(PYTEST)

test-all:
	@PYTHON=$(PYTHON) MAKE="$(MAKE)" bash .ci/test-all

check: $(VENV)/.test $(VENV)/.check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright

format: $(VENV)/.check
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

demo: $(VENV)/.demo
	@$(BIN)/reactive demo $(DEMO)

docs: $(VENV)/.test $(VENV)/.docs
	$(BIN)/python -m pytest -q tests/test_docstrings.py tests/test_diagrams.py tests/test_docs.py
	$(BIN)/python -m sphinx --fresh-env --fail-on-warning --keep-going --nitpicky --quiet docs docs/_build/html
	@echo "the site is in docs/_build/html/index.html"

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks $(BENCH)

clean:
	rm -rf .venv .venv-* .data dist docs/_build docs/generated .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
