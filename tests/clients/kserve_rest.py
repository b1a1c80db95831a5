"""KServe's REST client, unmodified, in both versions of its protocol."""

import asyncio

import httpx
from house import LABELS, MODEL, ROWS, URL, fails_async, headers, same
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput


def request(binary, model=MODEL):
    features = InferInput("features", list(ROWS.shape), "FP64")
    features.set_data_from_numpy(ROWS, binary_data=binary)
    wanted = [RequestedOutput(name, {"binary_data": binary}) for name in ["probabilities", "label"]]
    return InferRequest(model_name=model, infer_inputs=[features], request_outputs=wanted)


async def version_2():
    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
    same("server live", await client.is_server_live(URL), True)
    same("server ready", await client.is_server_ready(URL), True)
    same("model ready", await client.is_model_ready(URL, MODEL, headers=headers()), True)
    for binary in [False, True]:
        answer = await client.infer(URL, request(binary), model_name=MODEL, headers=headers())
        label = next(output for output in answer.outputs if output.name == "label")
        same(f"label, binary {binary}", label.as_numpy().tolist(), LABELS)
        same("model name", answer.model_name, MODEL)
    await fails_async(
        "an unknown model",
        client.infer(URL, request(False, "nobody"), model_name="nobody", headers=headers()),
        httpx.HTTPStatusError,
        "Request for unknown model: 'nobody' is not found",
        "404",
    )
    await fails_async(
        "no key", client.infer(URL, request(False), model_name=MODEL), httpx.HTTPStatusError, "401"
    )
    await client.close()


async def version_1():
    client = InferenceRESTClient(RESTConfig(protocol="v1", retries=0))
    same("server live", await client.is_server_live(URL), True)
    same("model ready", await client.is_model_ready(URL, MODEL, headers=headers()), True)
    answer = await client.infer(URL, {"instances": ROWS.tolist()}, model_name=MODEL, headers=headers())
    same("label", [row["label"] for row in answer["predictions"]], LABELS)
    await fails_async(
        "instances that are no list",
        client.infer(URL, {"instances": 7}, model_name=MODEL, headers=headers()),
        httpx.HTTPStatusError,
        'Expected "instances" to be a list',
        "400",
    )
    await fails_async(
        "explanations",
        client.explain(URL, MODEL, {"instances": ROWS.tolist()}, headers=headers()),
        httpx.HTTPStatusError,
        "501",
    )
    await client.close()


asyncio.run(version_2())
asyncio.run(version_1())
