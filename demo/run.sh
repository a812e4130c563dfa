#!/usr/bin/env bash
# The demonstration, on a service made of files: a recovery is planned, rehearsed in the sandbox with a failure and its rollback,
# then run for real, killed with SIGKILL in the middle and resumed; a second one fails its last check and is rolled back.
# No root, no account, no server. What it leaves behind is one folder with the plans as pages.
set -euo pipefail
cd "$(dirname "$0")/.."

muster=${MUSTER:-}
if [ -z "$muster" ]; then
    echo 'Building Muster; the first time this takes a few minutes.'
    "${CARGO:-cargo}" build --quiet
    muster=${CARGO_TARGET_DIR:-target}/debug/muster
fi
pages=${MUSTER_DEMO_PAGES:-${CARGO_TARGET_DIR:-target}/demo}
rm -rf "$pages"
mkdir -p "$pages"
pages=$(cd "$pages" && pwd)
folder=$(mktemp -d "${TMPDIR:-/tmp}/muster-demo.XXXXXX")
engine=
clean_up() {
    [ -z "$engine" ] || kill -9 "$engine" 2>/dev/null || true
    rm -rf "$folder"
}
trap clean_up EXIT
export MUSTER_STORE=$folder/muster.db
service=$folder/service
backup=$folder/backup.tar

bold= plain=
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\033[1m' plain=$'\033[0m'; fi
act() { printf '\n%s%s%s\n%s\n\n' "$bold" "$1" "$plain" "$2"; }
# Runs muster, shown as it would be typed; it has to exit with the code given.
show() {
    local wanted=$1 code=0 typed
    shift
    typed="muster $*"
    typed=${typed//$service/\$service}
    printf '$ %s\n' "${typed//$backup/\$backup}"
    "$muster" "$@" || code=$?
    [ "$code" = "$wanted" ] || fail "exit code $code instead of $wanted"
}
fail() {
    echo "demo: $*" >&2
    exit 1
}
files() { (cd "$folder" && find service -type f | sort); }
sums() { (cd "$service" && find . -type f -exec sha256sum {} + | sort); }
on_files=(-p "service=$service" -p "backup=$backup")

act '1. The accident' \
    "A service keeps its data in files and has a backup; one folder was lost, one file overwritten. \$service is $service."
playbooks/hello-recovery/demo/make-data "$folder" >/dev/null
files

act '2. The plan' \
    'What a recovery would do, effect by effect, with what cannot be known before it runs; nothing is changed.'
before=$(sums)
show 0 plan hello-recovery "${on_files[@]}"
"$muster" plan hello-recovery "${on_files[@]}" -o html >"$pages/hello-recovery.html"
"$muster" plan omnichat-restore --sandbox -o html >"$pages/omnichat-restore.html"
[ "$before" = "$(sums)" ] || fail 'the plan changed a file'
printf '\nThe same plan as a page, and that of a larger recovery: open them in a browser.\n'
printf '  %s\n' "$pages"/*.html

act '3. A rehearsal' \
    'In the sandbox, a world in memory: the swap is made to fail at the worst moment, when the old data are already set aside.'
show 7 run hello-recovery --sandbox --fail fs.rename:2
printf '\nIt stopped and says what can be done. We let it undo what it did:\n\n'
show 5 rollback @latest
[ "$before" = "$(sums)" ] || fail 'the sandbox changed a file'

act '4. The recovery, killed' \
    'Now for real, on the files. In the middle of it the engine is killed with SIGKILL, as if the machine had crashed.'
printf '$ muster run hello-recovery -p service=$service -p backup=$backup & kill -9 $!\n'
"$muster" run hello-recovery "${on_files[@]}" &
engine=$!
for _ in $(seq 300); do
    case $("$muster" ps 2>/dev/null) in *waiting*) break ;; esac
    sleep 0.1
done
sleep 0.3
{ kill -9 "$engine" && wait "$engine"; } 2>/dev/null || true
engine=
echo 'Killed.'
show 0 ps

act '5. The recovery, resumed' \
    'It goes on where it was: what was done is not done again, and it comes to its end.'
show 0 resume @latest
files
[ "$(cat "$service/data/greeting.txt")" = 'hello, world' ] || fail 'the data are not back'

act '6. A recovery that fails, undone' \
    'Once more on the files, with a last check that is told to fail: every effect is undone, in reverse order.'
before=$(sums)
show 5 run hello-recovery "${on_files[@]}" -p pace=200ms -p fail=true
[ "$before" = "$(sums)" ] || fail 'the rollback did not leave the service as it was'
printf '\nExit code 5: failed, and rolled back cleanly. Every file is as it was before the run.\n'

act 'That was all.' \
    "The service and its records are removed again. These pages stay, in $pages:"
printf '  %s\n' "$pages"/*.html
