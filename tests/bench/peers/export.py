"""Trains two forests on made-up data and writes each in every form that a side of a comparison needs.

    python export.py OUT TRAIN

OUT gets `sklearn.*` (boosted trees of scikit-learn: joblib, ONNX, artifact of the plugin `forest`), `lightgbm.*` (the same
by LightGBM: text, artifact), `rows.json` with rows and the answers that each library gives, and `settings.json` and
`model-settings.json` for MLServer. TRAIN is the folder with `artifact.py`, the writer of artifacts.
"""

import json
import struct
import sys
from pathlib import Path

import joblib
import lightgbm
import numpy as np
from skl2onnx import to_onnx
from sklearn.datasets import make_classification
from sklearn.ensemble import GradientBoostingClassifier

FEATURES = 30
TREES = 100
DEPTH = 6
ROWS = 64


def main(out, train):
    sys.path.insert(0, train)
    import artifact

    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    inputs, labels = make_classification(
        n_samples=4_000, n_features=FEATURES, n_informative=15, random_state=7
    )
    # FP32 throughout: some sides compute in nothing else, and all must answer alike.
    inputs = inputs.astype(np.float32).astype(np.float64)
    rows = inputs[:ROWS]
    columns = [artifact.real(f"x{index}", "", -np.inf, np.inf) for index in range(FEATURES)]
    answer = artifact.Binary("probability of yes", "yes above a half", ["no", "yes"])

    def write(name, body, probabilities):
        example = ("the first row", rows[0], [probabilities[0]])
        bytes_ = artifact.artifact(
            "forest", "A forest for benches.", "Numbers.", columns, answer, [example], 1e-6, body
        )
        (out / f"{name}.ftl").write_bytes(bytes_)

    boosted = GradientBoostingClassifier(n_estimators=TREES, max_depth=DEPTH, random_state=7)
    boosted.fit(inputs, labels)
    by_sklearn = boosted.predict_proba(rows)[:, 1]
    write("sklearn", forest(boosted), by_sklearn)
    joblib.dump(boosted, out / "sklearn.joblib")
    onnx = to_onnx(boosted, rows[:1].astype(np.float32), options={"zipmap": False})
    (out / "sklearn.onnx").write_bytes(onnx.SerializeToString())

    booster = lightgbm.train(
        {
            "objective": "binary",
            "num_leaves": 2**DEPTH,
            "max_depth": DEPTH,
            "min_data_in_leaf": 5,
            "seed": 7,
            "deterministic": True,
            "num_threads": 1,
            "verbose": -1,
        },
        lightgbm.Dataset(inputs, labels),
        num_boost_round=TREES,
    )
    by_lightgbm = booster.predict(rows)
    write("lightgbm", artifact.forest(booster), by_lightgbm)
    booster.save_model(out / "lightgbm.txt")

    (out / "rows.json").write_text(
        json.dumps(
            {
                "rows": rows.tolist(),
                "sklearn": by_sklearn.tolist(),
                "lightgbm": by_lightgbm.tolist(),
            }
        )
    )
    # One process that also predicts: as few as the other sides have.
    settings = {"parallel_workers": 0, "debug": False, "host": "127.0.0.1"}
    (out / "settings.json").write_text(json.dumps(settings))
    model = {
        "name": "forest",
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": "./sklearn.joblib", "version": "1"},
    }
    (out / "model-settings.json").write_text(json.dumps(model))


def forest(boosted):
    """The body of family `forest`, from scikit-learn's boosted trees for two classes."""
    prior = boosted.init_.class_prior_[1]
    trees = [single_leaf(float(np.log(prior / (1 - prior))))]
    trees += [tree(estimator.tree_, boosted.learning_rate) for estimator in boosted.estimators_[:, 0]]
    return struct.pack("<dI", 1.0, len(trees)) + b"".join(trees)


def single_leaf(value):
    return struct.pack("<Id", 1, value)


def tree(of, rate):
    # Nodes stand parent before child; splits and leaves are numbered apart.
    is_leaf = of.children_left < 0
    number = np.where(is_leaf, -np.cumsum(is_leaf), np.cumsum(~is_leaf) - 1)
    parts = [struct.pack("<I", int(is_leaf.sum()))]
    for node in np.flatnonzero(~is_leaf):
        left, right = of.children_left[node], of.children_right[node]
        parts.append(struct.pack("<IBd", int(of.feature[node]), 0, float(of.threshold[node])))
        parts.append(struct.pack("<ii", int(number[left]), int(number[right])))
    values = of.value[is_leaf, 0, 0] * rate
    return b"".join(parts) + b"".join(struct.pack("<d", float(value)) for value in values)


if __name__ == "__main__":
    main(*sys.argv[1:])
