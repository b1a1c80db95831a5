"""KServe's gRPC client, unmodified."""

import asyncio

import grpc
from house import GRPC, HEADERS, LABELS, MODEL, ROWS, fails_async, same
from kserve import InferenceGRPCClient, InferInput, InferRequest

METADATA = list(HEADERS.items())


def request(raw, model=MODEL):
    features = InferInput("features", list(ROWS.shape), "FP64")
    features.set_data_from_numpy(ROWS, binary_data=raw)
    return InferRequest(model_name=model, infer_inputs=[features])


async def main():
    client = InferenceGRPCClient(url=GRPC, retries=2)
    same("server live", await client.is_server_live(), True)
    same("server ready", await client.is_server_ready(), True)
    same("model ready", await client.is_model_ready(MODEL, headers=METADATA), True)
    for raw in [True, False]:
        answer = await client.infer(request(raw), headers=METADATA)
        label = next(output for output in answer.outputs if output.name == "label")
        same(f"label, raw {raw}", label.as_numpy().tolist(), LABELS)
    await fails_async(
        "an unknown model",
        client.infer(request(True, "nobody"), headers=METADATA),
        grpc.RpcError,
        "NOT_FOUND",
        "'nobody' is not found",
    )
    await fails_async("no key", client.infer(request(True)), grpc.RpcError, "UNAUTHENTICATED")
    await client.close()


asyncio.run(main())
