"""tritonclient's asynchronous HTTP client, unmodified."""

import asyncio

import tritonclient.http.aio as triton
from house import HOST, LABELS, MODEL, fails_async, headers, inputs, same
from tritonclient.utils import InferenceServerException


async def main():
    async with triton.InferenceServerClient(HOST) as client:
        same("server live", await client.is_server_live(), True)
        same("server ready", await client.is_server_ready(), True)
        same("model ready", await client.is_model_ready(MODEL, headers=headers()), True)
        metadata = await client.get_model_metadata(MODEL, headers=headers())
        same("outputs", [output["name"] for output in metadata["outputs"]], ["probabilities", "label"])
        index = await client.get_model_repository_index(headers=headers())
        same("index", MODEL in [entry["name"] for entry in index], True)
        asked = [
            client.infer(
                MODEL,
                inputs(triton),
                headers=headers(),
                request_compression_algorithm=coding,
                response_compression_algorithm=coding,
            )
            for coding in [None, "gzip", "deflate"]
            for _ in range(10)
        ]
        for answer in await asyncio.gather(*asked):
            same("label", answer.as_numpy("label").tolist(), LABELS)
        await client.unload_model(MODEL, headers=headers())
        same("unloaded", await client.is_model_ready(MODEL, headers=headers()), False)
        await client.load_model(MODEL, headers=headers())
        same("loaded", await client.is_model_ready(MODEL, headers=headers()), True)
        await fails_async(
            "an unknown model",
            client.infer("nobody", inputs(triton), headers=headers()),
            InferenceServerException,
            "[404]",
            "is not found",
        )


asyncio.run(main())
