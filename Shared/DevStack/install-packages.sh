#!/usr/bin/env bash
# Makes sure that the system packages are there which Trionex is built on and run with: names the missing ones,
# installs them as root or through sudo without a password, and otherwise prints the command that does.
set -euo pipefail

# What each is for: servers for make run and make test; headers of the C libraries in Shared/System; zlib, zstd
# and brotli for HTTP compression; curl, h2load (nghttp2-client) and python3 as clients in the gateway's tests;
# setpriv (util-linux) to bind the life of a server to that of the program that started it, and prlimit (too) to confine
# pdftotext (poppler-utils), with which files reads the text of PDF files.
packages=(
    postgresql redis-server
    libpq-dev libhiredis-dev librdkafka-dev libargon2-dev libcurl4-openssl-dev libxml2-dev zlib1g-dev
    libnghttp2-dev libzstd-dev libbrotli-dev
    libfido2-dev libcbor-dev libqrencode-dev libcrypt-dev
    poppler-utils
    curl nghttp2-client python3
    pkg-config util-linux
)
# What a command needs beyond that, such as wrk for make bench.
packages+=("$@")

if ! command -v dpkg-query >/dev/null; then
    echo "trionex: this is not Debian or Ubuntu; make sure that these are installed: ${packages[*]}" >&2
    exit 0
fi

missing=()
for package in "${packages[@]}"; do
    [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
    exit 0
fi
echo "trionex: missing system packages: ${missing[*]}"

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! sudo -n true 2>/dev/null; then
        echo "trionex: they cannot be installed without a password. Please run:" >&2
        echo "    sudo apt-get update && sudo apt-get install -y ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo -n)
fi
echo "trionex: installing them."
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq </dev/null
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null
