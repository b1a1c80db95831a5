"""digits: a small neural net on 8 x 8 images of handwritten digits, by scikit-learn."""

import warnings

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import artifact
import common
from artifact import real

FULL = 16.0
COLUMNS = [
    real(f"pixel_{y}_{x}", f"Ink in row {y} (from the top), column {x} (from the left): 0 none, 16 full.", 0, FULL)
    for y in range(8)
    for x in range(8)
]


def train():
    data = load_digits()
    rows, target = data.data, data.target
    train_rows, test_rows = common.split(target)
    pipeline = make_pipeline(
        FunctionTransformer(_scaled),
        MLPClassifier((48,), activation="relu", max_iter=400, tol=1e-5, random_state=common.SEED),
    )
    folds = StratifiedKFold(5, shuffle=True, random_state=common.SEED)
    grid = {"mlpclassifier__alpha": [0.03, 0.1, 0.3, 1.0]}
    search = GridSearchCV(pipeline, grid, scoring="neg_log_loss", cv=folds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        search.fit(rows[train_rows], target[train_rows])
    best = search.best_estimator_
    baseline = LogisticRegression(C=1.0, max_iter=5_000).fit(rows[train_rows] / FULL, target[train_rows])

    test = target[test_rows]
    metrics = {
        "accuracy": accuracy_score(test, best.predict(rows[test_rows])),
        "accuracy of logistic regression": accuracy_score(test, baseline.predict(rows[test_rows] / FULL)),
        "log loss": log_loss(test, best.predict_proba(rows[test_rows])),
        "log loss of logistic regression": log_loss(test, baseline.predict_proba(rows[test_rows] / FULL)),
        "alpha": search.best_params_["mlpclassifier__alpha"],
    }
    return common.Trained(
        name="digits",
        family="mlp",
        doc="Which digit a handwritten 8 x 8 image shows.",
        input_doc="One image per row, its pixels row by row from the top left.",
        columns=COLUMNS,
        answer=artifact.Classes(
            "Probability of each digit.", "The likeliest digit.", [str(digit) for digit in data.target_names]
        ),
        body=_body(best),
        predict=best.predict_proba,
        classify=best.predict,
        rows=rows,
        train=train_rows,
        test=test_rows,
        card=_card(metrics, len(train_rows), len(test_rows)),
        sample=rows[test_rows[0]],
        metrics=metrics,
    )


def _scaled(pixels):
    return pixels / FULL


def _body(pipeline):
    """The layers, the scaling of the pixels folded into the first (exact: 16 is a power of two)."""
    net = pipeline[-1]
    weights = [net.coefs_[0] / FULL, *net.coefs_[1:]]
    activations = [net.activation] * (len(weights) - 1) + ["identity"]
    return artifact.mlp(list(zip(weights, net.intercepts_, activations, strict=True)))


def _card(m, train, test):
    return f"""# digits, version 1

Which digit, 0 to 9, a handwritten 8 x 8 image shows.

## Model
A neural net with one hidden layer of 48 rectified units and a softmax (plugin family `mlp`), in double precision like
the library that trained it: scikit-learn's MLPClassifier, by `models/train/digits.py`; weight decay alpha = {m["alpha"]:g}
chosen by 5-fold cross-validated log loss on the training part.

## Data
E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits" (1998), UCI Machine Learning Repository, dataset 80,
CC BY 4.0, the 1,797 images shipped with scikit-learn: bitmaps of 32 x 32, counted in blocks of 4 x 4, so that each of
the 64 pixels is 0 (no ink) to 16 (full). Split 80 to 20 with a fixed seed, classes in proportion: {train:,} rows trained on,
{test} held out.

## Measured on the held-out rows
| | this model | baseline (logistic regression) |
|---|---|---|
| accuracy | {m["accuracy"]:.4f} | {m["accuracy of logistic regression"]:.4f} |
| log loss | {m["log loss"]:.4f} | {m["log loss of logistic regression"]:.4f} |

The split is by image, not by writer: a new hand does worse than these figures say.

## Limits
Digits written by a few dozen people on forms, centred and scaled to fill the image. An image that is no digit is still
called one. Fractions between the whole counts are accepted, as a downscaled grey image gives them.

## Not to be used for
Reading amounts or identities without a person checking: {1 - m["accuracy"]:.1%} of the held-out images are read wrongly.
"""
