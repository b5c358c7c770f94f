# Needs Python 3.11 or newer and make. Every target builds .venv from the hashes in requirements.lock first,
# and again when the lock is newer.

PYTHON ?= python3
PIP_TOOLS := pip-tools==7.6.2
BIN := .venv/bin
LOCKED := .venv/.locked
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test check lock bench

help:  ## say what can be made
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' Makefile

demo: $(READY)  ## the gateway in front of three simulated providers, with curl lines to try
	$(BIN)/standby demo

test: $(READY)  ## run the tests (ARGS="-k failover -x" reaches pytest)
	$(BIN)/python -m pytest $(ARGS)

check: $(READY)  ## lint, format, types under two strict checkers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pyright

bench: $(READY)  ## what a request and a streamed chunk cost, beside nginx and a bare pass-through
	$(BIN)/python -m tests.bench $(ARGS)

# The tool that writes the lock must not depend on it, hence a venv of its own.
lock:  ## pin every dependency with its hashes (ARGS="--upgrade" moves the pins)
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet $(PIP_TOOLS)
	env -u PIP_FIND_LINKS CUSTOM_COMPILE_COMMAND="make lock" .venv-lock/bin/pip-compile --quiet --extra dev \
	  --generate-hashes --strip-extras --allow-unsafe --no-emit-index-url --no-emit-trusted-host \
	  --no-emit-find-links --no-emit-options --output-file requirements.lock $(ARGS) pyproject.toml

$(LOCKED): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Standby needs Python 3.11 or newer")'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	@touch $@

$(READY): $(LOCKED) pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@mkdir -p .venv/src/standby
	@ln -sfn ../../../proxy .venv/src/standby/proxy
	@ln -sfn ../../../middlewares .venv/src/standby/middlewares
	@touch $@
