# Every target does its own set-up, in .venv of this folder, and nothing outside it. README.md has the lines for PowerShell.
PYTHON ?= python3
BIN := .venv/bin
SETUP := .venv/.complete

.PHONY: setup demo test test-fast bench lint campaign

setup: $(SETUP)

test: $(SETUP)  # every test, on two processes
	$(BIN)/python -m pytest -n 2

test-fast: $(SETUP)  # without those that start servers, browsers or training runs
	$(BIN)/python -m pytest -n 2 -m 'not slow and not campaign'

lint: $(SETUP)
	$(BIN)/ruff check && $(BIN)/ruff format --check && $(BIN)/mypy && $(BIN)/lint-imports

bench: $(SETUP)  # NANOGPT=DIR CORPUS=FILE, a checkout and a text, compare training; make hands both on in the environment
	$(BIN)/python -m tests.bench

campaign: $(SETUP)  # hours; what it has done is kept in campaign/, and the next call goes on from there
	$(BIN)/python -m pytest -m campaign

demo: $(SETUP)  # a whole evening: a model, eight verses, their verification, the bracket, and a server; a minute and a half
	$(BIN)/arena demo

# The stamp is newer than what it was made from: a second call installs nothing and asks no registry. The build back end
# comes first, in the version tested, which pip's own build environment would not take from constraints.txt.
$(SETUP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt hatchling editables
	$(BIN)/python -m pip install -q -c constraints.txt --no-build-isolation -e '.[train,test,postgresql]'
	touch $@
