"""KServe's client, over HTTP. In a process of its own: it and tritonclient's gRPC bring the same messages twice."""

import asyncio

import kserve
from sample import URL, headers, near, row


async def predict():
    client = kserve.InferenceRESTClient(kserve.RESTConfig(protocol="v2"))
    features = kserve.InferInput("features", list(row.shape), "FP64")
    features.set_data_from_numpy(row, binary_data=False)
    request = kserve.InferRequest("iris", [features])
    answer = await client.infer(URL, request, model_name="iris", headers=headers())
    outputs = {output.name: output for output in answer.outputs}
    near("the probabilities by kserve", outputs["probabilities"].as_numpy())


asyncio.run(predict())
