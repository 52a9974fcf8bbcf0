# Turbine. `make` or `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory --no-builtin-rules
.DEFAULT_GOAL := help

# Outside the clone and shared between clones; see scripts/target-dir.sh.
export CARGO_TARGET_DIR ?= $(shell scripts/target-dir.sh)
# The extension is built for the stable ABI: no interpreter is asked, none can cause a rebuild.
export PYO3_NO_PYTHON := 1

BIN := .venv/bin
NATIVE := turbine/_native.abi3.so
RUST_SOURCES := $(shell find src -name '*.rs') Cargo.toml Cargo.lock
# Extra arguments, as in `make test-python PYTEST="-k agents -x"`.
PYTEST ?=
# Processes of the Python tests; they wait more than they work. Each has an embedded broker of its own, all share one
# Apache Kafka, and mostly wait for it. 0: only one.
PYTEST_PROCESSES ?= 5
KAFKA_PROCESSES ?= 4
# Tests are handed out one by one, what takes long first, so that all processes end together.
PARALLEL := --dist loadgroup -n
# What the tests leave behind, for the line at the end of `make test`.
RAN := target/ran

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## System packages, .venv from the lock (PYTHON=... chooses the interpreter)
	@scripts/setup.sh

.PHONY: build
build: setup ## The optimised extension and the package, into the tree and .venv
	@$(MAKE) -s $(NATIVE)

.venv/locked: ;

$(NATIVE): $(RUST_SOURCES) pyproject.toml .venv/locked
	@scripts/build.sh

.PHONY: demo
demo: build ## Real flights through an agent and a subscription (KAFKA=host:port for your own broker)
	@$(BIN)/python examples/flights.py $(if $(KAFKA),--kafka $(KAFKA))

.PHONY: test
test: build ## Everything: Rust, Python on the embedded broker, Python on a real Kafka
	@rm -rf $(RAN)
	@$(MAKE) test-rust
	@+scripts/beside.sh test-python test-librdkafka
	@+scripts/beside.sh test-kafka conformance
	@$(BIN)/python scripts/ran.py $(RAN)

.PHONY: test-rust
test-rust: $(RAN) ## Rust tests only
	@scripts/section.sh "Rust tests"
	@scripts/cargo_test.sh $(RAN)

# Examples a property in `make soak`; 256 in `make test`.
CASES ?= 3000

.PHONY: soak
soak: ## Properties of the Rust tests with many new examples (CASES=3000)
	@. scripts/cargo-env.sh && PROPTEST_CASES=$(CASES) cargo test --locked --quiet --lib

.PHONY: test-python
test-python: build $(RAN) ## Python tests on the embedded broker (PYTEST="-k name" adds arguments)
	@scripts/section.sh "Python tests, embedded broker"
	@scripts/pytest.sh memory $(RAN) $(PARALLEL) $(PYTEST_PROCESSES) $(PYTEST)

.PHONY: test-kafka
test-kafka: build $(RAN) ## The same tests on a real Apache Kafka; TURBINE_NO_KAFKA=1 leaves them out
	@scripts/section.sh "Python tests, Apache Kafka"
	@if [ "$${TURBINE_NO_KAFKA:-0}" = 1 ]; then echo "left out: TURBINE_NO_KAFKA=1"; else \
	    scripts/kafka.sh check && scripts/pytest.sh kafka $(RAN) $(PARALLEL) $(KAFKA_PROCESSES) $(PYTEST); fi

$(RAN):
	@mkdir -p $@

# How many random sequences `make conformance` compares; a longer run is SEQUENCES=20000.
SEQUENCES ?= 1000

.PHONY: conformance
conformance: build $(RAN) ## Random requests to the embedded broker and to Apache Kafka, answers compared (SEQUENCES=1000)
	@scripts/section.sh "The embedded broker beside Apache Kafka, $(SEQUENCES) sequences"
	@if [ "$${TURBINE_NO_KAFKA:-0}" = 1 ]; then echo "left out: TURBINE_NO_KAFKA=1"; else \
	    scripts/kafka.sh check && PYTHONPATH=tests/python $(BIN)/python -m support.conformance --sequences $(SEQUENCES) $(CONFORMANCE) | tee $(RAN)/conformance; fi

# How often `make chaos` ends a worker; CHAOS="--guarantee at_least_once --stops 20 --broker-kills 20 --seed 7" says more.
KILLS ?= 1000

.PHONY: chaos
chaos: build ## Workers killed under load on Apache Kafka, every output and state recomputed (KILLS=1000)
	@scripts/kafka.sh check
	@PYTHONPATH=tests/python $(BIN)/python -m support.chaos --kills $(KILLS) $(CHAOS)

.PHONY: eos-verifier
eos-verifier: build ## Kafka's own verifier of exactly-once drives Turbine (EOS="--seconds 60 --kills 15")
	@scripts/kafka.sh check
	@bench/eos_verifier.sh $(EOS)

.PHONY: test-librdkafka
test-librdkafka: build $(RAN) ## librdkafka's own integration tests on the embedded broker (LIBRDKAFKA=--slow takes all)
	@scripts/section.sh "librdkafka's tests, embedded broker"
	@scripts/librdkafka_tests.sh $(LIBRDKAFKA) | tee $(RAN)/librdkafka

.PHONY: faust-tests
faust-tests: build ## Faust's own tests on turbine.faust; its sources come from the package index (FAUST=--why)
	@scripts/section.sh "Faust's tests on turbine.faust"
	@$(BIN)/python tests/faust_suite $(FAUST)

.PHONY: faust-programs
faust-programs: build ## Programs written for Faust with nothing but the imports changed (PROGRAMS="--broker kafka V1 V9")
	@scripts/section.sh "Faust's programs on turbine.faust"
	@$(BIN)/python tests/faust_suite/programs.py $(PROGRAMS)

.PHONY: faust-migration
faust-migration: build ## Apps of Faust itself go on as apps of Turbine, on the embedded broker (PYTEST=--broker=kafka)
	@$(BIN)/python -c 'import sys; sys.path.insert(0, "bench"); import setup_peers; setup_peers.peers()'
	@$(BIN)/python -m pytest tests/python/faust/test_in_place.py $(PYTEST)

.PHONY: lint
lint: build ## Format, clippy, ruff, mypy, stub, layers, sizes, licences; changes nothing
	@scripts/lint.sh

.PHONY: fix
fix: build ## Let the formatters and linters repair what they can, and write the reference from docstrings
	@cargo fmt
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format --quiet .
	@$(BIN)/python scripts/reference.py

.PHONY: bench
bench: build ## Turbine, Faust, Bytewax and the hand-written limit on one Kafka (BENCH=--quick for a short run)
	@scripts/kafka.sh check
	@$(BIN)/python bench/compare.py $(BENCH)

.PHONY: docs
docs: setup ## The documentation as pages, into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet && echo "site/index.html"

.PHONY: wheel
wheel: setup ## A wheel for CPython 3.11 and later, into dist/
	@$(BIN)/maturin build --release --locked --out dist

.PHONY: lock
lock: ## Rewrite requirements.lock from pyproject.toml
	@scripts/lock.sh

.PHONY: clean
clean: ## Delete what the targets made in this folder (the shared cargo cache stays)
	@rm -rf .venv target dist site build turbine-data .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@rm -f turbine/_native*.so
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
