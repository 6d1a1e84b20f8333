#!/usr/bin/env bash
# Builds the whole solution in Release, tests included, and publishes the command from that same build.
set -euo pipefail
cd "$(dirname "$0")/.."
build/sdk.sh

dotnet build Dispatch.slnx -c Release -v quiet
dotnet publish src/Dispatch.Cli -c Release --no-build -o artifacts/dispatch -v quiet
touch artifacts/dispatch/dispatch
