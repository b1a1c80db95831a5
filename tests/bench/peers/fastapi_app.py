"""The fastest server that the usual Python parts make: no validation by schemas, orjson both ways, onnxruntime on one
thread. MODEL is the file."""

import os

import numpy as np
import onnxruntime
import orjson
from fastapi import FastAPI, Request, Response

app = FastAPI()
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(
    os.environ["MODEL"], options, providers=["CPUExecutionProvider"]
)
name = session.get_inputs()[0].name


def answer(value):
    return Response(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")


@app.post("/predict")
async def predict(request: Request):
    body = orjson.loads(await request.body())
    features = np.asarray(body["features"], dtype=np.float32)
    labels, probabilities = session.run(None, {name: features})
    return answer({"probability": np.ascontiguousarray(probabilities[:, 1]), "label": labels})


@app.get("/ready")
async def ready():
    return answer({"ready": True})
