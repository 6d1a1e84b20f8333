# Sourced. A step is one program that must succeed; it counts as one test, whatever it does inside, so that the totals
# say how many things were checked and not how long somebody let the simulation run.
results=artifacts/results

start_results() { rm -rf "$results" && mkdir -p "$results"; }

count() { # count NAME PASSED FAILED SKIPPED
  printf '%d %d %d\n' "$2" "$3" "$4" >"$results/$1.count"
}

step() { # step NAME COMMAND...: runs it, counts it, returns its verdict
  local name=$1 began=$SECONDS
  shift
  printf '\n== %s\n' "$name"
  if "$@" </dev/null; then
    count "$name" 1 0 0
    printf -- '-- %s passed (%d s)\n' "$name" $((SECONDS - began))
  else
    count "$name" 0 1 0
    echo "$name: failed; its output is above" >"$results/$name.faults"
    printf -- '-- %s FAILED (%d s)\n' "$name" $((SECONDS - began))
    return 1
  fi
}
