#!/usr/bin/env bash
# A model of your own, step by step as docs/PLUGINS.md tells it.
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
cd "$scratch"

# 1. Write: a complete crate with the SDK beside it. It predicts the body mass of a penguin.
foretell plugin new my-model
cd my-model

# 2. Test natively: the model is an ordinary type.
cargo test --quiet

# 3. Test in the sandbox: built, loaded and run as a server would, with the sample.
foretell plugin test .
component=$(foretell plugin build .)
kib=$(($(wc -c <"$component") / 1024))
[ "$kib" -gt 0 ] && [ "$kib" -lt 512 ] || fail "the component has $kib KiB, expected a small one"
echo "ok: the component has $kib KiB"

# 4. Push, and ask: from the command line and by HTTP.
start_server
export FORETELL_KEY=$operator
foretell tenant create me
FORETELL_KEY=$(foretell key create --tenant me --scopes infer,models --output json | text secret)
foretell model push .
expected=$(number body_mass <sample.response.json)
answer=$(foretell predict my-model @sample.request.json --output json)
near "the body mass in grams" "$(number body_mass <<<"$answer")" "$expected"
answer=$(curl -sS --fail-with-body -H "X-API-Key: $FORETELL_KEY" -d @sample.request.json \
    "$FORETELL_URL/api/predict/my-model")
near "the same by HTTP" "$(number body_mass <<<"$answer")" "$expected"

# 5. Change it: a setting, and with it a new version. The first one stays active until told otherwise.
sed -i 's/^version = "1"/version = "2"/; s/^unit = "g"/unit = "kg"/' model.toml
foretell model push . --no-sample
answer=$(foretell predict my-model @sample.request.json --output json)
same "the version that answers" "$(text version <<<"$answer")" 1
foretell model activate my-model 2
answer=$(foretell predict my-model @sample.request.json --output json)
same "the version that answers now" "$(text version <<<"$answer")" 2
near "the body mass in kilograms" "$(number body_mass <<<"$answer")" "$(awk -v g="$expected" 'BEGIN { printf "%.12f", g / 1000 }')"
