# Shared by the other scripts (sourced; bash):
#   run COMMAND...   runs a command that ends, with all its children, when this script ends
#   lock NAME        waits until no other script holds NAME; a lock whose holder ended is free
#   fail TEXT...     prints what is wrong and how to fix it, and exits with 1

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

say() { printf '== %s\n' "$*" >&2; }

# --- run -------------------------------------------------------------------------------------
# bash acts on a signal only between commands, unless it is in `wait`; and make signals this script
# alone, not what it started. So the command runs in the background, in a process group of its own
# (set -m), and the whole group is ended: with SIGTERM first, with SIGKILL after 10 s.
group=""

run() {
    set -m
    "$@" </dev/null 9>&- &
    group=$!
    set +m
    local status=0
    wait "$group" || status=$?
    group=""
    return "$status"
}

end_group() {
    trap '' TERM INT HUP
    if [ -n "$group" ]; then
        kill -TERM -- "-$group" 2>/dev/null || true
        for _ in $(seq 100); do
            kill -0 -- "-$group" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL -- "-$group" 2>/dev/null || true
    fi
    exit "$1"
}

trap 'end_group 143' TERM
trap 'end_group 130' INT
trap 'end_group 129' HUP

# --- lock ------------------------------------------------------------------------------------
# flock's lock goes with the process. Without flock (macOS) a folder is the lock and the pid in it
# shows whether its holder still runs. `run` waits in both, so that a signal is acted on at once.
lock_folder=""

lock() {
    mkdir -p .bootstrap
    if [ -z "${LABELBRIDGE_NO_FLOCK:-}" ] && command -v flock >/dev/null; then
        exec 9>".bootstrap/$1.lock"
        flock -n 9 && return
        say "waiting for another run of $1 to end"
        until flock -n 9; do pause; done
        return
    fi
    until take_folder ".bootstrap/$1.lock.d"; do pause; done
}

pause() {
    sleep 0.2 &
    wait $! || true
}

take_folder() {
    local folder=$1 holder
    if mkdir "$folder" 2>/dev/null; then
        echo $$ >"$folder/pid"
        lock_folder=$folder
        trap 'rm -rf "$lock_folder"' EXIT
        return 0
    fi
    holder=$(cat "$folder/pid" 2>/dev/null || true)
    # No pid yet: the holder is between two lines, or ended there. Wait ten seconds to know.
    if [ -z "$holder" ]; then
        [ -z "$(find "$folder" -maxdepth 0 -not -newermt '-10 seconds' 2>/dev/null)" ] && return 1
    elif kill -0 "$holder" 2>/dev/null; then
        return 1
    fi
    # Of several scripts that find a dead holder, one succeeds in renaming the folder; the others try again.
    mv "$folder" "$folder.dead.$$" 2>/dev/null && rm -rf "$folder.dead.$$"
    return 1
}
