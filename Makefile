# make run: set up, train on the embedded digits, report, diagnose.   make test: set up, test.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: run test coverage test-torch check lint types contracts examples bench docs clean
.DELETE_ON_ERROR:

run: $(VENV)/.package
	$(BIN)/chainrule train
	$(BIN)/chainrule diagnose last --seconds 60

# one thread per worker: small networks gain nothing from two, and two workers do
test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

# which lines the tests reach; apart from them, since tracing takes as long again as the tests
coverage: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --cov --cov-report=term

# the suite on another torch, in a virtual environment of its own, also outside of the declared range:
# make test-torch VERSION=2.14.1 TESTS=tests/diagnosis
OTHER = .venv-$(VERSION)
REQUIREMENTS = import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	print(*(name for name in project["dependencies"] if not name.startswith("torch")), sep="\n")
test-torch:
	test -n "$(VERSION)" || { echo "name a version: make test-torch VERSION=2.14.1"; exit 2; }
	test -d $(OTHER) || $(PYTHON) -m venv $(OTHER)
	$(OTHER)/bin/python -m pip install --quiet --upgrade pip
	$(OTHER)/bin/python -c '$(REQUIREMENTS)' > $(OTHER)/requirements.txt
	$(OTHER)/bin/python -m pip install --quiet torch==$(VERSION) -r $(OTHER)/requirements.txt --group dev
	$(OTHER)/bin/python -m pip install --quiet --no-deps --editable .
	OMP_NUM_THREADS=1 $(OTHER)/bin/python -m pytest -n 2 $(TESTS)

check: lint types contracts examples

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

contracts: $(VENV)/.dev
	$(BIN)/lint-imports

examples: $(VENV)/.dev
	$(BIN)/python -m pytest -q tests/test_examples.py

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks

docs: $(VENV)/.docs
	$(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) site dist build

$(VENV)/.venv:
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'chainrule needs Python 3.11 or newer; make PYTHON=python3.12 names another')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	touch $@

$(VENV)/.package: $(VENV)/.venv pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.package
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group dev
	touch $@

$(VENV)/.docs: $(VENV)/.package
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group docs
	touch $@
