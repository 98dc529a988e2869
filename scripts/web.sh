#!/usr/bin/env bash
# Builds the review page: web/ to web/dist, when its sources are newer than the last build. Run by make, and by azd before
# it makes the package (azure.yaml). Needs Node.js with npm.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

readonly STAMP=web/dist/.built PACKAGES=web/node_modules/.installed

is_built() {
    cmp -s web/package-lock.json "$PACKAGES" && [ -e "$STAMP" ] \
        && [ -z "$(find web \( -name node_modules -o -name dist \) -prune -o -newer "$STAMP" -type f -print)" ]
}

if is_built; then exit 0; fi
command -v npm >/dev/null || fail "The review page is built with Node.js, which is not installed." \
    "Install version 20.19 or later, with npm: https://nodejs.org/"
lock web
if is_built; then exit 0; fi
if ! cmp -s web/package-lock.json "$PACKAGES"; then
    say "installing the build tools of the review page"
    run npm --prefix web ci --no-update-notifier --no-audit --no-fund --loglevel=error
    cp web/package-lock.json "$PACKAGES"
fi
say "building the review page"
# Taken before the build, so that a source changed during it makes the next run build again.
touch .bootstrap/web.started
run npm --prefix web run --silent build
cp -p .bootstrap/web.started "$STAMP"
