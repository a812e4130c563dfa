#!/usr/bin/env bash
# Installs schemathesis, which the API is tried with against its own document, in a Python environment of its own. Quick when it is
# there; about twenty seconds otherwise. Prints its folder.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${MUSTER_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/muster-test}
folder=$cache/schemathesis-$(sha256sum <"$here/requirements.txt" | cut -c1-12)

say() { printf 'fixture: %s\n' "$*" >&2; }

mkdir -p "$cache"
exec 9>"$cache/schemathesis.lock"
flock 9
if [ ! -e "$folder/ready" ]; then
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        if [ "$(id -u)" != 0 ]; then
            say 'python3 with venv missing; install with: apt-get install python3-venv'
            exit 1
        fi
        say 'installing python3-venv'
        { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends python3-venv; } >&2
    fi
    say "installing $(grep -o '^schemathesis==.*' "$here/requirements.txt")"
    # An environment cannot be moved: it is made where it stays, and counts only when it is whole.
    rm -rf "$folder"
    python3 -m venv "$folder" >&2
    "$folder/bin/pip" install -q --disable-pip-version-check --no-deps -r "$here/requirements.txt" >&2
    touch "$folder/ready"
    find "$cache" -maxdepth 1 -name 'schemathesis-*' -mtime +14 ! -path "$folder" -exec rm -rf {} +
fi
printf '%s\n' "$folder"
