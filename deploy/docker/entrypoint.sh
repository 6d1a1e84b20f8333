#!/bin/sh
# Takes secrets from files, as other images do: NAME_FILE=/run/secrets/x sets NAME to what the file holds, without its last line break.
set -eu

for name in DISPATCH_DATABASE_URL DISPATCH_ADMIN_TOKEN PGPASSWORD; do
  eval "file=\${${name}_FILE:-} value=\${$name:-}"
  [ -n "$file" ] || continue
  if [ -n "$value" ]; then
    echo >&2 "entrypoint: $name and ${name}_FILE are both set; give one of them"
    exit 2
  fi
  value=$(cat "$file")
  if [ -z "$value" ]; then
    echo >&2 "entrypoint: ${name}_FILE: $file is empty"
    exit 2
  fi
  export "$name=$value"
  unset "${name}_FILE"
done

exec "${DISPATCH_PROGRAM:-/opt/dispatch/dispatch}" "$@"
