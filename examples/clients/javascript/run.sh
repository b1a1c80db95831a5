#!/usr/bin/env bash
# Predictions with JavaScript's fetch.
source "$(dirname "${BASH_SOURCE[0]}")/../../lib.sh"

command -v node >/dev/null || fail "this example needs Node 18 or later; install nodejs"

start_server
serve_iris

MODEL_FOLDER=$model node "$(dirname "${BASH_SOURCE[0]}")/predict.mjs"
