"""What every script here needs: the server under test, and checks that say what differs.

The environment names the server (FORETELL_URL, FORETELL_GRPC), a key of the tenant with the scopes `infer` and `models` (FORETELL_KEY), and
the plugin and artifact of the model `iris`, which is pushed already (FORETELL_PLUGIN, FORETELL_ARTIFACT).
"""

import os
from pathlib import Path

import numpy as np

URL = os.environ["FORETELL_URL"]
# Its gRPC port.
GRPC = os.environ["FORETELL_GRPC"]
HOST = URL.removeprefix("http://")
KEY = os.environ["FORETELL_KEY"]
# In small letters, as metadata of gRPC has to be; HTTP does not mind.
HEADERS = {"authorization": f"Bearer {KEY}"}


def headers():
    """A new dictionary for each call: tritonclient writes its own headers into the one that it gets."""
    return dict(HEADERS)
PLUGIN = Path(os.environ["FORETELL_PLUGIN"]).read_bytes()
ARTIFACT = Path(os.environ["FORETELL_ARTIFACT"]).read_bytes()

MODEL = "iris"
ROWS = np.array([[6.1, 2.9, 4.7, 1.4], [5.1, 3.5, 1.4, 0.2]])
# What scikit-learn, which trained the model, says of these rows.
LABELS = [1, 0]


def inputs(triton, rows=ROWS, **options):
    """The one input of the model, of the client that is under test."""
    features = triton.InferInput("features", list(rows.shape), "FP64")
    features.set_data_from_numpy(rows, **options)
    return [features]


def same(what, got, expected):
    if isinstance(got, np.ndarray) or isinstance(expected, np.ndarray):
        equal = np.array_equal(got, expected)
    else:
        equal = got == expected
    if not equal:
        raise SystemExit(f"{what}: got {got!r}, expected {expected!r}")
    print(f"ok: {what}")


def fails(what, call, error, *words):
    """Runs what must fail, and looks for the words in what the client says of it."""
    try:
        got = call()
    except error as refusal:
        said = str(refusal)
    else:
        raise SystemExit(f"{what}: got {got!r}, expected an error")
    for word in words:
        if word not in said:
            raise SystemExit(f"{what}: `{word}` is not in: {said}")
    print(f"ok: {what}: {said.splitlines()[0][:100]}")
    return said


async def fails_async(what, awaitable, error, *words):
    try:
        got = await awaitable
    except error as refusal:
        raised = refusal

        def again():
            raise raised

        return fails(what, again, error, *words)
    raise SystemExit(f"{what}: got {got!r}, expected an error")
