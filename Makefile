# What one can do with this tree; `make` alone lists it. Needs a POSIX shell, make and Python 3.11 or newer.

UV_VERSION := 0.13.8
SHELL := /bin/sh
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
# Written when the environment is complete; says where it was made, because an environment can't be moved.
STAMP := $(VENV)/.made
LOCKED := requirements-dev.txt

# PYTHON=python3.12 chooses the interpreter; ARGS="-k inbox" goes to the program; WORKERS=2 spreads `make test`.
PYTHON ?=
ARGS ?=
WORKERS ?=

# uv from PATH where it works, else a pinned one of our own.
UV ?= $(shell if uv --version >/dev/null 2>&1; then echo uv; else echo .uv/bin/uv; fi)
OWN_UV := $(filter .uv/bin/uv,$(UV))

# A home that is missing or another user's can hold no cache.
IN_REACH = if [ -z "$${HOME:-}" ] || [ ! -w "$${HOME:-}" ]; then export UV_CACHE_DIR="$${UV_CACHE_DIR:-$(CURDIR)/.uv/cache}" PIP_NO_CACHE_DIR=1; fi

# Sets $$python to a fitting interpreter, or says what is missing.
FIT = import sqlite3, ssl, sys; sys.exit(not (3, 11) <= sys.version_info[:2] $(if $(PYTHON),,< (3, 15)))
FIND_PYTHON = python=; for candidate in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11); do \
		if "$$candidate" -c '$(FIT)' >/dev/null 2>&1; then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo "reelhook needs $(if $(PYTHON),Python 3.11 or newer with its ssl and sqlite3 modules; PYTHON=$(PYTHON) is none,Python 3.11 to 3.14 with its ssl and sqlite3 modules; looked for python3 and python3.11 to python3.14 in PATH)." >&2; \
		echo "  found: $$($(or $(PYTHON),python3) --version 2>&1 | tail -n 1)" >&2; \
		echo "  On Debian or Ubuntu: apt-get install python3 python3-venv. Elsewhere: https://www.python.org/downloads/" >&2; \
		echo "  An interpreter outside of PATH: make $(or $(MAKECMDGOALS),env) PYTHON=/path/to/python3" >&2; \
		exit 1; \
	fi

# True where the environment still runs, stands where it was made and has the Python that was asked for.
USABLE = [ "$$(cat $(STAMP) 2>/dev/null)" = "$(CURDIR)" ] && $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { [ -z "$(PYTHON)" ] || [ "$$($(BIN)/python -VV)" = "$$($(PYTHON) -VV 2>/dev/null)" ]; }

.PHONY: help
help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo '  ARGS="..." goes to the program (make test ARGS="-k inbox"), WORKERS=2 spreads make test, PYTHON=python3.12 chooses one.'

.PHONY: run
run: env ## set everything up and run Reelhook on http://127.0.0.1:8000
	@exec $(BIN)/reelhook serve $(ARGS)

.PHONY: test
test: env ## set everything up and run every test
	@exec $(BIN)/pytest $(if $(WORKERS),-n $(WORKERS)) $(ARGS)

.PHONY: torture
torture: env ## run the long tests: crashes and load, over and over
	@exec $(BIN)/pytest -m torture --timeout=7200 $(ARGS)

.PHONY: bench
bench: env ## print the benchmark's ratios
	@exec $(BIN)/python -m bench $(ARGS)

.PHONY: lint
lint: env ## ruff, formatting, types, import contracts
	@failed=; \
	for check in 'ruff check' 'ruff format --check' 'mypy' 'lint-imports --no-logo'; do \
		echo "== $$check"; $(BIN)/$$check || failed="$$failed, $$check"; \
	done; \
	[ -z "$$failed" ] || { echo "failed: $${failed#, }" >&2; exit 1; }

.PHONY: env
env: $(STAMP) ## make .venv from the locked, hashed requirements

ifneq ($(shell $(USABLE) && echo yes),yes)
.PHONY: $(STAMP)
endif
$(STAMP): $(LOCKED) pyproject.toml $(OWN_UV)
	@$(IN_REACH); \
	if ! { $(USABLE); }; then \
		$(FIND_PYTHON); \
		rm -rf $(VENV); \
		$(UV) venv --quiet --no-python-downloads --prompt reelhook --python "$$($$python -c 'import sys; print(sys.executable)')" $(VENV) || exit 1; \
	fi; \
	rm -f $(STAMP); \
	echo "setting up $(VENV): $$($(BIN)/python --version), $$(grep -c '==' $(LOCKED)) locked packages"; \
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes $(LOCKED) && \
	$(UV) pip install --quiet --python $(BIN)/python --offline --no-deps --no-build-isolation --editable . && \
	echo "$(CURDIR)" > $(STAMP)

# Hashed as well: what installs the rest is checked first.
.uv/bin/uv: requirements-uv.txt
	@$(IN_REACH); $(FIND_PYTHON); \
	if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "$$python ($$($$python --version 2>&1)) can't make environments: its venv module is missing." >&2; \
		echo "  On Debian or Ubuntu: apt-get install python3-venv (or python$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv)." >&2; \
		echo "  A uv in PATH (https://docs.astral.sh/uv/) does without." >&2; \
		exit 1; \
	fi; \
	rm -rf .uv/bin .uv/lib .uv/lib64 .uv/include .uv/pyvenv.cfg; \
	echo "fetching uv $(UV_VERSION) into .uv"; \
	"$$python" -m venv .uv && \
	.uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: --requirement requirements-uv.txt && \
	touch $@

COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command "make lock" $(ARGS)

.PHONY: lock
lock: $(OWN_UV) ## resolve anew what pyproject.toml asks for (ARGS=--upgrade: the newest of everything)
	@$(IN_REACH); \
	$(COMPILE) pyproject.toml --group dev --output-file requirements-dev.txt && \
	$(COMPILE) pyproject.toml --constraint requirements-dev.txt --output-file requirements.txt && \
	echo "uv==$(UV_VERSION)" | $(COMPILE) --no-annotate - --output-file requirements-uv.txt

.PHONY: clean
clean: ## remove what make made; var/, the data, stays
	rm -rf $(VENV) .uv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .schemathesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
