# make demo: set everything up, then restore a photograph and digits, and generate digits.
# make test: set everything up, then run the tests.
# make check: linters, types and the order of imports.
# make docs: build the documentation into site/, and fail at a dead link; open site/index.html.
# make fuzz: thousands of bad inputs, and what comes of them.
# make load: jobs of growing sizes, and the time and memory of a unit.
# make mutants: hundreds of small changes of the code, and which of them no test notices; takes hours, and goes on.
# make coverage: the tests again, with a report in htmlcov/.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check docs fuzz load mutants coverage clean

demo: $(VENV)/.ready
	$(BIN)/rgmkit demo -o demo --overwrite

test: $(VENV)/.ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

check: $(VENV)/.ready
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports --no-cache

docs: $(VENV)/.ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

fuzz: $(VENV)/.ready
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz/fuzz_all.py

load: $(VENV)/.ready
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz/load.py --out docs/results/load.json

mutants: $(VENV)/.ready
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz/mutants.py --again

coverage: $(VENV)/.ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report=term --cov-report=html

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "rgmkit needs Python 3.10 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) demo site htmlcov .coverage
