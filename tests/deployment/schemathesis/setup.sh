#!/usr/bin/env bash
# Installs schemathesis, which the API is tried with against its own document. Prints its folder.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "$here/../venv.sh" schemathesis "$here/requirements.txt"
