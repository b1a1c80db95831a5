"""What every script here needs: where the server is, a row, and what the training library says of it."""

import json
import os
from pathlib import Path

import numpy as np

URL = os.environ["FORETELL_URL"]
MODEL = Path(os.environ["MODEL_FOLDER"])

record = json.loads((MODEL / "sample.request.json").read_text())
expected = json.loads((MODEL / "sample.response.json").read_text())["probabilities"]
# The columns of `features` stand in the order of the signature.
row = np.array([list(record.values())], dtype=np.float64)


def headers():
    """A new dictionary for each call: tritonclient writes headers of its own into the one that it gets."""
    return {"authorization": f"Bearer {os.environ['FORETELL_KEY']}"}


def near(what, got):
    np.testing.assert_allclose(np.ravel(got), expected, atol=1e-6, err_msg=what)
    print(f"ok: {what} are {np.ravel(got)}")
