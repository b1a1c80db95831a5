#!/usr/bin/env bash
# The three protocols with curl: one model, the same numbers three times.
source "$(dirname "${BASH_SOURCE[0]}")/../../lib.sh"

start_server
serve_iris
key=$FORETELL_KEY

# call METHOD PATH [curl options]: the body; fails on any status but 2xx. The key may also be sent as X-API-Key.
call() { curl -sS --fail-with-body -X "$1" -H "Authorization: Bearer $key" "${@:3}" "$FORETELL_URL$2"; }

# probabilities NAME: the three numbers of the list of that name, found where the protocol puts them.
probabilities() { tr -d ' \n[' | grep -oE "\"$1\":[0-9.eE+-]+,[0-9.eE+-]+,[0-9.eE+-]+" | head -n 1 | sed 's/^[^:]*://; s/,/ /g'; }

# agree WHAT GOT: each of the three numbers is the one that the training library gives.
read -r -a expected <<<"$(probabilities probabilities <"$model/sample.response.json")"
agree() {
    local got
    read -r -a got <<<"$2"
    [ "${#got[@]}" = 3 ] || fail "$1 are '$2', expected three numbers"
    for i in 0 1 2; do near "$1, class $i" "${got[i]}" "${expected[i]}"; done
}

# 1. A record by name: the host puts its values into the model's columns.
answer=$(call POST /api/predict/iris --data "@$model/sample.request.json")
echo "$answer"
agree "the record's probabilities" "$(probabilities probabilities <<<"$answer")"

# 2. KServe V1: the same record among `instances`.
answer=$(call POST /v1/models/iris:predict --data "{\"instances\": [$(cat "$model/sample.request.json")]}")
echo "$answer"
agree "V1's probabilities" "$(probabilities probabilities <<<"$answer")"

# 3. Open Inference Protocol V2: tensors; the model's metadata tells names, datatypes and shapes.
same "ready" "$(call GET /v2/models/iris/ready -o /dev/null -w '%{http_code}')" 200
call GET /v2/models/iris
echo
answer=$(call POST /v2/models/iris/infer --data @- <<'JSON'
{
  "id": "my-own-id",
  "inputs": [{ "name": "features", "datatype": "FP64", "shape": [1, 4], "data": [6.1, 2.9, 4.7, 1.4] }],
  "outputs": [{ "name": "probabilities" }]
}
JSON
)
echo "$answer"
same "the id" "$(text id <<<"$answer")" my-own-id
agree "V2's probabilities" "$(probabilities data <<<"$answer")"

# What a prediction took and cost stands in the headers.
call POST /api/predict/iris --data "@$model/sample.request.json" -o /dev/null -D - |
    grep -iE '^(server-timing|x-credits-used|x-model-version|x-request-id):'

# A mistake is told by its place: this record lacks a feature.
code=$(curl -sS -o "$scratch/body" -w '%{http_code}' -H "X-API-Key: $key" \
    --data '{"sepal_length": 6.1, "sepal_width": 2.9, "petal_length": 4.7}' "$FORETELL_URL/api/predict/iris")
cat "$scratch/body"
echo
same "the status" "$code" 400
same "the code" "$(text code <"$scratch/body")" missing_feature
grep -q petal_width "$scratch/body" || fail "the error does not name petal_width"
