"""tritonclient over gRPC, unmodified: everything that it can ask of a server without shared memory and tracing."""

import queue

import grpc
import numpy as np
import tritonclient.grpc as triton
from house import ARTIFACT, GRPC, LABELS, MODEL, PLUGIN, ROWS, fails, headers, inputs, same
from tritonclient.utils import InferenceServerException

client = triton.InferenceServerClient(GRPC)
same("server live", client.is_server_live(), True)
same("server ready", client.is_server_ready(), True)
metadata = client.get_server_metadata()
same("server name", metadata.name, "foretell")
same("extensions", "binary_tensor_data" in metadata.extensions, True)
same("model ready", client.is_model_ready(MODEL, headers=headers()), True)
same("version ready", client.is_model_ready(MODEL, "1", headers=headers()), True)
metadata = client.get_model_metadata(MODEL, headers=headers(), as_json=True)
same("versions", metadata["versions"], ["1"])
same("inputs", metadata["inputs"], [{"name": "features", "datatype": "FP64", "shape": ["-1", "4"]}])
config = client.get_model_config(MODEL, headers=headers()).config
same("config of the input", (config.input[0].name, list(config.input[0].dims)), ("features", [4]))
index = client.get_model_repository_index(headers=headers())
same("repository index", [(entry.name, entry.state) for entry in index.models], [(MODEL, "READY")])


def outputs(*names):
    return [triton.InferRequestedOutput(name) for name in names]


answer = client.infer(MODEL, inputs(triton), headers=headers(), request_id="of mine")
same("label", answer.as_numpy("label").tolist(), LABELS)
expected = answer.as_numpy("probabilities")
same("shape of the probabilities", expected.shape, (2, 3))
same("id", answer.get_response().id, "of mine")
same("model version", answer.get_response().model_version, "1")
for coding in ["gzip", "deflate"]:
    answer = client.infer(MODEL, inputs(triton), headers=headers(), compression_algorithm=coding)
    same(f"probabilities, sent as {coding}", answer.as_numpy("probabilities"), expected)
answer = client.infer(MODEL, inputs(triton), "1", outputs=outputs("label"), headers=headers())
same("one output of one version", answer.as_numpy("label").tolist(), LABELS)
same("the other was not asked for", answer.as_numpy("probabilities") is None, True)
many = np.tile(ROWS, (2000, 1))
answer = client.infer(MODEL, inputs(triton, many), headers=headers(), compression_algorithm="gzip")
same("4,000 rows", answer.as_numpy("probabilities"), np.tile(expected, (2000, 1)))
answer = client.infer(
    MODEL,
    inputs(triton),
    headers=headers(),
    priority=1,
    timeout=5_000_000,
    client_timeout=10,
    sequence_id=7,
    sequence_start=True,
    parameters={"of_mine": "passed over"},
)
same("with parameters", answer.as_numpy("probabilities"), expected)

answers = queue.Queue()
for _ in range(20):
    client.async_infer(MODEL, inputs(triton), lambda result, error: answers.put((result, error)), headers=headers())
for _ in range(20):
    result, error = answers.get(timeout=30)
    same("asynchronously", (error, result.as_numpy("label").tolist()), (None, LABELS))

# A stream: an error of one inference does not end it.
client.start_stream(lambda result, error: answers.put((result, error)), headers=headers())
for model in [MODEL, "nobody", MODEL]:
    client.async_stream_infer(model, inputs(triton), request_id=model)
for model in [MODEL, "nobody", MODEL]:
    result, error = answers.get(timeout=30)
    if model == "nobody":
        same("an error in the stream", "is not found" in str(error), True)
    else:
        same("in the stream", (error, result.as_numpy("label").tolist()), (None, LABELS))
        same("its id", result.get_response().id, model)
client.stop_stream()

statistics = client.get_inference_statistics(MODEL, "1", headers=headers()).model_stats[0]
same("counted", statistics.inference_stats.success.count >= 25, True)

