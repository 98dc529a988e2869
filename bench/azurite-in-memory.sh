#!/bin/sh
# Azurite without files, for what the local host gives: with 100,000 blobs it would write 90 MB every five seconds.
# The first two arguments are --location and its folder.
shift 2
exec "$(dirname "$0")/../node_modules/.bin/azurite" --inMemoryPersistence "$@"
