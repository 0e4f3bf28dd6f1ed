# Everything from nothing but Python 3.11+, pip and make. `PYTHON=python3.12 make test` picks another Python.
PYTHON ?= python3
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
READY := .venv/ready-$(VERSION)
TESTING := .venv/testing-$(VERSION)
BIN := .venv/bin

.PHONY: demo test check faults cluster-faults overhead halving million bench docs notebooks clean

demo: $(READY)
	$(BIN)/python -m experiments.sweep --config=experiments/configs/scale.py:quick

# Two at a time: most of a test is compiling, which keeps one core busy.
test: $(TESTING)
	$(BIN)/python -m pytest -n 2 --dist loadgroup

faults: $(TESTING)
	$(BIN)/python -m tests.slow.faults

cluster-faults: $(TESTING)
	$(BIN)/python -m tests.slow.cluster_faults

overhead: $(TESTING)
	$(BIN)/python -m tests.slow.overhead

halving: $(TESTING)
	$(BIN)/python -m tests.slow.halving

million: $(TESTING)
	$(BIN)/python -m tests.slow.million

bench: $(READY)
	$(BIN)/python -m pip install --quiet --editable '.[torch]'
	$(BIN)/python -m experiments.bench

docs: $(READY)
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	$(BIN)/mkdocs build --strict

notebooks: $(TESTING)
	$(BIN)/python -m tests.slow.notebooks

check: $(READY)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; try PYTHON=python3.12 make ...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

# A demo needs none of this.
$(TESTING): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

clean:
	rm -rf .venv
