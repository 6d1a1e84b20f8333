#!/usr/bin/env bash
# Checks the systemd unit: systemd understands every line of it, and rates what a broken-in broker could do at 2.0 or better (0 is nothing, 10 all).
set -euo pipefail
cd "$(dirname "$0")/.."
unit=deploy/systemd/dispatch.service
limit=20 # in tenths

# Warnings count: a misspelt setting is one, and protects nobody. The program itself need not be installed here.
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
install -D -m 755 /dev/null "$root/usr/bin/dispatch"
sed "s|/usr/bin/dispatch|$root/usr/bin/dispatch|" "$unit" >"$root/dispatch.service"
words=$(systemd-analyze verify --man=no --recursive-errors=no "$root/dispatch.service" 2>&1) || { printf '%s\n' "$words" >&2; exit 1; }
words=$(grep -F "$root/dispatch.service:" <<<"$words" || true)
[ -z "$words" ] || { printf '%s\n' "$words" >&2; exit 1; }

report=$(SYSTEMD_COLORS=0 SYSTEMD_PAGER=cat systemd-analyze security --offline=true --threshold="$limit" "$unit") || {
  printf '%s\n' "$report" >&2
  echo >&2 "unit: more exposed than $((limit / 10)).$((limit % 10))"
  exit 1
}
grep 'Overall exposure' <<<"$report"
