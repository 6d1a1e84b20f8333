#!/usr/bin/env bash
# Adds up artifacts/results/*.count ("passed failed skipped" of one suite each) and prints the one line that counts:
#   N passed, N failed, N skipped
# Before it, one line for each failure: whoever sees only the end of a long log sees what to look for.
# Fails when something failed, when something was skipped (a skipped test proves nothing), and when nothing ran.
set -euo pipefail
cd "$(dirname "$0")/.."

shopt -s nullglob
counts=(artifacts/results/*.count)
faults=(artifacts/results/*.faults)
[ ${#faults[@]} -eq 0 ] || sed 's/^/FAILED /' "${faults[@]}"
{ [ ${#counts[@]} -eq 0 ] || cat "${counts[@]}"; } | awk '
  { passed += $1; failed += $2; skipped += $3 }
  END {
    printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
    exit failed > 0 || skipped > 0 || passed == 0
  }'
