# `make` lists the targets. Everything builds into one target directory.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

CARGO_TARGET_DIR ?= $(CURDIR)/target
export CARGO_TARGET_DIR
export PATH := $(PATH):/usr/sbin:/sbin
# Whoever runs the whole of something does not build the same crate again and again: a third less to compile and to keep.
export CARGO_INCREMENTAL ?= 0

# What `make run` runs: make run ARGS="plan examples/shop.js"
ARGS ?= up examples/shop.js
# How long `make fuzz` spends on each target, and which targets.
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?=
# How many random requests it makes of the software NIC.
FUZZ_RPCS ?= 10000000

TOOLS := $(CARGO_TARGET_DIR)/tools
DENY_VERSION := 0.20.2
FUZZ_VERSION := 0.13.2
DENY := $(TOOLS)/cargo-deny-$(DENY_VERSION)/bin/cargo-deny
FUZZ := $(TOOLS)/cargo-fuzz-$(FUZZ_VERSION)/bin/cargo-fuzz

# Most tests of the rooms at the edge make namespaces, interfaces and users, which takes root. Without it, these run,
# and the rest is named: nothing passes by not being run.
ifeq ($(shell id -u),0)
TESTS = cargo test --workspace
else
TESTS = cargo test --workspace --exclude host --exclude ports --exclude lookup --exclude netbricks --exclude rc3 --exclude softnic --exclude weft; \
	cargo test -p softnic -- --skip before_the_kernel; \
	cargo test -p host -p ports -p weft --lib --bins; \
	cargo test -p ports --test pcap --test ring -- --skip a_full_disk; \
	cargo test -p lookup --lib --test acl --test flow_table --test fuzz_bounded --test lpm --test maglev \
		--test token_bucket --test tuple_space; \
	cargo test -p netbricks --lib --test conntrack --test conntrack_batch --test conntrack_tcp \
		--test conntrack_twin --test frames --test fuzz_bounded --test header_order --test inspection_fuzz --test live \
		--test reassembly --test reassembly_policies; \
	cargo test -p rc3 --lib --test closed_form --test connection --test conservation --test fuzz_bounded --test loaded \
		--test ns3 --test scenario; \
	cargo test -p lookup -p netbricks -p rc3 --doc; \
	cargo test -p weft --test kubernetes --test machines --test manifests; \
	cargo test -p weft --test main_job ordinary_user; \
	cargo test -p weft --test agreement manifests; \
	echo "not run without root: the other tests of ports, host, lookup, netbricks, rc3 and softnic, and the main job as root; sudo make test runs all"
endif

.PHONY: help run test bench fuzz fmt lint model deny audit

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## build for speed and run weft: make run ARGS="up examples/shop.js"
	cargo run --release -p weft -- $(ARGS)

test: ## everything that must hold: format, lints, tests, doc tests, licences
	tests/install.sh test
	$(MAKE) --no-print-directory lint
	$(TESTS)
	$(MAKE) --no-print-directory model deny

lint: ## formatting and clippy, warnings are errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

model: ## every interleaving of the lock-free rings, by loom
	RUSTFLAGS="--cfg loom" cargo test --target-dir $(CARGO_TARGET_DIR)/loom -p ports --lib ring

fmt: ## format everything
	cargo fmt --all
	@if [ -e fuzz/Cargo.toml ]; then cargo fmt --manifest-path fuzz/Cargo.toml; fi

bench: ## measure: the crates' benchmarks, then weft against the kernel bridge and Open vSwitch
	tests/install.sh bench
	cargo bench --workspace --bench '*'
	for script in interop/bench*.sh; do \
		[ -e "$$script" ] || { echo "no interop/bench*.sh" >&2; exit 1; }; \
		echo "== $$script"; "$$script"; \
	done

fuzz: $(FUZZ) ## random requests, then coverage-guided fuzzing of every target: make fuzz FUZZ_SECONDS=600 FUZZ_TARGETS="rpcs wire"
	targets="$(FUZZ_TARGETS)"; \
	if [ -z "$$targets" ] || [[ " $$targets " == *" rpcs "* ]]; then \
		echo "== rpcs, $(FUZZ_RPCS)"; \
		WEFT_FUZZ_CALLS=$(FUZZ_RPCS) cargo test --release -p softnic --test bess_fuzz -- --nocapture; \
		[ "$$targets" != rpcs ] || exit 0; \
		targets="$${targets//rpcs/}"; \
	fi; \
	[ -n "$$targets" ] || targets="$$($(FUZZ) list --fuzz-dir fuzz)"; \
	[ -n "$$targets" ] || { echo "no fuzz targets in fuzz/" >&2; exit 1; }; \
	for target in $$targets; do \
		echo "== $$target, $(FUZZ_SECONDS) s"; \
		$(FUZZ) run --fuzz-dir fuzz --target-dir $(CARGO_TARGET_DIR)/fuzz --sanitizer none "$$target" -- \
			-max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048; \
	done

deny: $(DENY) ## licences, banned crates and sources of every dependency
	$(DENY) --all-features check --hide-inclusion-graph licenses bans sources

audit: $(DENY) ## known vulnerabilities; fetches the RustSec database from GitHub
	$(DENY) --all-features check advisories

# Tools are built once, into the target directory, at a pinned version.
$(DENY):
	@echo "building cargo-deny $(DENY_VERSION), once"
	cargo install --quiet --debug --locked --no-default-features --root $(TOOLS)/cargo-deny-$(DENY_VERSION) \
		--version $(DENY_VERSION) cargo-deny

$(FUZZ):
	@echo "building cargo-fuzz $(FUZZ_VERSION), once"
	cargo install --quiet --locked --root $(TOOLS)/cargo-fuzz-$(FUZZ_VERSION) --version $(FUZZ_VERSION) cargo-fuzz
