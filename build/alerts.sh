#!/usr/bin/env bash
# Checks the alerts with Prometheus' own tool: that they can be read, and that they fire when they should and not on a quiet night.
set -euo pipefail
cd "$(dirname "$0")/.."
promtool=$(build/promtool.sh)
"$promtool" check rules deploy/prometheus/alerts.yaml
"$promtool" test rules deploy/prometheus/alerts.test.yaml

# The dashboard's queries are no rules, but they can be read as some. Its variable stands for any broker.
rules=$(mktemp --suffix .yaml)
trap 'rm -f "$rules"' EXIT
node -e '
  const panels = JSON.parse(require("fs").readFileSync("deploy/grafana/dispatch.json", "utf8")).panels;
  const queries = panels.flatMap(panel => panel.targets ?? []).map(target => target.expr.replaceAll("$instance", ".*"));
  const rules = queries.map((expr, at) => ({ record: `query${at}`, expr }));
  console.log(JSON.stringify({ groups: [{ name: "dashboard", rules }] }));' >"$rules"
"$promtool" check rules "$rules" | sed "s|$rules|deploy/grafana/dispatch.json|"
