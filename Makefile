# make help lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
NPM := node_modules/.package-lock.json
# the shell looks for it: make would not see what npm installs in the same run
NODE = $$(ls node_modules/node-linux-*/bin/node 2>/dev/null || echo node)
JS := GOOS=js GOARCH=wasm
PORT ?= 8787
# a folder, or a wrangler config
CONFIG ?= examples/harness

.PHONY: help dev build test test-native test-workerd test-e2e test-cluster check fmt bench bench-quick bench-growth fuzz std explore soak soak-cluster load mutations wrangler clean

help: ## this list
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 15

dev: $(NPM) ## serve examples/harness (CONFIG=… for another config) on http://127.0.0.1:8787 (PORT=…) with wrangler dev, rebuilding on changes
	@echo "compiling capdo (the first time takes half a minute) …"
	@mkdir -p .bin && go build -o .bin/capdo ./cmd/capdo
	.bin/capdo dev $(CONFIG) --port $(PORT)

build: $(NPM) ## compile everything for both platforms, and build examples/harness/build
	go build ./...
	$(JS) go build ./...
	go run ./cmd/capdo build examples/harness

test: $(NPM) ## run every test: native with -race, in workerd, under wrangler dev, and across nodes (about 12 minutes on 2 cores)
	$(MAKE) --no-print-directory -j3 test-cluster test-native test-workerd test-e2e # a cluster's tests mostly wait
	go test -count=1 -run '^TestLedgerUnderLoad$$' ./e2e/load # alone: it measures

test-native: $(NPM) ## the packages natively, with -race
	go test -race ./dedupe/... ./durable/... ./flow/... $$(go list ./internal/... | grep -v internal/s3server)

test-workerd: $(NPM) ## the packages in workerd
	@mkdir -p .bin && go build -o .bin/capdo ./cmd/capdo
	.bin/capdo test -timeout 12m ./...

# Results are not cached, because these tests build files that Go does not
# track. They mostly wait, so three packages run at a time.
test-e2e: $(NPM) ## what needs more than one process: capdo, wrangler dev, kills, histories
	go test -p 3 -count=1 -timeout 20m -skip '^TestClusterScripts$$' ./bench/... ./cmd/... $$(go list ./e2e/... | grep -v -e e2e/load -e e2e/cluster) ./examples/...

test-cluster: $(NPM) ## what needs more than one node; the first time it builds an S3 server, which takes a minute of CPU time
	go test -count=1 -timeout 20m ./internal/s3server # builds the server for the others
	go test -count=1 -timeout 20m -parallel 4 ./e2e/cluster
	go test -count=1 -run '^TestClusterScripts$$' ./cmd/capdo

