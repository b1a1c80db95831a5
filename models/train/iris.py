"""iris: multinomial logistic regression on Fisher's iris data, by scikit-learn."""

import numpy as np
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import artifact
import common
from artifact import real

COLUMNS = [
    real("sepal_length", "Length of the sepal, in centimetres.", 0),
    real("sepal_width", "Width of the sepal, in centimetres.", 0),
    real("petal_length", "Length of the petal, in centimetres.", 0),
    real("petal_width", "Width of the petal, in centimetres.", 0),
]


def train():
    data = load_iris()
    rows, target = data.data, data.target
    train_rows, test_rows = common.split(target)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=10_000, tol=1e-8))
    folds = StratifiedKFold(5, shuffle=True, random_state=common.SEED)
    grid = {"logisticregression__C": [0.1, 0.3, 1.0, 3.0, 10.0, 30.0]}
    search = GridSearchCV(pipeline, grid, scoring="neg_log_loss", cv=folds)
    search.fit(rows[train_rows], target[train_rows])
    best = search.best_estimator_

    probabilities = best.predict_proba(rows[test_rows])
    test = target[test_rows]
    metrics = {
        "accuracy": accuracy_score(test, best.predict(rows[test_rows])),
        "accuracy of one class": accuracy_score(test, np.zeros_like(test)),
        "cross-validated accuracy": cross_val_score(best, rows[train_rows], target[train_rows], cv=folds).mean(),
        "log loss": log_loss(test, probabilities),
        "log loss of the base rate": float(np.log(3.0)),
        "C": search.best_params_["logisticregression__C"],
    }
    return common.Trained(
        name="iris",
        family="linear",
        doc="Species of an iris from four measurements of its flower.",
        input_doc="One flower per row.",
        columns=COLUMNS,
        answer=artifact.Classes(
            "Probability of each species.", "The likeliest species.", [str(name) for name in data.target_names]
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


def _body(pipeline):
    """Folds the scaling into weights on the raw columns."""
    scaler, regression = pipeline[0], pipeline[-1]
    weights = regression.coef_ / scaler.scale_
    intercepts = regression.intercept_ - weights @ scaler.mean_
    # No column may be missing: the second row of each is never used.
    terms = [[weights[:, column], np.zeros(len(intercepts))] for column in range(len(COLUMNS))]
    return artifact.linear(intercepts, terms)


def _card(m, train, test):
    return f"""# iris, version 1

Species of an iris (setosa, versicolor, virginica) from four measurements of its flower.

## Model
Multinomial logistic regression (plugin family `linear`) on four standardised columns; the scaling is folded into the
weights of the artifact. Trained with scikit-learn by `models/train/iris.py`; regularisation C = {m["C"]:g} chosen by 5-fold
cross-validated log loss on the training part.

## Data
R. A. Fisher, "The use of multiple measurements in taxonomic problems", Annals of Eugenics 7 (1936) 179-188; UCI Machine
Learning Repository, dataset 53, CC BY 4.0, as shipped with scikit-learn: {train + test} flowers, 50 of each species. Split
80 to 20 with a fixed seed, classes in proportion: {train} rows trained on, {test} held out.

## Measured
| | this model | baseline |
|---|---|---|
| accuracy, held-out rows | {m["accuracy"]:.4f} | {m["accuracy of one class"]:.4f} (one class for all) |
| accuracy, 5-fold on the training rows | {m["cross-validated accuracy"]:.4f} | |
| log loss, held-out rows | {m["log loss"]:.4f} | {m["log loss of the base rate"]:.4f} (equal odds) |

With {test} held-out flowers one error more or less is {100 / test:.1f} points of accuracy: the figures are rough.

## Limits
Three species and four measurements from one garden and two meadows. Any other flower is still called one of the
three, often with high confidence; measurements in another unit than centimetres likewise.

## Not to be used for
Anything but learning how Foretell works.
"""
