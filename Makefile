# nextcart: every target sets up what it needs. 'make demo' and 'make test' are the two to know.
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
SPARK_STAMP := $(VENV)/.spark

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench serve docs clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(STAMP) $(SPARK_STAMP) ## create .venv with every extra that the tests use

# Kernels are named because numba looks at a cached kernel's own file only, not at those that it calls.
$(STAMP): pyproject.toml constraints.txt scripts/setup.sh $(wildcard src/nextcart/kernels/*.py)
	@PYTHON="$(PYTHON)" scripts/setup.sh $(VENV)
	@touch $@

# Half a gigabyte, which the demo does without.
$(SPARK_STAMP): $(STAMP)
	@echo "setup: installing the extra spark"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[spark]'
	@touch $@

demo: $(STAMP) ## raw events to a promoted version, on real purchases
	@$(BIN)/nextcart demo

# A file's tests share what is dear to make, so they stay together; files go in their order, the dearest of them first.
# Bytecode is kept whatever the environment says: hundreds of processes are started.
test: $(STAMP) $(SPARK_STAMP) lint ## lint, then every test, against real services
	@scripts/system-packages.sh chromium default-jre-headless:java openssl prometheus redis-server
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

lint: $(STAMP) $(SPARK_STAMP) ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: $(STAMP) ## the side-by-side benchmark; writes benchmarks/results/
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench,demo,dev]'
	@$(BIN)/python benchmarks/pipeline.py

serve: $(STAMP) ## serve what 'make demo' promoted
	@$(BIN)/nextcart serve --models var/demo/grocery/models

docs: $(STAMP) ## write docs/reference/ anew from the code
	@$(BIN)/python docs/reference/generate.py

clean: ## remove the environment and all local state
	@chmod -R u+w var 2>/dev/null || true
	@rm -rf var $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