check: $(NPM) ## formatting, vet on every platform, staticcheck, tidy, same API on both platforms, comments that fit
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo "hint: make fmt"; exit 1; }
	go vet ./...
	$(JS) go vet ./...
	GOOS=darwin GOARCH=arm64 go vet ./...
	GOOS=linux GOARCH=arm64 go vet ./...
	GOOS=darwin GOARCH=arm64 go build -o /dev/null ./cmd/capdo
	GOOS=linux GOARCH=arm64 go build -o /dev/null ./cmd/capdo
	@mkdir -p .bin && go build -o .bin/staticcheck honnef.co/go/tools/cmd/staticcheck
	.bin/staticcheck $$(go list ./... | grep -v internal/jsrt)
	$(JS) .bin/staticcheck -checks inherit,-U1000 ./... # U1000, unused code, does not know go:wasmexport
	go mod tidy -diff
	go mod verify
	@for p in $$(go list -f '{{.Dir}}' ./durable/... ./dedupe/... ./flow/... | grep -v /internal/ | sed "s#^$$PWD/##"); do \
		diff <(go doc -all ./$$p) <($(JS) go doc -all ./$$p) || { echo "the API of $$p differs between platforms"; exit 1; }; \
	done
	@for f in internal/shim/js/*.mjs; do $(NODE) --check $$f; done
	go test -count=1 -run '^TestCommentsFit$$' ./e2e/docs

fmt: ## format the Go code
	gofmt -w $$(git ls-files '*.go')

bench: $(NPM) ## measure against JavaScript and a simple port to Go, and write bench/RESULTS.md (less than 10 minutes)
	go run ./bench

bench-quick: $(NPM) ## bench with fewer and shorter rounds, into .bin/bench (less than 2 minutes)
	mkdir -p .bin/bench && go run ./bench -quick -o .bin/bench

bench-growth: $(NPM) ## how cost grows with objects, keys, sizes, callers and mappings, into bench/GROWTH.md (less than 10 minutes)
	go run ./bench -growth

fuzz: $(NPM) ## fuzz codecs, keys, messages, records and parsers, and each way in which values come to Go, a minute each (FUZZTIME=…)
	go test -fuzz FuzzCastIntegers -fuzztime $(or $(FUZZTIME),1m) ./durable
	@for p in internal/jsrt internal/optimize durable/durablehttp durable/internal/sqltext dedupe/dodedupe $(addprefix dedupe/dodedupe/internal/,entry reservation wire) dedupe/dedupehttp dedupe/ledgerapi flow; do for f in $$(go test -list '^Fuzz' ./$$p | grep ^Fuzz); do \
		go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(or $(FUZZTIME),1m) ./$$p || exit 1; done; done
	go test -count=1 -timeout 0 -v -run '^TestHostileValues$$' ./e2e/boundary -fuzz-for $(or $(FUZZTIME),1m) -seed $$RANDOM

std: $(NPM) ## the tests of Go's standard library, optimized as capdo build does (about 3 minutes)
	go test -count=1 -timeout 30m -parallel 2 -v -run '^TestStandardLibrary$$' ./internal/optimize -std all

explore: $(NPM) ## the shared runtime on a simulated workerd, in many orders of events, for longer (EXPLORE=10m)
	go test -count=1 -timeout 0 -v -run '^TestExplore$$' ./e2e/explore -explore $(or $(EXPLORE),10m) -exhaustive $(or $(EXPLORE),10m)

soak: $(NPM) ## the histories of e2e/proof and the mixes of e2e/stress for longer, each for SOAK=5m
	cd e2e/proof && go test -count=1 -timeout 0 -v -run '^TestSoak$$' -soak $(or $(SOAK),5m)
	cd e2e/stress && go test -count=1 -timeout 0 -v -run '^TestSoak$$' -soak $(or $(SOAK),5m)

soak-cluster: $(NPM) ## histories across three nodes under every fault of nodes, bucket and network, for SOAK=10m
	go test -count=1 -timeout 0 -v ./e2e/cluster -run '^TestSoak$$' -soak $(or $(SOAK),10m)

load: $(NPM) ## the ledger under load, with larger sizes; tenants that load it, and clients that leave (about four minutes)
	go test -count=1 -timeout 10m -v ./e2e/load -large

wrangler: $(NPM) ## every config that capdo judges, judged by wrangler, too (make test asks about a third)
	go test -count=1 -run '^TestCapdoAgainstWrangler$$' ./e2e/config -all

mutations: $(NPM) ## break store, ledger, Do, flows, the boundary and the runtime in ways that tests have to notice (about 40 minutes)
	dedupe/mutations.sh
	e2e/proof/mutations.sh
	go test -count=1 -timeout 20m -v -run '^TestMutations$$' ./e2e/boundary -all-mutations
	e2e/explore/faults.sh
	e2e/runtime/mutations.sh
	e2e/stress/mutations.sh
	e2e/nethttp/mutations.sh
	e2e/httpclient/mutations.sh
	internal/optimize/mutations.sh

clean: ## remove what was built, and wrangler's local state
	rm -rf {examples,docs}/*/{build,.wrangler} node_modules .bin

# The pinned wrangler, workerd and Node.js, from the lock file. npm ci would also
# require the lock file to list workerd's builds for other platforms, which a
# registry need not have.
$(NPM): package.json package-lock.json
	@echo "installing wrangler, workerd and Node.js from package-lock.json …"
	npm install --no-save --no-audit --no-fund --loglevel=error
	@touch $@
