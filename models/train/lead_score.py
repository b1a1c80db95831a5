"""lead-score: a gradient-boosted forest on the Bank Marketing table, by LightGBM."""

import itertools

import lightgbm
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import artifact
import common
from artifact import category, integer, real

YES_NO = ["no", "yes", "unknown"]
NEVER = 999
COLUMNS = [
    integer("age", "The client's age in years.", 0, 120),
    category(
        "job",
        "Type of job. Missing: unknown.",
        ["admin.", "blue-collar", "entrepreneur", "housemaid", "management", "retired", "self-employed", "services",
         "student", "technician", "unemployed", "unknown"],
        absent="unknown",
    ),
    category(
        "marital",
        "Marital status; `divorced` means divorced or widowed. Missing: unknown.",
        ["divorced", "married", "single", "unknown"],
        absent="unknown",
    ),
    category(
        "education",
        "Education. Missing: unknown.",
        ["basic.4y", "basic.6y", "basic.9y", "high.school", "illiterate", "professional.course", "university.degree",
         "unknown"],
        absent="unknown",
    ),
    category("default", "Has credit in default? Missing: unknown.", YES_NO, absent="unknown"),
    category("housing", "Has a housing loan? Missing: unknown.", YES_NO, absent="unknown"),
    category("loan", "Has a personal loan? Missing: unknown.", YES_NO, absent="unknown"),
    category("contact", "How the client is contacted.", ["cellular", "telephone"]),
    category(
        "month",
        "Month of the contact.",
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    ),
    category("day_of_week", "Day of the contact.", ["mon", "tue", "wed", "thu", "fri"]),
    integer("campaign", "Contacts with this client during this campaign, this one included.", 1),
    integer(
        "pdays",
        "Days since the client was last contacted in an earlier campaign. Leave it out (null) for never; 999 means the "
        "same, as in the published table.",
        0,
        NEVER,
        absent=float(NEVER),
    ),
    integer("previous", "Contacts with this client before this campaign.", 0),
    category("poutcome", "Outcome of the earlier campaign.", ["failure", "nonexistent", "success"]),
    real("emp.var.rate", "Employment variation rate, quarterly, in percent.", -100, 100),
    real("cons.price.idx", "Consumer price index, monthly (about 92 to 95 in 2008 to 2010).", 0),
    real("cons.conf.idx", "Consumer confidence index, monthly (a balance of answers).", -100, 100),
    real("euribor3m", "Euribor 3 month rate, daily, in percent.", -100, 100),
    real("nr.employed", "Number of employees, quarterly, in thousands.", 0),
]
CATEGORICAL = [index for index, column in enumerate(COLUMNS) if column.categories]
FIXED = {
    "objective": "binary",
    "metric": "binary_logloss",
    "learning_rate": 0.03,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 1.0,
    "cat_smooth": 20.0,
    "cat_l2": 10.0,
    "min_data_per_group": 50,
    "seed": common.SEED,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbose": -1,
}
GRID = {
    "num_leaves,max_depth": [(6, 4), (8, 5), (12, 5), (16, 6)],
    "feature_fraction": [0.3, 0.5],
    "min_data_in_leaf": [10, 20, 40],
}
MOST_TREES = 200


