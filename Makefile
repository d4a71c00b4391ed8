# The commands of this repository. `make` alone lists them.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# debug or release
CONFIGURATION ?= debug
# tests of one room that run at once
WIDTH ?= 8
BIN := .build/$(CONFIGURATION)
SOURCES := Package.swift Gateway Services Shared Tests

.PHONY: help run drill bench bench-gateway bench-relevance bench-search stop status demo rotate-keys logs test lint lint-format lint-imports lint-docs lint-alerts format docs service clean packages programs conformance

help: ## List these commands
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F '\t' '{ printf "  make %-13s %s\n", $$1, $$2 }'

run: packages programs ## Build and start everything on this machine; Ctrl-C stops it (ARGS=--help)
	@exec $(BIN)/trionex-dev run $(ARGS)

stop: ## Stop what `make run` started
	@if [ -x $(BIN)/trionex-dev ]; then exec $(BIN)/trionex-dev stop; else echo 'Nothing has been built, so nothing runs.'; fi

status: ## Say what runs and how much memory it has
	@exec $(BIN)/trionex-dev status

demo: packages programs ## Play the journey through all services (AGAIN=1 looks whether the last one's things are still there)
	@exec $(BIN)/trionex-dev with -- trionex-demo --gateway {gateway} --mail {mail} $(if $(AGAIN),--again) $(ARGS)

# All parts take about half an hour. The page has what was measured last in a release build, part by part.
bench: packages ## Measure the stated figures, in a release build (ARGS=--part=growth, ARGS=--publish writes Services/BENCHMARKS.md)
	@Shared/DevStack/install-packages.sh wrk argon2 openssl
	swift build --configuration release
	@TRIONEX_AUTH_ACCESS_TOKEN_SECONDS=3600 TRIONEX_LIMIT_PRINCIPAL_PER_MINUTE=10000000 TRIONEX_LIMIT_ADDRESS_PER_MINUTE=10000000 TRIONEX_LIMIT_SIGN_IN=1000000 TRIONEX_LIMIT_CREDENTIALS_PER_MINUTE=10000000 .build/release/trionex-dev with -- trionex-bench \
		--gateway {gateway} --database {database} $(ARGS)

bench-gateway: packages ## Measure the gateway beside nginx, HAProxy and Envoy on one core (ARGS='--quick', ARGS=--help)
	@Shared/DevStack/install-packages.sh nginx haproxy wrk nghttp2-client openssl python3 python3-venv gcc libc6-dev
	swift build --configuration release --product gateway
	@python3 Gateway/Bench/bench.py $(ARGS)

bench-relevance: packages ## Measure how good search results are, beside plain PostgreSQL full text, on a public-domain text
	@mkdir -p .run && python3 Services/Search/Bench/judged.py .run/judged.json
	@TRIONEX_ONLY=SearchService TRIONEX_JUDGED=$(CURDIR)/.run/judged.json swift test --filter SearchServiceTests.RelevanceTests 2>&1 | grep -E "^\||error|issue|Test run"

bench-search: packages ## Measure searches among many documents, idle and beside indexing (DOCUMENTS=1000000 SECONDS=60)
	@TRIONEX_ONLY=SearchService TRIONEX_SEARCH_LOAD=$(or $(DOCUMENTS),100000) TRIONEX_SEARCH_SECONDS=$(or $(SECONDS),20) \
		swift test -c release -Xswiftc -enable-testing --filter SearchServiceTests.LoadTests 2>&1 | grep -E "^\||^Indexed|error|issue|Test run"

# The running auth notices the new key by itself. Elsewhere: kubectl exec deploy/auth -- auth rotate-keys
rotate-keys: ## Make a new signing key for the running stack; it signs when everybody can know it (ARGS=--compromised)
	@TRIONEX_AUTH_KEY_DIRECTORY=$${TRIONEX_AUTH_KEY_DIRECTORY:-.run/keys} TRIONEX_SEALING_KEY_FILE=$${TRIONEX_SEALING_KEY_FILE:-.run/keys/sealing-key} \
		$(BIN)/auth rotate-keys $(ARGS)

