#!/usr/bin/env bash
# Finds promtool, or gets it, and prints its path. From Debian's package prometheus, of which nothing is installed: that would start a server.
set -euo pipefail
cd "$(dirname "$0")/.."
tool=artifacts/tools/promtool
command -v promtool && exit 0
if [ ! -x "$tool" ]; then
  if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    echo >&2 "promtool is missing, and there is no apt-get here: install Prometheus your system's way."
    exit 1
  fi
  got=$(mktemp -d)
  trap 'rm -rf "$got"' EXIT
  as_root=()
  [ "$(id -u)" -eq 0 ] || as_root=(sudo -n)
  get() { (cd "$got" && apt-get download -q prometheus </dev/null); }
  # The package lists of a fresh image are empty or old: try with what is there, then with new ones.
  if ! get >/dev/null 2>&1; then
    "${as_root[@]}" apt-get update -q </dev/null >&2
    get >&2
  fi
  dpkg-deb --fsys-tarfile "$got"/prometheus_*.deb | tar -x -C "$got" ./usr/bin/promtool
  install -D -m 755 "$got/usr/bin/promtool" "$tool"
fi
echo "$tool"
