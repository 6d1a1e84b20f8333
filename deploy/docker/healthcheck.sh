#!/bin/bash
# Healthy while /ready answers 200. With what bash has: the image holds no HTTP client.
#   healthcheck.sh [PORT]     default: DISPATCH_METRICS_PORT, else 8601
set -euo pipefail
port=${1:-${DISPATCH_METRICS_PORT:-8601}}
exec 3<>"/dev/tcp/127.0.0.1/$port"
printf 'GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
answer=$(timeout 4 cat <&3)
printf '%s\n' "${answer##*$'\r\n\r\n'}"
[[ $answer == 'HTTP/1.1 200 '* ]]
