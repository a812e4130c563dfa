#!/usr/bin/env bash
# Gets what the pages are looked at with: Chromium from Debian, Playwright from PyPI, axe-core from npm. Quick when all is there.
#
#   browser-setup.sh          gets what is missing
#   browser-setup.sh --check  exits 0 if all is there
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

folder=$MUSTER_TEST_CACHE/browser
ready() { command -v chromium >/dev/null && [ -x "$folder/venv/bin/python" ] && [ -f "$folder/package/axe.min.js" ]; }

if [ "${1:-}" = --check ]; then ready; exit; fi
mkdir -p "$folder"
exec 9>"$folder/lock"
flock 9
ready && exit
if ! command -v chromium >/dev/null; then
    if [ "$(id -u)" != 0 ]; then
        echo "fixture: chromium missing; install with: apt-get install chromium" >&2
        exit 1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core python3-venv npm
fi
if [ ! -x "$folder/venv/bin/python" ]; then
    python3 -m venv "$folder/venv"
    "$folder/venv/bin/pip" install -q playwright==1.65.2
fi
cd "$folder"
[ -f package/axe.min.js ] || { npm pack --silent axe-core@4.14.1 >/dev/null && tar xzf axe-core-*.tgz package/axe.min.js; }
