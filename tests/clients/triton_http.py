"""tritonclient over HTTP, unmodified: everything that it can ask of a server without shared memory and tracing."""

import json

import numpy as np
import tritonclient.http as triton
from house import ARTIFACT, HOST, LABELS, MODEL, PLUGIN, ROWS, fails, headers, inputs, same
from tritonclient.utils import InferenceServerException

client = triton.InferenceServerClient(HOST)
same("server live", client.is_server_live(), True)
same("server ready", client.is_server_ready(), True)
metadata = client.get_server_metadata()
same("server name", metadata["name"], "foretell")
for extension in ["binary_tensor_data", "model_configuration", "model_repository", "statistics"]:
    same(f"extension {extension}", extension in metadata["extensions"], True)
same("model ready", client.is_model_ready(MODEL, headers=headers()), True)
same("version ready", client.is_model_ready(MODEL, "1", headers=headers()), True)
same("unknown model ready", client.is_model_ready("nobody", headers=headers()), False)
metadata = client.get_model_metadata(MODEL, headers=headers())
same("versions", metadata["versions"], ["1"])
same("inputs", metadata["inputs"], [{"name": "features", "datatype": "FP64", "shape": [-1, 4]}])
config = client.get_model_config(MODEL, headers=headers())
same("config of the input", config["input"][0]["data_type"], "TYPE_FP64")
same(
    "repository index",
    client.get_model_repository_index(headers=headers()),
    [{"name": MODEL, "version": "1", "state": "READY", "reason": ""}],
)


def outputs(binary=True, names=("probabilities", "label")):
    return [triton.InferRequestedOutput(name, binary_data=binary) for name in names]


# Binary both ways is the client's default.
answer = client.infer(MODEL, inputs(triton), headers=headers(), request_id="of mine")
same("label", answer.as_numpy("label").tolist(), LABELS)
expected = answer.as_numpy("probabilities")
same("shape of the probabilities", expected.shape, (2, 3))
same("datatype of the probabilities", expected.dtype, np.float64)
response = answer.get_response()
same("id", response["id"], "of mine")
same("model version", response["model_version"], "1")

for binary_in in [True, False]:
    for binary_out in [True, False]:
        for sent in [None, "gzip", "deflate"]:
            for wanted in [None, "gzip", "deflate"]:
                answer = client.infer(
                    MODEL,
                    inputs(triton, binary_data=binary_in),
                    outputs=outputs(binary_out),
                    headers=headers(),
                    request_compression_algorithm=sent,
                    response_compression_algorithm=wanted,
                )
                what = f"probabilities: binary in {binary_in}, out {binary_out}, sent {sent}, wanted {wanted}"
                same(what, answer.as_numpy("probabilities"), expected)
many = np.tile(ROWS, (2000, 1))
answer = client.infer(
    MODEL,
    inputs(triton, many),
    headers=headers(),
    request_compression_algorithm="gzip",
    response_compression_algorithm="gzip",
)
same("4,000 rows, compressed", answer.as_numpy("probabilities"), np.tile(expected, (2000, 1)))

answer = client.infer(MODEL, inputs(triton), model_version="1", outputs=outputs(names=["label"]), headers=headers())
same("one output of one version", answer.as_numpy("label").tolist(), LABELS)
same("the other was not asked for", answer.as_numpy("probabilities") is None, True)
answer = client.infer(
    MODEL,
    inputs(triton),
    headers=headers(),
    priority=1,
    timeout=5_000_000,
    sequence_id=7,
    sequence_start=True,
    sequence_end=True,
    parameters={"of_mine": "passed over"},
)
same("with parameters", answer.as_numpy("probabilities"), expected)
waiting = [client.async_infer(MODEL, inputs(triton), headers=headers()) for _ in range(20)]
for request in waiting:
    same("asynchronously", request.get_result().as_numpy("probabilities"), expected)

statistics = client.get_inference_statistics(MODEL, "1", headers=headers())["model_stats"][0]
same("counted", statistics["inference_stats"]["success"]["count"] >= 60, True)
same("all counted", len(client.get_inference_statistics(headers=headers())["model_stats"]), 1)

# A version is uploaded by the client's own means, taken out of service and put back.
files = {"file:1/model.wasm": PLUGIN, "file:1/model.artifact": ARTIFACT}
client.load_model("loaded", headers=headers(), config=json.dumps({"backend": "foretell"}), files=files)
same("loaded", client.is_model_ready("loaded", headers=headers()), True)
answer = client.infer("loaded", inputs(triton), headers=headers())
same("the loaded model's answer", answer.as_numpy("probabilities"), expected)
client.unload_model("loaded", headers=headers())
same("unloaded", client.is_model_ready("loaded", headers=headers()), False)
states = {entry["name"]: entry["state"] for entry in client.get_model_repository_index(headers=headers())}
same("states", states, {MODEL: "READY", "loaded": "UNAVAILABLE"})
fails(
    "asking an unloaded model",
    lambda: client.infer("loaded", inputs(triton), headers=headers()),
    InferenceServerException,
    "[503]",
    "unloaded",
)
client.load_model("loaded", headers=headers())
same("loaded again", client.is_model_ready("loaded", headers=headers()), True)

for what, call, words in [
    (
        "an unknown model",
        lambda: client.infer("nobody", inputs(triton), headers=headers()),
        ["[404]", "Request for unknown model: 'nobody' is not found"],
    ),
    ("an unknown version", lambda: client.infer(MODEL, inputs(triton), "9", headers=headers()), ["[404]", "no version `9`"]),
    ("no key", lambda: client.infer(MODEL, inputs(triton)), ["[401]"]),
    (
        "an unknown output",
        lambda: client.infer(MODEL, inputs(triton), outputs=outputs(names=["nothing"]), headers=headers()),
        ["[400]", "unknown output `nothing`"],
    ),
    (
        "a wrong shape",
        lambda: client.infer(MODEL, inputs(triton, ROWS[:, :3].copy()), headers=headers()),
        ["[400]", "has shape [2, 3]"],
    ),
    ("loading nothing", lambda: client.load_model("nobody", headers=headers()), ["[404]", "failed to load 'nobody'"]),
    (
        "loading what is no plugin",
        lambda: client.load_model("bad", headers=headers(), config="{}", files={"file:1/model.wasm": b"not wasm"}),
        ["[422]", "failed to load 'bad'"],
    ),
    ("a config alone", lambda: client.load_model(MODEL, headers=headers(), config="{}"), ["[400]", "immutable"]),
    ("metadata of nothing", lambda: client.get_model_metadata("nobody", headers=headers()), ["[404]"]),
]:
    fails(what, call, InferenceServerException, *words)

wrong = triton.InferInput("features", [2, 4], "FP32")
wrong.set_data_from_numpy(ROWS.astype(np.float32))
fails(
    "a wrong datatype",
    lambda: client.infer(MODEL, [wrong], headers=headers()),
    InferenceServerException,
    "[400]",
    "FP32",
)
client.close()
