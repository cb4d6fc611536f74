# One way to do each thing; .ci/run calls the same targets as a person does. `make help` lists them.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Outside the clone, so that a second clone compiles the dependencies no second time.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/perdure
export CARGO_TARGET_DIR ?= $(CACHE)/target
CARGO_IN := --manifest-path engine/Cargo.toml
RUST_SOURCES := $(shell find engine -name '*.rs' -o -name 'Cargo.*' | grep -v target)

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.PHONY: run
run: build ## Set everything up and start the sidecar with its embedded default
	$(BIN)/perdure serve

.PHONY: test
test: test-rust test-python ## Set everything up and run every test

.PHONY: test-rust
test-rust: packages
	cargo test --locked $(CARGO_IN) --workspace

.PHONY: test-python
test-python: build packages
	$(BIN)/python -m pytest $(PYTEST_ARGS)

.PHONY: diff
diff: packages ## A million random calls to a real redis-server and to the engine; PERDURE_TEST_SEED repeats a run
	PERDURE_TEST_SEED=$${PERDURE_TEST_SEED:-$$(date +%s)} PERDURE_COMPAT_CALLS=$${PERDURE_COMPAT_CALLS:-1000000} \
	  cargo test --locked $(CARGO_IN) -p perdure-engine --test compat_redis -- --nocapture

.PHONY: soak
soak: packages ## Kills, power cuts, cut logs and failing disks by the thousand; PERDURE_TEST_SEED repeats a run
	PERDURE_TEST_SEED=$${PERDURE_TEST_SEED:-$$(date +%s)} PERDURE_CRASHES=$${PERDURE_CRASHES:-1000} \
	  cargo test --locked $(CARGO_IN) -p perdure-engine --test crash -- --nocapture
	cargo test --locked $(CARGO_IN) -p perdure-engine --test boot -- --ignored
	cargo test --locked $(CARGO_IN) -p perdure-shim --test disk -- --ignored

.PHONY: build
build: $(BIN)/perdure ## Make .venv with the engine and the perdure command

# The lock file names every package with its hash; uv itself comes first, by version.
$(VENV)/.locked: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'Error: Python 3.11 or newer is needed.'; echo 'Try: apt-get install python3, or make PYTHON=python3.12'; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || $(MAKE) --no-print-directory debian-python3-venv
	@command -v cargo >/dev/null || \
	  { echo 'Error: cargo is needed to build the engine.'; echo 'Try: install Rust 1.88 or newer (rustup)'; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv==0.13.9'
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	touch $@

$(BIN)/perdure: $(VENV)/.locked $(RUST_SOURCES)
	@command -v cc >/dev/null || $(MAKE) --no-print-directory debian-build-essential
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin develop --release --locked
	touch $@

# What the tests talk to. redis-tools holds redis-cli, redis-benchmark and the server itself.
.PHONY: packages
packages: $(CACHE)/bin/versitygw-1.8.0 $(CACHE)/bin/grpcurl-1.9.4
	@command -v redis-cli >/dev/null || $(MAKE) --no-print-directory debian-redis-tools
	@command -v prometheus >/dev/null || $(MAKE) --no-print-directory debian-prometheus

# Built with the Go that .venv holds, each under its version, once a machine; tests/support/go_tools.py
# looks for them under these names.
$(CACHE)/bin/versitygw-%: GO_PACKAGE = github.com/versity/versitygw/cmd/versitygw@v$*
$(CACHE)/bin/grpcurl-%: GO_PACKAGE = github.com/fullstorydev/grpcurl/cmd/grpcurl@v$*
$(CACHE)/bin/versitygw-% $(CACHE)/bin/grpcurl-%: | $(VENV)/.locked
	mkdir -p $@.partial
	GOTOOLCHAIN=local CGO_ENABLED=0 GOBIN=$@.partial $(BIN)/go install $(GO_PACKAGE)
	mv $@.partial/* $@
	rmdir $@.partial

debian-%:
	@if [ "$$(id -u)" != 0 ]; then \
	  echo "Error: the Debian package '$*' is needed and only root can install it."; \
	  echo "Try: sudo apt-get install --no-install-recommends $*"; exit 1; fi
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $*

.PHONY: proto
proto: $(VENV)/.locked ## Generate the stubs again from proto/
	$(BIN)/python proto/generate.py
	cargo run --quiet --locked $(CARGO_IN) -p perdure-stubs
	GOTOOLCHAIN=local $(BIN)/python examples/go/generate.py

.PHONY: promise
promise: $(VENV)/.locked ## At a release: promise the wire contract as it is now
	$(BIN)/python proto/generate.py --check
	$(BIN)/python proto/breaking.py --promise

.PHONY: lock
lock: ## Resolve the Python dependencies again
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 \
	  --extra dev -o requirements.lock pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 \
	  --constraints requirements.lock --group bench -o requirements-bench.lock

.PHONY: fmt
fmt: $(VENV)/.locked ## Format all code
	cargo fmt $(CARGO_IN) --all
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format --quiet .

.PHONY: lint
lint: $(VENV)/.locked ## Check style, imports between rooms, and the protos
	cargo fmt $(CARGO_IN) --all --check
	cargo clippy --locked $(CARGO_IN) --workspace --all-targets -- -D warnings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/python proto/generate.py --check
	cargo run --quiet --locked $(CARGO_IN) -p perdure-stubs -- --check
	cd proto && $(abspath $(BIN))/buf lint
	$(BIN)/python proto/breaking.py

.PHONY: type
type: build ## Check the Python types
	$(BIN)/mypy

.PHONY: bench
bench: build packages $(VENV)/.bench-locked ## Compare with Redis and Valkey, side by side (BENCH_ARGS)
	@command -v strace >/dev/null || $(MAKE) --no-print-directory debian-strace # counts fsyncs
	@command -v etcd >/dev/null || $(MAKE) --no-print-directory debian-etcd-server
	$(BIN)/python -m bench.run $(BENCH_ARGS)

.PHONY: bench-hanging-backend
bench-hanging-backend: build packages ## Measure the data plane while a store hangs
	$(BIN)/python -m bench.hanging_backend --out bench/hanging_backend.md $(BENCH_ARGS)

# The chart's packages come on top of the tests'.
$(VENV)/.bench-locked: requirements-bench.lock $(VENV)/.locked
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-bench.lock
	touch $@

.PHONY: ci
ci: lint type test ## What .ci/run runs

.PHONY: clean
clean: ## Remove what was built here (not the data)
	rm -rf $(VENV) sidecar/_engine*.so .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
