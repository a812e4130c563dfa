#!/usr/bin/env bash
# Runs every test binary and sums up. What a machine cannot run is said to be skipped, never passed over in silence.
set -uo pipefail
cd "$(dirname "$0")/.."
. tests/deployment/environment.sh

# The same cases in every run: a change is not refused for what another seed would have found long before it. `make hunt` draws anew.
export PROPTEST_RNG_SEED=${PROPTEST_RNG_SEED:-20261121}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
${CARGO:-cargo} test --no-fail-fast -- --test-threads="${TEST_THREADS:-4}" 2>&1 | tee "$log"
status=${PIPESTATUS[0]}

sum() { sed -nE "s/^test result: .* ([0-9]+) $1.*/\1/p" "$log" | awk '{ total += $1 } END { print total + 0 }'; }
passed=$(sum passed) failed=$(sum failed) ignored=$(sum ignored)
skipped=$(grep -c '^skipped:' "$log" || true)
if [ "$status" -ne 0 ]; then
    echo
    echo 'Failed:'
    grep -E '^test .* \.\.\. FAILED$|^error' "$log" | sort -u | sed 's/^/  /'
fi
echo
[ "$skipped" -gt 0 ] && { echo 'Skipped on this machine:'; grep '^skipped:' "$log" | sort -u | sed 's/^/  /'; }
echo "$passed passed, $failed failed, $((ignored + skipped)) skipped"
exit "$status"
