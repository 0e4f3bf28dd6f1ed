# Everything from nothing but Python 3.11+, pip and make. `PYTHON=python3.12 make test` picks another Python.
PYTHON ?= python3
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
VENV := .venv/python-$(VERSION)
READY := .venv/ready-$(VERSION)
TESTING := .venv/testing-$(VERSION)
TESTING_ALL := .venv/testing-all-$(VERSION)
BIN := .venv/bin
# Modules are compiled as they are imported: of the installed ones most never are.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --editable
# And kept, whatever the environment says: without that a process takes three seconds longer to start.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test test-slow check faults cluster-faults overhead halving million bench gpu docs notebooks clean

demo: $(READY)
	$(BIN)/python -m experiments.sweep --config=experiments/configs/scale.py:quick

# Two at a time: most of a test is compiling, which keeps one core busy.
test: $(TESTING)
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

# The rest: every study, notebooks, a browser, Ray, object stores, trackers, kills.
test-slow: $(TESTING_ALL)
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m slow

faults: $(TESTING_ALL)
	$(BIN)/python -m tests.slow.faults

cluster-faults: $(TESTING_ALL)
	$(BIN)/python -m tests.slow.cluster_faults

overhead: $(TESTING_ALL)
	$(BIN)/python -m tests.slow.overhead

halving: $(TESTING_ALL)
	$(BIN)/python -m tests.slow.halving

million: $(TESTING_ALL)
	$(BIN)/python -m tests.slow.million

bench: $(READY)
	$(INSTALL) '.[torch]'
	$(BIN)/python -m experiments.bench

# On a machine with a GPU; stops after nine minutes, and goes on when it is called again.
gpu: $(TESTING)
	$(INSTALL) '.[torch,cuda]'
	$(BIN)/python -m experiments.bench.gpu

docs: $(READY)
	$(INSTALL) '.[docs]'
	$(BIN)/mkdocs build --strict

notebooks: $(TESTING_ALL)
	$(BIN)/python -m tests.slow.notebooks

check: $(READY)
	$(INSTALL) '.[dev]'
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; try PYTHON=python3.12 make ...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv --clear .venv
	@touch $@

$(READY): $(VENV)
	$(INSTALL) .
	@touch $@

$(TESTING): $(VENV)
	$(INSTALL) '.[test]'
	@touch $@ $(READY)

$(TESTING_ALL): $(VENV)
	$(INSTALL) '.[test-slow]'
	@touch $@ $(READY) $(TESTING)

clean:
	rm -rf .venv .pytest_cache
