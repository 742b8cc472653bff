# Every target does its own set-up in .venv, once: it runs again only when the project file or the
# pinned versions change. Needs Python 3.11 or newer and make.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check check-interop fuzz format clean

demo: .venv/.core
	$(BIN)/albertkit demo $(ARGS)

test: .venv/.dev
	$(BIN)/python -m pytest $(ARGS)

check: .venv/.dev
	$(BIN)/ruff check src tests bench
	$(BIN)/ruff format --check src tests bench
	$(BIN)/mypy

# Other programs open what we write; each in an environment of its own below .interop, made once.
check-interop: .venv/.dev
	$(BIN)/python tests/interop/run.py $(ARGS)

# Every parser under coverage-guided fuzzing, two at a time, each so long. What is found is kept in
# tests/fuzz/findings and replayed by the tests. make fuzz SECONDS=30 TARGETS="pickles hdf5"
SECONDS ?= 600
TARGETS ?=
fuzz: .venv/.fuzz
	$(BIN)/python tests/fuzz/run.py --seconds $(SECONDS) $(TARGETS)

format: .venv/.dev
	$(BIN)/ruff check --fix src tests bench
	$(BIN)/ruff format src tests bench

clean:
	rm -rf .venv .interop build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("albertkit needs Python 3.11 or newer, found %d.%d at %s; run: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" % (*sys.version_info[:2], sys.executable) if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv

.venv/.core: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

.venv/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@ .venv/.core

.venv/.fuzz: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[fuzz]'
	@touch $@ .venv/.core
