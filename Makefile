# make demo: build the shipped mini web and train a tiny GPT-2.  make test: the default test suite.
# make engines: Spark, Flink, Prism and object stores into a cache folder.  make test-engines: tests on them.
# make constraints: the newest versions into constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
HASHES := constraints-hashed.txt
COMPILE = $(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --no-annotate --quiet \
	--custom-compile-command "make constraints"

.PHONY: demo test test-faults test-slow test-notebook format check lint install constraints sbom clean engines test-engines test-built-engines

install: $(STAMP)

$(BIN)/uv:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "webtext needs Python >= 3.11, this is " + sys.version)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	sed -n '/^uv==/,/[^\\]$$/p' $(HASHES) >.venv/uv.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.txt

# uv refuses a file whose sha256 is none of those that the constraints have.
$(STAMP): pyproject.toml $(HASHES) | $(BIN)/uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c $(HASHES) --build-constraints $(HASHES) -e '.[train,dev]'
	touch $@

# The newest versions that pyproject.toml allows, for every Python that it names. Run the tests with them, then commit.
# Two files, because pip, which recipes use, takes hashes for all packages or for none.
constraints: | $(BIN)/uv
	$(COMPILE) --upgrade -o constraints.txt
	$(COMPILE) -c constraints.txt --generate-hashes -o $(HASHES)
	$(MAKE) install
	$(BIN)/python .ci/licences.py --write

demo: $(STAMP)
	$(BIN)/webtext demo

# Two processes: most tests wait for processes of their own for half of their time.
test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist worksteal --floor --durations 40

# Faults in builds: a thousand flipped bits, two hundred killed processes, memory cgroups, full disks, jumping clocks,
# and, where `make engines` was run, object stores behind a faulty proxy. Takes an hour or two; prints what it draws from.
FLIPS := 500
KILLS := 29
SEED := 0
test-faults: $(STAMP)
	$(BIN)/python -m pytest -s tests/faults tests/engines/test_faulty_stores.py --faults --engines \
		--flips $(FLIPS) --kills $(KILLS) --fault-seed $(SEED)

# Crawls under outages, mutated checkpoints and other tests that take half a minute each.
test-slow: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist worksteal -m slow --slow

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

# What webtext is installed with, as a CycloneDX bill of materials; it is held against CycloneDX's schema.
sbom: $(STAMP)
	mkdir -p build
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --spec-version 1.6 --output-format JSON \
		--output-reproducible --validate --output-file build/sbom.json $(BIN)/python

clean:
	rm -rf .venv build dist *.egg-info
