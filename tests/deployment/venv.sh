#!/usr/bin/env bash
# Makes a Python environment of its own out of a list of pinned packages. Quick when it is there; about twenty seconds otherwise. Prints
# its folder.
#
#   venv.sh NAME REQUIREMENTS
set -euo pipefail
name=$1 list=$2
cache=${MUSTER_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/muster-test}
folder=$cache/$name-$(sha256sum <"$list" | cut -c1-12)

say() { printf 'fixture: %s\n' "$*" >&2; }

mkdir -p "$cache"
exec 9>"$cache/$name.lock"
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
    say "installing the packages for $name"
    # An environment cannot be moved: it is made where it stays, and counts only when it is whole.
    rm -rf "$folder"
    python3 -m venv "$folder" >&2
    "$folder/bin/pip" install -q --disable-pip-version-check --no-deps -r "$list" >&2
    touch "$folder/ready"
    find "$cache" -maxdepth 1 -name "$name-*" -mtime +14 ! -path "$folder" -exec rm -rf {} +
fi
printf '%s\n' "$folder"
