#!/usr/bin/env bash
# Ends with a clear message unless a .NET SDK that global.json accepts is on the PATH.
set -euo pipefail
cd "$(dirname "$0")/.."

wanted=$(sed -n 's/.*"version": *"\([^"]*\)".*/\1/p' global.json)
if ! command -v dotnet >/dev/null; then
  printf >&2 'The .NET SDK %s or newer is needed, and there is no "dotnet" on the PATH.\n' "$wanted"
elif ! dotnet --version >/dev/null 2>&1; then
  printf >&2 'The .NET SDK %s or newer is needed; installed are:\n' "$wanted"
  dotnet --list-sdks >&2 || true
else
  exit 0
fi
printf >&2 'Install it from https://dotnet.microsoft.com/download, or without root:\n'
printf >&2 '  curl -fsSL https://dot.net/v1/dotnet-install.sh | bash -s -- --channel %s\n' "${wanted%.*}"
# shellcheck disable=SC2016 # The reader's shell is to expand it, not ours.
printf >&2 '  export PATH="$HOME/.dotnet:$PATH"\n'
exit 1
