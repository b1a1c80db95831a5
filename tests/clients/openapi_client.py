"""The client that is generated from the protocol's own OpenAPI document (open-inference-openapi), unmodified."""

import httpx
from house import HEADERS, LABELS, MODEL, ROWS, URL, fails, same
from open_inference.openapi.client import OpenInferenceClient
from open_inference.openapi.core.api_error import ApiError
from open_inference.openapi.errors.bad_request_error import BadRequestError
from open_inference.openapi.errors.not_found_error import NotFoundError
from open_inference.openapi.types import InferenceRequest, RequestInput, TensorData

client = OpenInferenceClient(base_url=URL, httpx_client=httpx.Client(headers=HEADERS))
client.check_server_liveness()
client.check_server_readiness()
client.check_model_readiness(MODEL)
client.check_model_version_readiness(MODEL, "1")
same("server name", client.read_server_metadata().name, "foretell")
same("metadata", client.read_model_metadata(MODEL).versions, ["1"])
same("metadata of a version", client.read_model_version_metadata(MODEL, "1").name, MODEL)

request = InferenceRequest(
    id="of mine",
    inputs=[
        RequestInput(
            name="features",
            datatype="FP64",
            shape=list(ROWS.shape),
            data=TensorData.parse_obj(ROWS.flatten().tolist()),
        )
    ],
)
for answer in [
    client.model_infer(MODEL, request=request),
    client.model_version_infer(MODEL, "1", request=request),
]:
    label = next(output for output in answer.outputs if output.name == "label")
    same("label", label.data.__root__, LABELS)
    same("id", answer.id, "of mine")
fails("an unknown model", lambda: client.model_infer("nobody", request=request), ApiError, "404", "nobody")
fails("metadata of nothing", lambda: client.read_model_metadata("nobody"), (ApiError, NotFoundError), "nobody")
wrong = InferenceRequest(inputs=[request.inputs[0].copy(update={"shape": [2, 3]})])
fails("a wrong shape", lambda: client.model_infer(MODEL, request=wrong), BadRequestError, "features")
