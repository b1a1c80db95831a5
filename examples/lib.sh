# What every example needs: a server of its own on a free port with a data folder that is thrown away, and checks that fail
# loudly. Sourced by run.sh; needs bash and curl.
#
# FORETELL_BIN names the binary (default: foretell on the PATH).

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
scratch=$(mktemp -d)
server=

# The binary under its own name, so that an example reads as what a user types.
foretell() { "${FORETELL_BIN:-foretell}" "$@"; }

fail() {
    echo "FAILED: $*" >&2
    if [ -f "$scratch/server.log" ]; then
        echo "--- the end of the server's log:" >&2
        tail -n 20 "$scratch/server.log" >&2
    fi
    exit 1
}

# Stops the server by its id and removes what the example made, however it ends.
finish() {
    if [ -n "$server" ]; then
        kill -TERM "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$scratch"
}
trap finish EXIT
trap 'echo "FAILED: line $LINENO: $BASH_COMMAND" >&2' ERR

# Starts a server and sets FORETELL_URL and FORETELL_GRPC; the operator's key is in $operator.
start_server() {
    operator=operator-key-not-secret
    mkfifo "$scratch/output"
    FORETELL_ADMIN_KEY=$operator "${FORETELL_BIN:-foretell}" serve \
        --listen 127.0.0.1:0 --data-dir "$scratch/data" >"$scratch/output" 2>&1 &
    server=$!
    # The server prints its address once it listens; everything after goes to its log.
    exec {output}<"$scratch/output"
    local line
    while IFS= read -r -t 60 -u "$output" line; do
        echo "$line" >>"$scratch/server.log"
        if [[ $line =~ listening\ on\ (http://[0-9.:]+)\ \(gRPC\ on\ ([0-9.:]+)\) ]]; then
            export FORETELL_URL=${BASH_REMATCH[1]} FORETELL_GRPC=${BASH_REMATCH[2]}
            cat <&"$output" >>"$scratch/server.log" &
            return
        fi
    done
    fail "the server did not start"
}

# Makes a tenant with the model iris; its folder is in $model, and FORETELL_KEY is a key that may predict.
serve_iris() {
    export FORETELL_KEY=$operator
    foretell tenant create acme
    FORETELL_KEY=$(foretell key create --tenant acme --scopes infer,models --output json | text secret)
    model=$root/models/iris/1
    foretell model push "$model"
}

# text NAME: the first text of that name in the JSON on stdin.
text() { grep -oE "\"$1\" *: *\"[^\"]*\"" | head -n 1 | sed -E 's/^[^:]*: *"//; s/"$//'; }

# number NAME: the first number of that name in the JSON on stdin.
number() { grep -oE "\"$1\" *: *-?[0-9][0-9.eE+-]*" | head -n 1 | sed -E 's/^[^:]*: *//'; }

# same WHAT GOT EXPECTED
same() {
    [ "$2" = "$3" ] || fail "$1 is '$2', expected '$3'"
    echo "ok: $1 is $2"
}

# near WHAT GOT EXPECTED: numbers that agree to a millionth.
near() {
    awk -v a="$2" -v b="$3" 'BEGIN { d = a - b; exit !(a != "" && b != "" && d <= 1e-6 && d >= -1e-6) }' ||
        fail "$1 is '$2', expected '$3'"
    echo "ok: $1 is $2"
}
