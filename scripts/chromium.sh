#!/usr/bin/env bash
# Sees that the browser tests have a Chromium: Debian's package, installed where this may be done.
# Where there is none the tests skip and say so, except in CI, where this fails.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

if command -v chromium >/dev/null; then exit 0; fi
lock chromium
if command -v chromium >/dev/null; then exit 0; fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing Chromium for the browser tests"
    export DEBIAN_FRONTEND=noninteractive
    run apt-get update -qq && run apt-get install -qq -y --no-install-recommends chromium && exit 0
fi
if [ "${CI:-}" = true ]; then fail "Chromium could not be installed, and CI runs the browser tests."; fi
say "no Chromium: the browser tests will be skipped. Fix: sudo apt-get install chromium"
