"""The usual first server of a scikit-learn model, as tutorials have it. MODEL is the file."""

import os

import joblib
import numpy as np
from flask import Flask, jsonify, request

app = Flask(__name__)
model = joblib.load(os.environ["MODEL"])


@app.post("/predict")
def predict():
    features = np.asarray(request.get_json()["features"], dtype=np.float64)
    probability = model.predict_proba(features)[:, 1]
    return jsonify(probability=probability.tolist(), label=(probability > 0.5).astype(int).tolist())


@app.get("/ready")
def ready():
    return jsonify(ready=True)