files = {"file:1/model.wasm": PLUGIN, "file:1/model.artifact": ARTIFACT}
client.load_model("loaded", headers=headers(), config="{}", files=files)
answer = client.infer("loaded", inputs(triton), headers=headers())
same("the loaded model's answer", answer.as_numpy("probabilities"), expected)
client.unload_model("loaded", headers=headers())
same("unloaded", client.is_model_ready("loaded", headers=headers()), False)
fails(
    "asking an unloaded model",
    lambda: client.infer("loaded", inputs(triton), headers=headers()),
    InferenceServerException,
    "UNAVAILABLE",
    "unloaded",
)
client.load_model("loaded", headers=headers())
same("loaded again", client.is_model_ready("loaded", headers=headers()), True)

wrong = triton.InferInput("features", [2, 4], "FP32")
wrong.set_data_from_numpy(ROWS.astype(np.float32))
for what, call, words in [
    (
        "an unknown model",
        lambda: client.infer("nobody", inputs(triton), headers=headers()),
        ["NOT_FOUND", "Request for unknown model: 'nobody' is not found"],
    ),
    ("an unknown model's readiness", lambda: client.is_model_ready("nobody", headers=headers()), ["NOT_FOUND"]),
    ("an unknown version", lambda: client.infer(MODEL, inputs(triton), "9", headers=headers()), ["NOT_FOUND"]),
    ("no key", lambda: client.infer(MODEL, inputs(triton)), ["UNAUTHENTICATED"]),
    ("no key for the index", lambda: client.get_model_repository_index(), ["UNAUTHENTICATED"]),
    (
        "an unknown output",
        lambda: client.infer(MODEL, inputs(triton), outputs=outputs("nothing"), headers=headers()),
        ["INVALID_ARGUMENT", "unknown output `nothing`"],
    ),
    ("a wrong datatype", lambda: client.infer(MODEL, [wrong], headers=headers()), ["INVALID_ARGUMENT", "FP32"]),
    (
        "a wrong shape",
        lambda: client.infer(MODEL, inputs(triton, ROWS[:, :3].copy()), headers=headers()),
        ["INVALID_ARGUMENT", "has shape [2, 3]"],
    ),
    ("loading nothing", lambda: client.load_model("nobody", headers=headers()), ["NOT_FOUND", "failed to load"]),
    (
        "loading what is no plugin",
        lambda: client.load_model("bad", headers=headers(), config="{}", files={"file:1/model.wasm": b"not wasm"}),
        ["INVALID_ARGUMENT", "failed to load 'bad'"],
    ),
    (
        "too much",
        lambda: client.infer(MODEL, inputs(triton, np.tile(ROWS, (200_000, 1))), headers=headers()),
        ["INVALID_ARGUMENT", "larger than its limit"],
    ),
    ("shared memory", lambda: client.get_system_shared_memory_status(headers=headers()), ["UNIMPLEMENTED"]),
]:
    fails(what, call, InferenceServerException, *words)
client.close()

# The services that every host of gRPC has, asked by the wire alone: serving is 1, and an unknown service is not found.
channel = grpc.insecure_channel(GRPC)
check = channel.unary_unary("/grpc.health.v1.Health/Check")
name = b"inference.GRPCInferenceService"
for service in [b"", bytes([10, len(name)]) + name]:
    same("health", check(service), b"\x08\x01")
fails("health of nothing", lambda: check(b"\x0a\x01x"), grpc.RpcError, "NOT_FOUND")
for version in ["v1", "v1alpha"]:
    reflect = channel.stream_stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo")
    answer = b"".join(reflect(iter([b"\x3a\x00"])))
    for service in [name, b"grpc.health.v1.Health"]:
        same(f"reflection {version}", service in answer, True)
fails("no such method", lambda: channel.unary_unary("/a.B/C")(b""), grpc.RpcError, "UNIMPLEMENTED")
infer = channel.unary_unary(f"/{name.decode()}/ModelInfer")
fails(
    "what is no message",
    lambda: infer(b"\xff\xff\xff", metadata=list(headers().items())),
    grpc.RpcError,
    "INVALID_ARGUMENT",
)
channel.close()
