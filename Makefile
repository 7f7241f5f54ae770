# Ferrule: what one types at a terminal. `make help` lists it.
#
# Everything builds into one target folder, so that a second command finds what the first one built.

SHELL := /bin/bash
CARGO ?= cargo
# Seconds for each fuzz target.
FUZZ_SECONDS ?= 60

.DEFAULT_GOAL := help
.PHONY: help build crds demo demo-cluster control-plane test style examples bench bench-cluster chaos coverage fuzz doc

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build the binary: target/debug/ferrule
	$(CARGO) build --package k8s-glue --bin ferrule

crds: build ## the definitions of the resources: deploy/crds
	@$(CARGO) run --quiet --package k8s-glue --bin ferrule -- crds --into deploy/crds

demo: build ## three nodes and two clients on this machine: watch the owner die and another take over
	@$(CARGO) run --quiet --package k8s-glue --bin ferrule -- demo

demo-cluster: build ## the same in a cluster of its own, over ARP and BGP (the first time it builds a control plane: minutes)
	@$(CARGO) run --quiet --package k8s-glue --bin ferrule -- demo --cluster

control-plane: ## build kube-apiserver, etcd, kube-proxy and kubectl once, into a cache folder outside this tree
	@$(CARGO) run --quiet --workspace --bin control-plane

test: ## everything that must hold: format, lints, docs, purity, unit, property and namespace tests
	@.ci/test

style: ## the checks of layout alone: file heads, file lengths, marks
	@.ci/style

examples: ## the examples that need no privileges, held against what they shall print
	@.ci/examples

bench: ## the figures of docs/benchmarks.md
	$(CARGO) bench --package ferrule-benches

bench-cluster: ## latencies, memory and writes of the cluster roles on a real API server
	$(CARGO) bench --package k8s-glue --bench cluster

chaos: ## what clients see while parts of a cluster die, stop or are cut off: a table
	$(CARGO) bench --profile dev --package k8s-glue --bench chaos

coverage: ## line coverage of lbcore by its own tests; fails below 95 %
	@.ci/coverage

fuzz: ## every fuzz target for FUZZ_SECONDS (60) each
	@.ci/fuzz $(FUZZ_SECONDS)

doc: ## the documentation of the crates: target/doc
	$(CARGO) doc --workspace --no-deps
