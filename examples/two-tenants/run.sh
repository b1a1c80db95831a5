#!/usr/bin/env bash
# Two customers on one server: the same names, nothing shared, nothing seen.
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

start_server

export FORETELL_KEY=$operator
foretell tenant create ada
foretell tenant create bob
ada=$(foretell key create --tenant ada --scopes infer,models --output json | text secret)
bob=$(foretell key create --tenant bob --scopes infer,models --output json | text secret)

# status KEY METHOD PATH [FILE]: the status that a caller with this key gets.
status() {
    curl -sS -o "$scratch/body" -w '%{http_code}' -X "$2" -H "X-API-Key: $1" ${4:+--data "@$4"} "$FORETELL_URL$3"
}

iris=$root/models/iris/1
FORETELL_KEY=$ada foretell model push "$iris"

# Ada's model answers Ada. To Bob it does not exist, in the same words as one that nobody has.
same "Ada's status" "$(status "$ada" POST /api/predict/iris "$iris/sample.request.json")" 200
same "Bob's status" "$(status "$bob" POST /api/predict/iris "$iris/sample.request.json")" 404
hidden=$(text code <"$scratch/body")
same "Bob's status for a name that nobody has" "$(status "$bob" POST /api/predict/none "$iris/sample.request.json")" 404
same "the code of both" "$(text code <"$scratch/body")" "$hidden"

# Bob may take the same name for a model of his own.
churn=$root/models/churn/1
mkdir -p "$scratch/models/iris"
cp -r "$churn" "$scratch/models/iris/1"
sed -i -E 's/^name = .*/name = "iris"/; s#^crate = .*#crate = "'"$root"'/plugins/linear"#' "$scratch/models/iris/1/model.toml"
FORETELL_KEY=$bob foretell model push "$scratch/models/iris/1"
same "Bob's status now" "$(status "$bob" POST /api/predict/iris "$churn/sample.request.json")" 200
same "Bob's label" "$(text label <"$scratch/body")" "$(text label <"$churn/sample.response.json")"

# Ada's is untouched by it.
same "Ada's status still" "$(status "$ada" POST /api/predict/iris "$iris/sample.request.json")" 200
same "Ada's label" "$(text label <"$scratch/body")" "$(text label <"$iris/sample.response.json")"

# Neither may address the other by prefix, and a tenant's key is no operator's.
same "Bob at Ada's prefix" "$(status "$bob" GET /tenants/ada/api/models)" 404
same "Bob at his own prefix" "$(status "$bob" GET /tenants/bob/api/models)" 200
same "Bob making a tenant" "$(status "$bob" GET /api/tenants)" 403
same "the operator at Ada's prefix" "$(status "$operator" GET /tenants/ada/api/models)" 200
same "the operator without a prefix" "$(status "$operator" GET /api/models)" 400
same "the code of that" "$(text code <"$scratch/body")" tenant_required
