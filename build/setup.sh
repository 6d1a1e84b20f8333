#!/usr/bin/env bash
# Installs what is missing from the operating system, and says what. With nothing missing it needs no network and no root.
#   build/setup.sh run     what the program needs
#   build/setup.sh test    and what its tests and the bench need (the default)
set -euo pipefail

have_sqlite_library() {
  case $(uname -s) in
    Darwin) return 0 ;; # part of the system
    *) ldconfig -p 2>/dev/null | grep -q 'libsqlite3\.so\.0' || /sbin/ldconfig -p 2>/dev/null | grep -q 'libsqlite3\.so\.0' ;;
  esac
}

have_postgresql() {
  command -v initdb || ls /usr/lib/postgresql/*/bin/initdb
}

missing=()
need() { # need PACKAGE CHECK...: CHECK succeeds when the package's part is there, however it got there
  local package=$1
  shift
  "$@" >/dev/null 2>&1 || missing+=("$package")
}

need libsqlite3-0 have_sqlite_library
if [ "${1:-test}" = test ]; then
  need sqlite3 command -v sqlite3
  need wrk command -v wrk
  need git command -v git
  need postgresql have_postgresql
  need procps command -v pgrep
  need nodejs command -v node
  need npm command -v npm
  need systemd command -v systemd-analyze
fi

# What is needed of a package that is not to be installed.
tools() {
  [ "${1:-test}" != test ] || "$(dirname "$0")/promtool.sh" >/dev/null
}

if [ ${#missing[@]} -eq 0 ]; then
  tools "$@"
  [ "${QUIET:-}" = 1 ] || echo "setup: nothing is missing"
  exit 0
fi

if ! command -v apt-get >/dev/null; then
  echo >&2 "setup: missing: ${missing[*]} (names of Debian packages). There is no apt-get here: install them your system's way."
  exit 1
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo >&2 "setup: missing: ${missing[*]}. As root: apt-get install ${missing[*]}"
    exit 1
  fi
  as_root=(sudo -n)
fi

echo "setup: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
# The package lists of a fresh image are empty or old: try with what is there, then with new ones.
install() { "${as_root[@]}" apt-get install -y -q --no-install-recommends "${missing[@]}" </dev/null; }
if ! install >/dev/null 2>&1; then
  "${as_root[@]}" apt-get update -q </dev/null
  install
fi
echo "setup: installed ${missing[*]}"
tools "$@"
