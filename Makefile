# `make demo`: watch a recovery be planned, rehearsed, killed and resumed. `make test`: everything CI runs. `make bench`: the figures.
SHELL := /bin/bash
CARGO ?= cargo
export CARGO_TERM_COLOR ?= auto

.PHONY: help demo test test-full hunt bench fmt clippy unit deployment

help:
	@sed -n 's/^# //p' Makefile | head -3
	@echo 'targets: demo test test-full hunt bench fmt clippy unit deployment'

# A recovery on local files: planned, rehearsed in the sandbox, killed in the middle, resumed. No account, no server, no root.
demo: export CARGO := $(CARGO)
demo:
	./demo/run.sh

fmt:
	$(CARGO) fmt --check

clippy:
	$(CARGO) clippy --all-targets --quiet -- -D warnings

# Everything that needs no container.
unit:
	$(CARGO) test --lib --bins --quiet

# Real PostgreSQL in real containers, and servers that stand for AWS: installed and built once, cached outside the checkout.
deployment:
	./tests/deployment/setup.sh
	./tests/deployment/aws/setup.sh >/dev/null

test: fmt clippy deployment
	./tests/run.sh

# The same, and the engine killed at every call instead of at one of each kind, and every fault of AWS tried at every call: takes more
# than an hour.
test-full: export MUSTER_TEST_MATRIX = full
test-full: export MUSTER_TEST_FAULTS = full
test-full: test

# Property tests with new seeds and many cases, for as long as there is patience: what they find is kept in proptest-regressions/.
hunt:
	PROPTEST_CASES=$${PROPTEST_CASES:-5000} $(CARGO) test --lib --test playbook --test stdlib --test schema --test params --test lint_fuzz

bench:
	$(CARGO) build --release --quiet
	$(CARGO) bench --quiet --bench journal
	$(CARGO) bench --quiet --bench engine
	$(CARGO) bench --quiet --bench serve
	$(CARGO) bench --quiet --bench plan
	$(CARGO) bench --quiet --bench fidelity
	$(CARGO) bench --quiet --bench aws
	$(CARGO) bench --quiet --bench recovery
