"""tritonclient's asynchronous gRPC client, unmodified."""

import asyncio

import tritonclient.grpc.aio as triton
from house import GRPC, LABELS, MODEL, fails_async, headers, inputs, same
from tritonclient.utils import InferenceServerException


async def main():
    async with triton.InferenceServerClient(GRPC) as client:
        same("server live", await client.is_server_live(), True)
        same("model ready", await client.is_model_ready(MODEL, headers=headers()), True)
        asked = [client.infer(MODEL, inputs(triton), headers=headers()) for _ in range(30)]
        for answer in await asyncio.gather(*asked):
            same("label", answer.as_numpy("label").tolist(), LABELS)

        async def requests():
            for number in range(3):
                yield {"model_name": MODEL, "inputs": inputs(triton), "request_id": str(number)}

        number = 0
        async for result, error in client.stream_infer(requests(), headers=headers()):
            same("in the stream", (error, result.as_numpy("label").tolist()), (None, LABELS))
            same("its id", result.get_response().id, str(number))
            number += 1
        same("answers of the stream", number, 3)
        await fails_async(
            "an unknown model",
            client.infer("nobody", inputs(triton), headers=headers()),
            InferenceServerException,
            "NOT_FOUND",
        )


asyncio.run(main())
