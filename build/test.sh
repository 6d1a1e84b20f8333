#!/usr/bin/env bash
# Runs every test suite under tests/ as built in Release, one after the other, and leaves one count file for each.
#   build/test.sh [SUITE...]     default: all of tests/Dispatch.*Tests
# A suite that crashes, hangs or holds no test is a failure, not an empty success.
set -euo pipefail
cd "$(dirname "$0")/.."
. build/steps.sh
mkdir -p "$results"

limit_s=${SUITE_LIMIT_S:-600}

counters() { # the suite's numbers from its trx file: "passed failed skipped"
  sed -n 's/.*<Counters \(.*\)\/>.*/\1/p' "$1" | head -n 1 | tr ' ' '\n' | awk -F'"' '
    /^total=/ { total = $2 } /^executed=/ { executed = $2 } /^passed=/ { passed = $2 }
    END { printf "%d %d %d\n", passed, executed - passed, total - executed }'
}

faults() { # what went wrong, one line each: the failed tests of a trx file, and what failed outside of any test
  sed -n -e 's/.*<UnitTestResult .*testName="\([^"]*\)".*outcome="Failed".*/\1/p' \
    -e 's/.*<Text>\(.*\(Failure\|rror\).*\)<\/Text>.*/\1/p' "$1"
}

run_suite() {
  local suite=$1 assembly="artifacts/bin/$1/release/$1.dll" trx="$results/$1.trx"
  local began=$SECONDS status=0 passed=0 failed=0 skipped=0
  rm -f "$trx" "$results/$suite.faults"
  if [ -f "$assembly" ]; then
    timeout --kill-after=10 "$limit_s" dotnet test "$assembly" --nologo \
      --logger "console;verbosity=minimal" --logger "trx;LogFileName=$suite.trx" --results-directory "$results" \
      </dev/null || status=$?
  else
    echo "$suite: $assembly is not there; is its project in Dispatch.slnx?"
    status=1
  fi
  [ "$status" -ne 124 ] || echo "$suite: not done after $limit_s s, ended"

  [ ! -f "$trx" ] || read -r passed failed skipped < <(counters "$trx")
  [ ! -f "$trx" ] || [ "$status" -eq 0 ] || faults "$trx" | sed "s/^/$suite: /" >"$results/$suite.faults"
  if [ $((passed + failed + skipped)) -eq 0 ]; then
    echo "$suite: ran no tests" | tee -a "$results/$suite.faults"
    failed=1
  elif [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then
    echo "$suite: no test failed, but the runner ended with $status" | tee -a "$results/$suite.faults"
    failed=1
  fi
  count "$suite" "$passed" "$failed" "$skipped"
  printf -- '-- %s: %d passed, %d failed, %d skipped (%d s)\n' "$suite" "$passed" "$failed" "$skipped" $((SECONDS - began))
  [ "$failed" -eq 0 ] && [ "$skipped" -eq 0 ]
}

suites=("$@")
if [ ${#suites[@]} -eq 0 ]; then
  for project in tests/Dispatch.*Tests/*.csproj; do
    [ -f "$project" ] && suites+=("$(basename "$project" .csproj)")
  done
fi

verdict=0
for suite in "${suites[@]}"; do
  printf '\n== %s\n' "$suite"
  run_suite "$suite" || verdict=1
done
exit "$verdict"
