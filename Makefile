# make demo: build the shipped mini web and train a tiny GPT-2.  make test: the default test suite.
# make engines: Spark, Flink, Prism and object stores into a cache folder.  make test-engines: tests on them.
# make constraints: the newest versions into constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: demo test test-notebook format check lint install constraints clean engines test-engines test-built-engines

install: $(STAMP)

$(BIN)/uv:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "webtext needs Python >= 3.11, this is " + sys.version)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.9"

$(STAMP): pyproject.toml constraints.txt | $(BIN)/uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[train,dev]'
	touch $@

# The newest versions that pyproject.toml allows, for every Python that it names. Run the tests with them, then commit.
constraints: | $(BIN)/uv
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --upgrade --no-annotate \
		--quiet --custom-compile-command "make constraints" -o constraints.txt

demo: $(STAMP)
	$(BIN)/webtext demo

# Two processes: most tests wait for processes of their own for half of their time.
test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist worksteal --floor

test-notebook: $(STAMP)
	$(BIN)/python -m pytest tests/examples/test_notebook.py --notebook

# Needs Java 17, Maven and Go; what can't be had is left out, and its tests say so. The cache folder is
# ~/.cache/webtext/engines or WEBTEXT_ENGINES.
engines: $(STAMP)
	$(BIN)/python tests/support/engine_parts.py

test-engines: engines test-built-engines

test-built-engines: $(STAMP)
	$(BIN)/python -m pytest tests/engines tests/dataflow --engines $(FLAGS)

format: $(STAMP)
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format --quiet .

# Fast, while you work: the tests of the rooms that differ from BASE (main, if it is not set).
check: lint
	$(BIN)/python -m pytest -q -n 2 --dist worksteal $$($(BIN)/python .ci/changed.py)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf .venv build dist *.egg-info
