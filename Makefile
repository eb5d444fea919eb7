# `make demo` and `make test` set up everything that they need; only Python 3.11+ and make must be there.
PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
BIN := $(VENV)/bin
# So many tests run at a time, each in one thread and up to a gigabyte of memory: more threads than cores spend their
# time waiting for each other.
JOBS ?= 2
INSTALL := $(BIN)/pip install --disable-pip-version-check --quiet --constraint $(CONSTRAINTS)

.PHONY: demo docs test check lint types imports tests test-lowest train-digits train-denoiser clean

demo: $(VENV)/installed
	$(BIN)/advbench attack --defense round --bpda

# The site, for file:// or any server; a warning is an error.
docs: $(VENV)/installed-docs
	$(BIN)/python -m sphinx -W -n --keep-going -b html docs build/site

test: $(VENV)/installed-test
	$(MAKE) --no-print-directory check

check: lint types imports tests

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(BIN)/mypy

imports:
	$(BIN)/lint-imports

tests:
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses=$(JOBS) --dist=worksteal $(PYTEST_ARGS)

# The lowest versions that pyproject.toml allows, in an environment of their own.
test-lowest:
	$(MAKE) --no-print-directory VENV=.venv-lowest CONSTRAINTS=constraints-lowest.txt .venv-lowest/installed-test
	$(MAKE) --no-print-directory VENV=.venv-lowest PYTEST_ARGS="-m 'not slow' $(PYTEST_ARGS)" tests

train-digits: $(VENV)/installed
	$(BIN)/python -m benchmarks.train_digits --out advbench/models/weights/digits-cnn.safetensors

train-denoiser: $(VENV)/installed
	$(BIN)/python -m benchmarks.train_denoiser --out defenses/weights/digits-denoiser.safetensors

$(VENV)/bin/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/pip pyproject.toml $(CONSTRAINTS)
	$(INSTALL) --editable .
	touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(INSTALL) --editable '.[docs]'
	touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(INSTALL) --editable '.[test]'
	touch $@

clean:
	rm -rf .venv .venv-lowest build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
