# Every target does its own set-up in .venv, once: it runs again only when the project file or the
# pinned versions change. Needs Python 3.11 or newer and make.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# PyTorch's own index of CPU builds.
TORCH_CPU := https://download.pytorch.org/whl/cpu

.PHONY: demo test check check-interop fuzz format clean

demo: .venv/.core
	$(BIN)/albertkit demo $(ARGS)

# One process a core, a file of tests is the work of one of them. In one process, as for a debugger:
# make test ARGS="--numprocesses 0"
test: .venv/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 \
		--dist loadfile --no-loadscope-reorder $(ARGS)

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

# On Linux the torch of pip's usual index is the CUDA build, gigabytes of it. Where there is no NVIDIA
# GPU the CPU build is installed first; if its index cannot be reached, the usual one serves.
.venv/.torch: constraints.txt | $(BIN)/python
	@if [ "$$(uname -s)" = Linux ] && ! command -v nvidia-smi > /dev/null; then \
		echo "installing torch's CPU build"; \
		$(INSTALL) --no-deps --retries 0 --timeout 20 --index-url $(TORCH_CPU) torch 2> /dev/null \
			|| echo "PyTorch's index cannot be reached; torch comes from pip's usual index"; \
	fi
	@touch $@

.venv/.core: pyproject.toml constraints.txt .venv/.torch
	$(INSTALL) --editable .
	@touch $@

.venv/.dev: pyproject.toml constraints.txt .venv/.torch
	$(INSTALL) --editable '.[dev]'
	@touch $@ .venv/.core

.venv/.fuzz: pyproject.toml constraints.txt .venv/.torch
	$(INSTALL) --editable '.[fuzz]'
	@touch $@ .venv/.core