logs: ## Follow the programs' logs (NAME=content for one)
	@exec tail -n 20 -F .run/logs/$(or $(NAME),*).log

# Each room's tests are a process of their own, with servers of their own: what one room does to its process or its
# servers (kills, time-outs, a full queue) is no business of another's. Within a room eight tests run at once: several hundred would
# keep each other waiting longer than any time-out. Those of the whole system kill its parts: one at a time.
test: packages ## Run all tests, with servers of their own (ONLY='Content Search' for some rooms, ARGS=… for swift test)
	swift build --build-tests
	@failed=''; \
	for room in $(or $(ONLY),$(patsubst Tests/%Tests,%,$(wildcard Tests/*Tests))); do \
		room=$${room%Service}; [ -d Tests/$${room}Tests ] || room=$${room}Service; \
		width=$(WIDTH); [ $$room != System ] || width=1; \
		echo "::: $$room"; \
		SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH=$$width swift test --skip-build --filter "^$${room}Tests\." $(ARGS) 2>&1 | tee .build/test-$$room.log || failed="$$failed $$room"; \
	done; \
	if [ -n "$$failed" ]; then \
		for room in $$failed; do echo "::: what failed in $$room"; grep -A 3 -E '✘|error:|Fatal error' .build/test-$$room.log | tail -n 60; done; \
		echo "trionex: tests failed in:$$failed" >&2; exit 1; \
	fi; \
	echo 'trionex: every test passed.'

# Without NAME it lists them. The ledger at the end must balance, or it ends with 1.
drill: packages ## Break the event backbone under load, ending in a ledger (NAME=kill-consumer, NAME=all, ARGS='--rate=2000 --kills=50')
	swift build --configuration $(CONFIGURATION) --product trionex-broker
	swift build --configuration $(CONFIGURATION) --product trionex-events
	swift build --configuration $(CONFIGURATION) --product trionex-drill
	@exec $(BIN)/trionex-drill $(if $(NAME),run $(filter-out all,$(NAME)) $(ARGS),list)

conformance: packages programs ## Clients of other makers against the whole platform (ONLY='oidc_authlib …' for some)
	@Shared/DevStack/install-packages.sh python3-venv chromium
	@CONFIGURATION=$(CONFIGURATION) Tests/Conformance/run $(ONLY)

lint: lint-format lint-docs lint-imports lint-alerts ## Check format, documents, imports and alerts

lint-format: ## Check the format of all sources
	swift format lint --strict --recursive --parallel $(SOURCES)

lint-docs: packages programs ## Check that the documents are what the code declares, and that no event breaks its contract
	$(BIN)/trionex-docs --check
	$(BIN)/trionex-events contracts check

# An import of a sibling that the manifest does not allow would otherwise fail only at link.
lint-imports: packages ## Check that no room imports what the manifest does not allow
	swift build --explicit-target-dependency-import-check error

lint-alerts: ## Check the alerts, and play the tests of when they fire
	@command -v promtool >/dev/null || Shared/DevStack/install-packages.sh prometheus
	promtool check rules k8s/alerts/trionex.rules.yaml
	cd k8s/alerts && promtool test rules trionex.rules.test.yaml

format: ## Format all sources
	swift format --in-place --recursive --parallel $(SOURCES)

docs: packages programs ## Write OpenAPI and AsyncAPI from the code
	$(BIN)/trionex-docs $(ARGS)

service: packages ## Write the files of a new service (NAME=Billing)
	@[ -n "$(NAME)" ] || { echo 'Name it: make service NAME=Billing' >&2; exit 1; }
	swift build --configuration $(CONFIGURATION) --product trionex-dev
	@exec $(BIN)/trionex-dev service $(NAME)

clean: ## Remove what was built, and what `make run` has stored
	@if [ -x $(BIN)/trionex-dev ]; then $(BIN)/trionex-dev stop; fi
	@if [ -L .run/postgres ]; then rm -rf "$$(readlink .run/postgres)"; fi
	rm -rf .run .build

packages:
	@Shared/DevStack/install-packages.sh

programs:
	swift build --configuration $(CONFIGURATION)
