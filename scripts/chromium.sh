#!/usr/bin/env bash
# Installs Chromium for the browser tests from Debian's packages, with root permissions only.
# Without Chromium the tests are skipped with a message, except in CI, where this fails.
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
say "Chromium not found: the browser tests will be skipped. Fix: sudo apt-get install chromium"
