#!/usr/bin/env bash
# Writes the manual page of the command from its own help, as roff, to standard output.
#   build/manual.sh DISPATCH VERSION DATE
set -euo pipefail
dispatch=$1 version=$2 date=$3

# Lines of a help text as roff that is shown as it stands.
verbatim() { sed -e 's/\\/\\e/g' -e 's/-/\\-/g' -e "s/^\\([.']\\)/\\\\\&\\1/" -e 's/[[:space:]]*$//'; }

commands=$("$dispatch" --help | sed -n '/^Commands:/,/^$/ s/^  \([a-z][a-z-]*\).*/\1/p')
[ -n "$commands" ] || { echo >&2 "manual: $dispatch --help names no commands"; exit 1; }

cat <<PAGE
.TH DISPATCH 1 "$date" "Dispatch $version" "User Commands"
.SH NAME
dispatch \\- task broker for swarms of AI agents
.SH SYNOPSIS
.nf
$("$dispatch" --help | sed -n '/^Usage:/,/^$/ s/^  //p' | verbatim)
.fi
.SH DESCRIPTION
.nf
$("$dispatch" --help | verbatim)
.fi
.SH COMMANDS
PAGE
for command in $commands; do
  printf '.SS "dispatch %s"\n.nf\n' "$command"
  "$dispatch" "$command" --help | verbatim
  printf '.fi\n'
done
cat <<'PAGE'
.SH FILES
.TP
.I /etc/dispatch/dispatch.yaml
Settings of the service.
.TP
.I /etc/dispatch/environment
What goes over them, passwords among it.
.TP
.I /var/lib/dispatch
The store.
.SH SEE ALSO
.I /usr/share/doc/dispatch/operations.md.gz
PAGE
