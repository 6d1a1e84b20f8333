#!/usr/bin/env bash
# Everything that must hold before a commit is pushed, in the order in which it is cheapest to learn of a fault.
# A failed build ends it; after that every step runs, so that one run shows every fault.
set -uo pipefail
cd "$(dirname "$0")/.."
. build/steps.sh
start_results

seeds=${SEEDS:-500}
kills=${KILLS:-20}
dispatch=artifacts/dispatch/dispatch

step format dotnet format whitespace . --folder --verify-no-changes --exclude artifacts
# The compiler verifies the code style too: EnforceCodeStyleInBuild, with warnings as errors.
step build build/all.sh || { echo; build/totals.sh; exit 1; }
step unit build/unit.sh
step alerts build/alerts.sh
build/test.sh
step simulation dotnet run --project tests/Simulation -c Release --no-build -- --seeds "$seeds"
step simulation-repeats dotnet run --project tests/Simulation -c Release --no-build -- --determinism 25
step simulation-proof dotnet run --project tests/Simulation -c Release --no-build -- --prove
step crash dotnet run --project tests/Chaos -c Release --no-build -- crash --kills "$kills" --dispatch "$dispatch"
# The same with a log that is kept short, so that what is checked folds from a base.
step crash-short-log dotnet run --project tests/Chaos -c Release --no-build -- crash --kills 6 --log-bytes 1048576 --dispatch "$dispatch"
# The same through a network that delays, cuts off and loses.
step crash-bad-network dotnet run --project tests/Chaos -c Release --no-build -- crash --kills 6 --bad-network --dispatch "$dispatch"
# Three nodes and their PostgreSQL, each killed, stopped or cut off in turn.
step chaos dotnet run --project tests/Chaos -c Release --no-build -- chaos --faults 4 --tasks 200 --dispatch "$dispatch"
echo
build/totals.sh
