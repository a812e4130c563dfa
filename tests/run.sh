#!/usr/bin/env bash
# Runs every test binary and sums up. What a machine cannot run is said to be skipped, never passed over in silence.
set -uo pipefail
cd "$(dirname "$0")/.."
. tests/deployment/environment.sh

# The same cases in every run: a change is not refused for what another seed would have found long before it. `make hunt` draws anew.
export PROPTEST_RNG_SEED=${PROPTEST_RNG_SEED:-20261121}

# What takes long and only reckons, in memory and by a clock of its own. It fills the gaps that the others leave, which start
# programs and wait for them, and stands back wherever one of these wants to go on.
reckoning=(kill_sweep playbook_tests stdlib)
beside=() others=(--lib --bins)
for file in tests/*.rs tests/*/main.rs; do
    name=${file#tests/} name=${name%/main.rs} name=${name%.rs}
    case " ${reckoning[*]} " in *" $name "*) beside+=(--test "$name") ;; *) others+=(--test "$name") ;; esac
done

log=$(mktemp) log_beside=$(mktemp) aside=
trap 'rm -f "$log" "$log_beside"; [ -z "$aside" ] || kill "$aside" $(pgrep -P "$aside")' EXIT
cargo=${CARGO:-cargo}
words=(--test-threads="${TEST_THREADS:-4}")
"$cargo" test --no-run || exit
nice -n 10 "$cargo" test --no-fail-fast "${beside[@]}" -- "${words[@]}" >"$log_beside" 2>&1 &
aside=$!
"$cargo" test --no-fail-fast "${others[@]}" -- "${words[@]}" 2>&1 | tee "$log"
status=${PIPESTATUS[0]}
wait "$aside" || status=$?
aside=
tee -a "$log" <"$log_beside"

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
