#!/bin/sh
# Stands before the container client: logs every call with an effect, and holds or fails the planned ones. Questions pass.
control='@CONTROL@' real='@REAL@'
line=$*
case $line in *'rm -f "${TMPDIR'*) exec "$real" "$@" ;; esac
last=; for last; do :; done
case "$1 $2" in
    start\ * | stop\ *) who=$1.$last ;;
    cp\ -) who=cpin.${3%%:*} ;;
    cp\ *) who=cp.${2%%:*} ;;
    rm\ *)
        case $last in
            muster-m-*) exec "$real" "$@" ;;
            muster-verify-*) who=rm.muster-verify ;;
            *[!0-9a-f]*) who=rm.$last ;;
            # By its id: these playbooks remove one container, which the run has made.
            *) who=rm.muster-verify ;;
        esac
        ;;
    run\ *)
        key=${line#*muster.key=}
        key=${key%% *}
        who=run.${key#m-*-}
        ;;
    exec\ *)
        case $line in *' -e MUSTER_CALL='*) ;; *) exec "$real" "$@" ;; esac
        key=${line#* -e MUSTER_CALL=}
        key=${key%% *}
        who=exec.${key#m-*-}
        ;;
    volume\ create | volume\ rm) who=volume.$last ;;
    *) exec "$real" "$@" ;;
esac

echo "begin $who" >>"$control/log"
# What goes in by a pipe ends early when whoever writes it dies, and psql then ends well without having committed anything: such
# a call was not completed.
input= cut=
if [ -p /dev/stdin ]; then
    case $line in
        *' psql '*)
            input="$control/input.$$"
            cat >"$input"
            tail -n 1 "$input" | grep -q 'muster: end of answer' || cut=1
            ;;
    esac
fi
plan=
if [ -e "$control/plan/$who" ]; then
    read -r plan <"$control/plan/$who"
    case $plan in hold) mv "$control/plan/$who" "$control/taken" 2>/dev/null || plan= ;; esac
fi

really() {
    if [ -n "$input" ]; then "$real" "$@" <"$input"; else "$real" "$@"; fi
}

hold() {
    echo "$who" >"$control/held.$$"
    mv "$control/held.$$" "$control/held/$$"
    while [ ! -e "$control/go.$$" ]; do sleep 0.02; done
}

case $plan in
    refuse)
        echo "refused $who" >>"$control/log"
        echo 'Error: injected: it fails before it has done anything' >&2
        exit 2
        ;;
    spoil)
        really "$@"
        echo "spoilt $who" >>"$control/log"
        echo 'Error: injected: it fails after it has done its work' >&2
        exit 2
        ;;
    hold)
        if [ -f /dev/stdin ]; then
            size=$(stat -Lc %s /dev/stdin)
            { head -c $((size / 2)); hold; cat; } | "$real" "$@"
            code=$?
        elif [ -p /dev/stdin ]; then
            [ -n "$input" ] || { input="$control/input.$$"; cat >"$input"; }
            lines=$(($(wc -l <"$input") / 2))
            {
                head -n "$lines" "$input"
                sleep 0.5
                hold
                tail -n +$((lines + 1)) "$input" && : >"$control/whole.$$"
            } | "$real" "$@"
            code=$?
            [ -e "$control/whole.$$" ] || cut=1
        else
            { "$real" "$@"; echo $? >"$control/code.$$"; } | { head -c 2000; hold; cat; }
            read -r code <"$control/code.$$"
        fi
        ;;
    *)
        really "$@"
        code=$?
        ;;
esac
# The same goes for what was killed.
if [ "$code" -ge 128 ]; then cut=1; fi
if [ -n "$cut" ]; then
    echo "cut $code $who" >>"$control/log"
else
    echo "end $code $who" >>"$control/log"
fi
exit "$code"
