#!/usr/bin/env bash
# The demonstration: a service loses its data, a recovery begins, the machine "crashes" in the middle (kill -9), the recovery is
# taken up again and ends; then a second recovery fails its last check and is rolled back. Files only: no root, no container.
set -euo pipefail
cd "$(dirname "$0")/.."
muster=${MUSTER:-target/debug/muster}
folder=$(mktemp -d "${TMPDIR:-/tmp}/muster-demo.XXXXXX")
trap 'rm -rf "$folder"' EXIT
export MUSTER_STORE=$folder/muster.db
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
show() { printf '$ %s\n' "$*"; "$@"; }

say '1. A service with its backup, and an accident: one folder gone, one file overwritten'
show playbooks/hello-recovery/demo/make-data "$folder"
find "$folder/service" -type f | sed "s|$folder/||" | sort

params=(-p "service=$folder/service" -p "backup=$folder/backup.tar")

say '2. What would the recovery do? (nothing is changed)'
show "$muster" plan hello-recovery "${params[@]}"

say '3. The recovery begins, and its engine is killed with SIGKILL in the middle'
printf '$ muster run hello-recovery … & kill -9 $!\n'
"$muster" run hello-recovery "${params[@]}" -p pace=3s &
engine=$!
for _ in $(seq 100); do
    [ -n "$(find "$folder/service" -maxdepth 1 -name 'data.restored-*' | head -n 1)" ] && break
    sleep 0.1
done
sleep 0.5
kill -9 "$engine"
wait "$engine" 2>/dev/null || true
show "$muster" ps

say '4. Resumed: nothing is done twice, and it comes to its end'
show "$muster" resume @latest
find "$folder/service" -type f | sed "s|$folder/||" | sort

say '5. Another recovery, whose last check is told to fail: it is rolled back'
before=$(cd "$folder/service" && find . -type f -exec sha256sum {} + | sort | sha256sum)
set +e
show "$muster" run hello-recovery "${params[@]}" -p pace=200ms -p fail=true
code=$?
set -e
after=$(cd "$folder/service" && find . -type f -exec sha256sum {} + | sort | sha256sum)
[ "$code" = 5 ] || { echo "demo: exit code $code instead of 5 (failed, and rolled back cleanly)"; exit 1; }
[ "$before" = "$after" ] || { echo 'demo: the rollback did not leave the service as it was'; exit 1; }
echo "exit code $code: failed, and rolled back cleanly; every file is as it was before the run"

say '6. What there is to show for it'
show "$muster" show @latest
