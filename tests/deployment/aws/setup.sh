#!/usr/bin/env bash
# Installs the servers that stand for AWS in tests. Prints their folder.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "$here/../venv.sh" aws "$here/requirements.txt"
