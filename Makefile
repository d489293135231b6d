# Thin: each target is one command of the environment. `make` alone prints this help.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STACK := $(BIN)/python -m infra.native
# What needs no environment yet, so it runs on the machine's Python.
BEGIN := $(PYTHON) -m infra.native.begin
READY := $(VENV)/.ready

S ?=
INPUT ?=
MAPPING ?=
ARGS ?=
# Not ?=: make itself knows an AS, the assembler.
AS =
PORT ?= 8088

# What does not start by default, asked for in so many words (make up superset) or by S=superset.
EXTRA := $(sort $(filter superset,$(MAKECMDGOALS) $(S)))

.PHONY: help venv fetch demo test test-fast test-long lint up superset superset-export down status env logs doctor refresh docs \
  dbt-mutate bench lock python ready servers

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

$(READY): requirements/uv.txt requirements/lakehouse.txt pyproject.toml | python
	@$(BEGIN) environment
	@touch $@

python:
	@command -v $(PYTHON) >/dev/null || { echo "no $(PYTHON): apt-get install -y python3 python3-venv (as root)," \
	  "or name another: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo "Python 3.10 or newer is needed to begin with; name one: make PYTHON=python3.12" >&2; exit 1; }

venv: $(READY) ## the Python environment, remade only when its lock changes

doctor: python ## try what this machine must have, and say the one command that installs what is missing
	@$(BEGIN) doctor $(ARGS)

fetch: $(READY) ## the servers, verified, into the cache outside this checkout
	@$(STACK) fetch

up: $(READY) ## start everything and set it up (topics, schemas, keys, catalog)
	@$(STACK) up $(addprefix --with ,$(EXTRA)) $(ARGS)

superset: up ## the dashboards too: make up superset
	@:

superset-export: $(READY) ## write the dashboards of the running Superset back to infra/superset/assets
	@$(BIN)/python -m infra.superset export

down: $(READY) ## stop everything; the data stays
	@$(STACK) down

status: $(READY) ## a live table: service, state, address, memory, what it waits for
	@$(STACK) status $(ARGS)

logs: $(READY) ## follow one service: make logs S=kafka
	@$(STACK) logs $(S)

env: $(READY) ## addresses and credentials: eval "$(make -s env)" [AS=analyst: who you are to Trino]
	@$(STACK) env $(if $(AS),--as $(AS))

refresh: $(READY) ## one dbt run and one feature push, now
	@$(STACK) refresh --once

docs: $(READY) ## dbt's documentation of every table, column, test and metric, on a page of its own [PORT=8088]
	@eval "$$($(STACK) env)" && cd dbt_project && ../$(BIN)/dbt docs generate && \
	  ../$(BIN)/dbt docs serve --host 127.0.0.1 --port $(PORT) --no-browser

# The environment and the servers are made side by side; MinIO's build is longer than all downloads.
ready:
	@$(MAKE) --no-print-directory --jobs=2 $(READY) servers

servers: python
	@$(BEGIN) fetch

demo: python ## the whole line, from nothing to a scored payment [INPUT=file MAPPING=map]
	@$(BEGIN) doctor --install
	@$(MAKE) --no-print-directory ready
	@$(BIN)/python -m demo $(if $(INPUT),--input $(INPUT)) $(if $(MAPPING),--mapping $(MAPPING)) $(ARGS)

dbt-mutate: $(READY) ## plant faults in the dbt project, one after another: which test catches each [ARGS=--only=NAME]
	@$(BIN)/python -m tests.mutation $(ARGS)

bench: $(READY) ## the measured figures, on the running stack
	@$(BIN)/python -m bench $(ARGS)

lint: $(READY) ## ruff, mypy, sqlfluff, dbt parse
	@bash infra/lint.sh

test: python ## every test, on a stack of its own
	@$(BEGIN) doctor --install --tests
	@$(MAKE) --no-print-directory $(READY)
	@bash infra/test.sh $(ARGS)

test-long: $(READY) ## the long proofs: half a million payments through dbt, runs killed in each kind of model
	@bash infra/test.sh tests/scale tests/chaos $(ARGS)

test-fast: $(READY) ## the tests that need no server
	@$(BIN)/python -m pytest tests/unit --numprocesses=auto --durations=5 $(ARGS)

lock: $(READY) ## compile requirements/*.in again
	@cd requirements && for name in uv lakehouse superset; do \
	  ../$(BIN)/uv pip compile $$name.in --universal --generate-hashes --python-version 3.11 \
	    --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	    --quiet --output-file $$name.txt; done
