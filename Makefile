# Every target makes the virtual environment .venv first, and writes nothing outside this folder. README.md has the same
# commands for PowerShell.
PYTHON ?= python3
BIN := .venv/bin
SETUP := .venv/.complete

.PHONY: help setup demo test test-fast bench lint openapi translations campaign

help:  # list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*  # \(.*\)/\1\t\2/p' Makefile | expand -t 12

setup: $(SETUP)  # make a virtual environment in .venv

test: $(SETUP)  # run every test, in three processes, since many wait
	$(BIN)/python -m pytest -n 3

test-fast: $(SETUP)  # run the tests that start no server, browser or training run
	$(BIN)/python -m pytest -n 2 -m 'not slow and not campaign'

lint: $(SETUP)  # check style, types and import rules, and look for secrets and for pins that do not fit
	$(BIN)/ruff check && $(BIN)/ruff format --check && $(BIN)/mypy && $(BIN)/lint-imports
	$(BIN)/python -m tests.support.secret_scan && $(BIN)/python -m tests.support.dependency_audit

bench: $(SETUP)  # measure; with NANOGPT=DIR (a checkout) and CORPUS=FILE (a text), compare training with nanoGPT
	$(BIN)/python -m tests.bench

openapi: $(SETUP)  # write arena/web/openapi.json, which describes the API, from the code
	$(BIN)/python -m arena.web.openapi

translations: $(SETUP)  # write the sentences of the code into the catalogs in arena/web/translations, to be translated there
	$(BIN)/python -m arena.web.catalogs

campaign: $(SETUP)  # run the tests that take hours; the next call continues where this one stopped
	$(BIN)/python -m pytest -m campaign

demo: $(SETUP)  # run a demonstration event: train a model, enter eight verses, and serve their bracket
	$(BIN)/arena demo

# A second call installs nothing while this file is newer than what it depends on. The build back end is installed first,
# in the tested version, since pip would build in an environment that ignores constraints.txt.
$(SETUP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt hatchling editables
	$(BIN)/python -m pip install -q -c constraints.txt --no-build-isolation -e '.[train,test,cluster]'
	touch $@
