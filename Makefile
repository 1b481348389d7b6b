# Two commands on a fresh machine: `make demo` and `make test`. Each builds .venv on first use.
# ARGS goes to the command behind a target: make demo ARGS=--keep, make test ARGS="-k lock"
PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
# Stamps, written last: a build that was interrupted leaves none.
FOR_DEMO := $(VENV)/.installed-demo
FOR_DEV := $(VENV)/.installed-dev

export PIP_ROOT_USER_ACTION := ignore
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test test-system lint clean
help:
	@echo "make demo         everything on this machine, with real servers and a simulated ERP"
	@echo "make test         all tests that need nothing but Python"
	@echo "make test-system  the tests that need tools of the system (see .ci/run)"
	@echo "make lint         ruff, mypy, import-linter"
	@echo "make clean        remove what these made"

demo: $(FOR_DEMO)
	@$(BIN)/streamsync demo $(ARGS)

test: $(FOR_DEV)
	$(BIN)/python -m pytest -m "not system" $(ARGS)

test-system: $(FOR_DEV)
	$(BIN)/python -m pytest -m system $(ARGS)

lint: $(FOR_DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) .streamsync build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find $(wildcard streamsync tests loadtest) -name __pycache__ -type d -prune -exec rm -rf {} +

# $(call install,EXTRA): .building marks a build in progress. Found at the start, it tells of one that was
# interrupted, perhaps in the middle of a package that pip would then take for installed: begin anew.
define install
	@command -v "$(PYTHON)" >/dev/null || { \
		echo "streamsync needs Python 3.11 or newer: apt install python3 python3-venv" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "streamsync needs Python 3.11 or newer, $(PYTHON) is older: apt install python3.11 python3.11-venv, then make PYTHON=python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "Python's venv module is missing: apt install python3-venv" >&2; exit 1; }
	@if [ -e $(VENV)/.building ]; then rm -rf $(VENV); fi
	@echo "Building $(VENV) for $(1) (once, about half a minute) ..."
	@mkdir -p $(VENV) && touch $(VENV)/.building
	@[ -x $(BIN)/pip ] || "$(PYTHON)" -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --editable '.[$(1)]'
	@rm $(VENV)/.building
endef

$(FOR_DEMO): pyproject.toml
	$(call install,embedded)
	@touch $@

$(FOR_DEV): pyproject.toml
	$(call install,dev)
	@touch $(FOR_DEMO) $@
