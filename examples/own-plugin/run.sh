#!/usr/bin/env bash
# A model of your own, as docs/PLUGINS.md tells: a skeleton, its tests, the sandbox, a server.
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

# The skeleton brings the SDK with it and is a complete crate.
cd "$scratch"
foretell plugin new my-model
cd my-model
ls

# Native tests, no sandbox and no server; then the component.
cargo test --quiet
component=$(foretell plugin build .)
echo "$component: $(($(wc -c <"$component") / 1024)) KiB"
foretell plugin check "$component" --artifact weights.txt

start_server
export FORETELL_KEY=$operator
foretell tenant create me
FORETELL_KEY=$(foretell key create --tenant me --scopes infer,models --output json | text secret)
export FORETELL_KEY
foretell model push .
