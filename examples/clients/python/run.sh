#!/usr/bin/env bash
# Predictions with clients of Python: tritonclient over HTTP and gRPC, and KServe's.
source "$(dirname "${BASH_SOURCE[0]}")/../../lib.sh"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# FORETELL_PYTHON names a Python that has the clients; without it, they are installed in an environment of its own.
python=${FORETELL_PYTHON:-}
if [ -z "$python" ]; then
    python3 -m venv "$scratch/venv"
    "$scratch/venv/bin/pip" install --quiet --requirement "$here/requirements.txt"
    python=$scratch/venv/bin/python
fi

start_server
serve_iris

export MODEL_FOLDER=$model PYTHONDONTWRITEBYTECODE=1
"$python" "$here/with_triton.py"
"$python" "$here/with_kserve.py"
