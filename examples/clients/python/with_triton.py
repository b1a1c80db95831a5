"""tritonclient, over HTTP and over gRPC."""

import os

import numpy as np
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from sample import URL, headers, near, row

http = triton_http.InferenceServerClient(URL.removeprefix("http://"))
grpc = triton_grpc.InferenceServerClient(os.environ["FORETELL_GRPC"])


def predict(what, triton, client):
    """Both of tritonclient's modules have the same classes. Tensors go as raw bytes, by default."""
    features = triton.InferInput("features", list(row.shape), "FP64")
    features.set_data_from_numpy(row)
    answer = client.infer("iris", [features], headers=headers())
    near(f"the probabilities by tritonclient.{what}", answer.as_numpy("probabilities"))
    # Rows of many calls may also stand in one.
    many = triton.InferInput("features", [1000, row.shape[1]], "FP64")
    many.set_data_from_numpy(np.tile(row, (1000, 1)))
    answer = client.infer("iris", [many], headers=headers())
    assert answer.as_numpy("probabilities").shape == (1000, 3)


predict("http", triton_http, http)
predict("grpc", triton_grpc, grpc)

# What a server refuses, a client raises; the text says what to do.
try:
    wrong = triton_http.InferInput("features", [1, 3], "FP64")
    wrong.set_data_from_numpy(row[:, :3])
    http.infer("iris", [wrong], headers=headers())
except triton_http.InferenceServerException as error:
    print(f"ok: {error}")
else:
    raise AssertionError("a row that is too short was predicted")
