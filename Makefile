# The commands of this repository. `make` alone lists them.

DIR ?= .
SEEDS ?= 1000
KILLS ?= 200
STORE ?= sqlite
FAULTS ?= 12

DOTNET := dotnet
DISPATCH := artifacts/dispatch/dispatch
SOURCES := $(shell find src docs/openapi.json -type f ! -path '*/bin/*' ! -path '*/obj/*' 2>/dev/null) \
	Directory.Build.props Directory.Packages.props global.json .editorconfig build/BannedSymbols.txt

export DOTNET_NOLOGO := 1
export DOTNET_CLI_TELEMETRY_OPTOUT := 1
# No build process outlives its make: a server left behind holds on to the caller's output and memory.
export MSBUILDDISABLENODEREUSE := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup build test check demo bench simulate crash chaos prove deb format docs

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install the Debian packages that are missing, and say which
	@build/setup.sh test

build: $(DISPATCH) ## build the command to artifacts/dispatch/dispatch

test: setup ## build everything and run every test suite
	@build/all.sh
	@rm -rf artifacts/results
	@build/test.sh; build/totals.sh

check: setup ## all that must hold: format, build, tests, docs, 500 simulation seeds, 20 crash kills
	@build/sdk.sh
	@build/check.sh

demo: build ## watch real workers do real work while one of them is killed [DIR=path]
	@$(DISPATCH) demo "$(DIR)"

bench: setup ## measure speed and size beside a bare web server on this machine [STORE=sqlite|postgres]
	@build/all.sh
	@$(DOTNET) run --project bench/Dispatch.Bench -c Release --no-build -- --store $(STORE)

simulate: ## run the core in virtual time under crashes and bad workers [SEEDS=1000]
	@build/sdk.sh
	@$(DOTNET) run --project tests/Simulation -c Release -- --seeds $(SEEDS)

crash: build ## kill a real broker again and again and look for lost work [KILLS=200 STORE=sqlite|postgres]
	@$(DOTNET) run --project tests/Chaos -c Release -- crash --kills $(KILLS) --store $(STORE) --dispatch $(DISPATCH)

chaos: build ## kill, stop and cut off three real brokers and their PostgreSQL, and look for lost work [FAULTS=12]
	@$(DOTNET) run --project tests/Chaos -c Release -- chaos --faults $(FAULTS) --dispatch $(DISPATCH)

prove: ## show that simulation, crash test and chaos can fail: planted bugs must be caught
	@build/sdk.sh
	@$(DOTNET) run --project tests/Simulation -c Release -- --prove
	@$(DOTNET) publish src/Dispatch.Cli -c Release -o artifacts/planted/dispatch -p:PlantedBugs=true \
		-p:ArtifactsPath=$(CURDIR)/artifacts/planted/build -v quiet --nologo
	@$(DOTNET) run --project tests/Chaos -c Release -- crash --prove --dispatch artifacts/planted/dispatch/dispatch
	@$(DOTNET) run --project tests/Chaos -c Release -- chaos --prove --dispatch artifacts/planted/dispatch/dispatch

deb: setup ## build the Debian package to artifacts/dispatch_VERSION_ARCH.deb
	@build/deb.sh

format: ## put the source into the agreed form
	@build/sdk.sh
	@$(DOTNET) format Dispatch.slnx

docs: setup ## write the generated pages of docs/ anew
	@build/all.sh
	@UPDATE_DOCS=1 build/test.sh

$(DISPATCH): $(SOURCES)
	@build/sdk.sh
	@QUIET=1 build/setup.sh run
	@$(DOTNET) publish src/Dispatch.Cli -c Release -o $(@D) -v quiet
	@touch $@