def train():
    table = pd.read_csv(common.DATA / "lead-scoring.csv", keep_default_na=False)
    target = (table["y"] == "yes").to_numpy().astype(int)
    # `duration` is known only after the call: a score that uses it cannot be had before.
    rows = np.column_stack([_codes(column, table[column.name]) for column in COLUMNS])
    train_rows, test_rows = common.split(target)

    parameters, trees, cross_validated = _search(rows[train_rows], target[train_rows])
    booster = lightgbm.train(parameters, _dataset(rows[train_rows], target[train_rows]), trees)

    baseline = make_pipeline(
        ColumnTransformer(
            [("category", OneHotEncoder(handle_unknown="ignore"), CATEGORICAL)], remainder=StandardScaler()
        ),
        LogisticRegression(C=0.05, max_iter=5_000),
    ).fit(rows[train_rows], target[train_rows])
    test = target[test_rows]
    score, rival = booster.predict(rows[test_rows]), baseline.predict_proba(rows[test_rows])[:, 1]
    base_rate = np.full(len(test), target[train_rows].mean())
    best_tenth = np.argsort(-score, kind="stable")[: len(test) // 10]
    metrics = {
        "auc": roc_auc_score(test, score),
        "auc of logistic regression": roc_auc_score(test, rival),
        "cross-validated auc": cross_validated,
        "average precision": average_precision_score(test, score),
        "average precision of logistic regression": average_precision_score(test, rival),
        "log loss": log_loss(test, score),
        "log loss of logistic regression": log_loss(test, rival),
        "log loss of the base rate": log_loss(test, base_rate),
        "rate in the best tenth": test[best_tenth].mean(),
        "rate": test.mean(),
        "trees": booster.num_trees(),
        "leaves": parameters["num_leaves"],
    }
    return common.Trained(
        name="lead-score",
        family="forest",
        doc="Probability that a contacted bank client subscribes a term deposit, known before the call.",
        input_doc="One client and contact per row.",
        columns=COLUMNS,
        answer=artifact.Binary(
            "Probability that the client subscribes.", "Whether the client is likelier to subscribe than not.", ["no", "yes"]
        ),
        body=artifact.forest(booster),
        predict=lambda codes: _both(booster.predict(codes)),
        # As LightGBM's own classifier decides.
        classify=lambda codes: np.argmax(_both(booster.predict(codes)), axis=1),
        rows=rows,
        train=train_rows,
        test=test_rows,
        card=_card(metrics, parameters, len(train_rows), len(test_rows)),
        sample=rows[test_rows][rows[test_rows][:, 11] == NEVER][0],
        metrics=metrics,
    )


def _codes(column, values):
    if column.categories:
        codes = {text: float(code) for code, text in enumerate(column.categories)}
        return values.map(codes).to_numpy(dtype=float)
    return values.to_numpy(dtype=float)


def _dataset(rows, target):
    return lightgbm.Dataset(
        rows,
        target,
        feature_name=[f"column_{index}" for index in range(len(COLUMNS))],
        categorical_feature=CATEGORICAL,
        params={"verbose": -1},
        free_raw_data=False,
    )


def _search(rows, target):
    """The best of the grid and its number of trees, by cross-validated log loss; and its AUC there."""
    best = None
    folds = list(StratifiedKFold(5, shuffle=True, random_state=common.SEED).split(rows, target))
    for values in itertools.product(*GRID.values()):
        (leaves, depth), fraction, least = values
        parameters = FIXED | {
            "num_leaves": leaves,
            "max_depth": depth,
            "feature_fraction": fraction,
            "min_data_in_leaf": least,
        }
        history = lightgbm.cv(
            parameters, _dataset(rows, target), MOST_TREES, folds=folds, metrics=["binary_logloss", "auc"]
        )
        losses = history["valid binary_logloss-mean"]
        trees = int(np.argmin(losses)) + 1
        if best is None or losses[trees - 1] < best[0]:
            best = (losses[trees - 1], parameters, trees, history["valid auc-mean"][trees - 1])
    return best[1:]


def _both(second):
    return np.column_stack([1.0 - second, second])


def _card(m, p, train, test):
    return f"""# lead-score, version 1

Probability that a bank client who is about to be called subscribes a term deposit.

## Model
Gradient-boosted trees (plugin family `forest`): {m["trees"]} trees of at most {p["num_leaves"]} leaves and depth {p["max_depth"]}, learning rate
{p["learning_rate"]}, trained with LightGBM by `models/train/lead_score.py`. Size of the trees and their number chosen by
5-fold cross-validated log loss on the training part. Categories are split natively, by sets of categories.

Known before the call only: `duration`, the length of the call, is left out, because a score that needs it comes too late.
`pdays` missing (null) means never contacted before; it is stored as 999, as in the published table, and 999 is accepted
too. `job`, `marital`, `education`, `default`, `housing` and `loan` missing mean `unknown`, a category of its own.

## Data
Bank Marketing with social and economic context, UCI Machine Learning Repository, dataset 222, CC BY 4.0: {train + test:,} rows,
11.3 % positive, a random 80 % of the published table. Cite: S. Moro, P. Cortez, P. Rita, "A Data-Driven Approach to
Predict the Success of Bank Telemarketing", Decision Support Systems 62 (2014) 22-31. Split 80 to 20 with a fixed seed,
classes in proportion: {train:,} rows trained on, {test} held out.

## Measured on the held-out rows
| | this model | logistic regression | base rate |
|---|---|---|---|
| AUC | {m["auc"]:.4f} | {m["auc of logistic regression"]:.4f} | 0.5 |
| average precision | {m["average precision"]:.4f} | {m["average precision of logistic regression"]:.4f} | {m["rate"]:.4f} |
| log loss | {m["log loss"]:.4f} | {m["log loss of logistic regression"]:.4f} | {m["log loss of the base rate"]:.4f} |

Of the tenth scored highest {m["rate in the best tenth"]:.1%} subscribed, of all {m["rate"]:.1%}. Cross-validated AUC on the training part:
{m["cross-validated auc"]:.4f}. With {round(test * m["rate"])} positive rows held out, an AUC is known to about 0.03: the difference to logistic
regression is within that, and a table of this size does not decide between the two.

## Limits
- One Portuguese bank, May 2008 to November 2010, a financial crisis: the five economic columns carry much of the score,
  and their levels then are not those of today. Train on your own calls before you rely on it.
- January and February do not occur in the table; `illiterate` and a credit in default hardly do.
- The label decides at a probability of 0.5, which few clients reach. To choose whom to call, rank by the probability, or
  set `threshold` in `[settings]`.

## Not to be used for
Granting or refusing credit or any service to a person: age, marital status and job are among the columns. Nor for
pressing people to buy: it says who says yes, not who is well served.
"""
