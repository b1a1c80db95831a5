#!/usr/bin/env bash
# From nothing to a prediction: a server, a tenant, a key, a model, an answer.
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

start_server

# The operator makes a tenant and a key for it. The secret is shown once.
export FORETELL_KEY=$operator
foretell tenant create acme
key=$(foretell key create --tenant acme --scopes infer,models --output json | text secret)

# From here on with the tenant's key. The plugin is built on push.
export FORETELL_KEY=$key
model=$root/models/lead-score/1
foretell model push "$model"
foretell model list

# A prediction over plain HTTP ...
answer=$(curl -sS --fail-with-body -H "X-API-Key: $key" -H 'Content-Type: application/json' \
    --data "@$model/sample.request.json" "$FORETELL_URL/api/predict/lead-score")
echo "$answer"
same "the model" "$(text model <<<"$answer")" lead-score
near "the probability" "$(number probability <<<"$answer")" "$(number probability <"$model/sample.response.json")"
same "the label" "$(text label <<<"$answer")" "$(text label <"$model/sample.response.json")"

# ... and the same from the command line.
answer=$(foretell predict lead-score "@$model/sample.request.json" --output json)
near "the probability again" "$(number probability <<<"$answer")" "$(number probability <"$model/sample.response.json")"
