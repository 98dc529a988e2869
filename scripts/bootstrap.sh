#!/usr/bin/env bash
# Installs what the Makefile's targets need and the machine may lack: .venv with the pinned
# Python packages, node_modules with Azurite. A run with nothing to do takes a fraction of a second;
# runs at the same time wait for each other; the next run repairs an interrupted one.
#
#   scripts/bootstrap.sh           Python packages and Azurite
#   scripts/bootstrap.sh python    Python packages only
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

readonly VERSION=3.13
readonly NODE_MAJOR=20 NODE_MINOR=19
readonly REQUIREMENTS=requirements-dev.txt
readonly PYTHON=.venv/bin/python
# Copies of the lock files beside what was installed, so that they are deleted with it.
readonly PYTHON_STAMP=.venv/.installed NODE_STAMP=node_modules/.installed
readonly STARTED=.bootstrap/venv.started

is_wanted_python() { # an interpreter that runs (a pyenv shim may not) and has the right version
    "$1" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$VERSION')" >/dev/null 2>&1
}

python_is_ready() { cmp -s "$REQUIREMENTS" "$PYTHON_STAMP" && is_wanted_python "$PYTHON"; }
azurite_is_ready() { cmp -s package-lock.json "$NODE_STAMP"; }

# --- the interpreter ---------------------------------------------------------------------------
find_python() {
    local name
    for name in "python$VERSION" python3 python; do
        if is_wanted_python "$name" && "$name" -c 'import ensurepip, venv' >/dev/null 2>&1; then
            command -v "$name"
            return
        fi
    done
    return 1
}

borrow_uv() { # uv in a temporary environment of any Python
    local name
    for name in python3 python; do
        "$name" -c 'import ensurepip, venv' >/dev/null 2>&1 || continue
        rm -rf .bootstrap/uv
        run "$name" -m venv .bootstrap/uv || continue
        run .bootstrap/uv/bin/python -m pip install --quiet --disable-pip-version-check uv || continue
        return
    done
    return 1
}

make_venv() {
    local python uv
    rm -rf .venv
    if python=$(find_python); then
        say "creating .venv with $python"
        run "$python" -m venv .venv
        return
    fi
    uv=$(command -v uv || true)
    if [ -z "$uv" ]; then
        say "Python $VERSION not found: installing uv, which can download it"
        if borrow_uv; then uv=.bootstrap/uv/bin/uv; fi
    fi
    if [ -n "$uv" ] && run "$uv" venv --quiet --seed --python "$VERSION" .venv; then return; fi
    fail "Python $VERSION is missing, and uv could not be installed or could not download it." \
        "Fix: install Python $VERSION with its venv module (Debian: apt-get install python$VERSION-venv;" \
        "     macOS: brew install python@$VERSION), or install uv (https://docs.astral.sh/uv/)" \
        "     and let it reach the network, then run the same command again."
}

# --- the packages ------------------------------------------------------------------------------
requirement() { # the lines of one package, with its hashes
    awk -v name="$1==" 'index($0, name) == 1 { on = 1 } on { print } on && !/\\$/ { exit }' "$REQUIREMENTS"
}

with_uv() {
    local pins=.bootstrap/uv.txt
    if [ ! -x .venv/bin/uv ]; then
        requirement uv >"$pins"
        run "$PYTHON" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$pins" || return
    fi
    # Compile byte code now: PYTHONDONTWRITEBYTECODE may prevent it at the first run.
    run .venv/bin/uv pip install --quiet --compile-bytecode --python "$PYTHON" --require-hashes -r "$REQUIREMENTS"
}

with_pip() {
    run "$PYTHON" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$REQUIREMENTS"
}

install_python() {
    # An interrupted run may have left a partial package, which no installer repairs.
    if [ -e "$STARTED" ]; then rm -rf .venv; fi
    touch "$STARTED"
    is_wanted_python "$PYTHON" || make_venv
    say "installing Python packages ($(grep -c == "$REQUIREMENTS"), about 600 MB)"
    if ! with_uv && ! with_pip; then
        rm -f "$STARTED"
        fail "The Python packages could not be installed; the reason is above." \
            "Fix: check the network or the package index (pip and uv use their ordinary settings), then run again."
    fi
    cp "$REQUIREMENTS" "$PYTHON_STAMP"
    rm -f "$STARTED"
}

# --- Azurite -----------------------------------------------------------------------------------
is_wanted_node() { # v20.19.0
    [[ $1 =~ ^v([0-9]+)\.([0-9]+)\. ]] || return 1
    local major=${BASH_REMATCH[1]} minor=${BASH_REMATCH[2]}
    [ "$major" -gt $NODE_MAJOR ] || { [ "$major" -eq $NODE_MAJOR ] && [ "$minor" -ge $NODE_MINOR ]; }
}

need_node() { # checked at every run: Node may be removed or changed after the install
    local version
    version=$(node --version 2>/dev/null || true)
    if ! is_wanted_node "$version" || ! command -v npm >/dev/null; then
        fail "Node.js $NODE_MAJOR.$NODE_MINOR or later with npm is needed for Azurite and the review page;\
 found: ${version:-none}." \
            "Fix: install it (Debian 13: apt-get install nodejs npm; macOS: brew install node; https://nodejs.org/)."
    fi
}

install_azurite() {
    say "installing Azurite (npm, about 190 MB)"
    run npm ci --no-update-notifier --no-audit --no-fund --ignore-scripts --loglevel=error \
        || fail "Azurite could not be installed; npm's reason is above." \
            "Fix: check the network or npm's registry setting, then run again."
    cp package-lock.json "$NODE_STAMP"
}

main() {
    local azurite=yes
    if [ "${1:-}" = python ]; then azurite=no; else need_node; fi
    if python_is_ready && { [ $azurite = no ] || azurite_is_ready; }; then return; fi
    lock bootstrap
    # Check again: another run may have installed it while this one waited.
    python_is_ready || install_python
    [ $azurite = no ] || azurite_is_ready || install_azurite
}

main "$@"
