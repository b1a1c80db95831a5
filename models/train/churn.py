"""churn: logistic regression with categories on the Telco churn table, by scikit-learn."""

import math

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import artifact
import common
from artifact import category, integer, real

YES_NO = ["No", "Yes"]
PHONE = ["No", "Yes", "No phone service"]
INTERNET = ["No", "Yes", "No internet service"]

COLUMNS = [
    category("gender", "The customer's gender.", ["Female", "Male"]),
    integer("SeniorCitizen", "1 if the customer is 65 or older, else 0.", 0, 1),
    category("Partner", "Whether the customer has a partner.", YES_NO),
    category("Dependents", "Whether the customer lives with dependents.", YES_NO),
    integer("tenure", "Months the customer has stayed with the company.", 0),
    category("PhoneService", "Whether the customer has home phone service.", YES_NO),
    category("MultipleLines", "Whether the customer has several phone lines.", PHONE),
    category("InternetService", "The customer's internet service.", ["DSL", "Fiber optic", "No"]),
    category("OnlineSecurity", "Whether the customer has the online security add-on.", INTERNET),
    category("OnlineBackup", "Whether the customer has the online backup add-on.", INTERNET),
    category("DeviceProtection", "Whether the customer has the device protection add-on.", INTERNET),
    category("TechSupport", "Whether the customer has the technical support add-on.", INTERNET),
    category("StreamingTV", "Whether the customer streams television over the service.", INTERNET),
    category("StreamingMovies", "Whether the customer streams films over the service.", INTERNET),
    category("Contract", "Term of the contract.", ["Month-to-month", "One year", "Two year"]),
    category("PaperlessBilling", "Whether bills are sent electronically.", YES_NO),
    category(
        "PaymentMethod",
        "How the customer pays.",
        ["Electronic check", "Mailed check", "Bank transfer (automatic)", "Credit card (automatic)"],
    ),
    real("MonthlyCharges", "Amount charged monthly, in US dollars.", 0),
    real(
        "TotalCharges",
        "Amount charged so far, in US dollars. Leave it out (null; NaN in tensors) for a customer not charged yet.",
        0,
        absent=math.nan,
    ),
]


def train():
    table = pd.read_csv(common.DATA / "churn.csv", keep_default_na=False)
    table["TotalCharges"] = pd.to_numeric(table["TotalCharges"].str.strip(), errors="coerce")
    target = (table["Churn"] == "Yes").to_numpy().astype(int)
    rows = np.column_stack([_codes(column, table[column.name]) for column in COLUMNS])
    train_rows, test_rows = common.split(target)

    numbers = [i for i, column in enumerate(COLUMNS) if not column.categories]
    texts = [i for i, column in enumerate(COLUMNS) if column.categories]
    vocabularies = [np.arange(float(len(COLUMNS[i].categories))) for i in texts]
    # A missing number becomes the mean, and a weight of its own says what its absence means.
    number = make_pipeline(
        StandardScaler(), SimpleImputer(strategy="constant", fill_value=0.0, add_indicator=True)
    )
    pipeline = make_pipeline(
        ColumnTransformer(
            [
                ("number", number, numbers),
                ("category", OneHotEncoder(categories=vocabularies, handle_unknown="ignore"), texts),
            ],
            sparse_threshold=0,
        ),
        LogisticRegression(max_iter=10_000, tol=1e-8),
    )
    folds = StratifiedKFold(5, shuffle=True, random_state=common.SEED)
    grid = {"logisticregression__C": [0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0]}
    search = GridSearchCV(pipeline, grid, scoring="neg_log_loss", cv=folds)
    search.fit(rows[train_rows], target[train_rows])
    best = search.best_estimator_

    probability = best.predict_proba(rows[test_rows])[:, 1]
    test = target[test_rows]
    base_rate = target[train_rows].mean()
    # What a rule of thumb achieves: the shorter with us, the likelier to leave.
    tenure = -rows[test_rows][:, 4]
    metrics = {
        "auc": roc_auc_score(test, probability),
        "auc of tenure alone": roc_auc_score(test, tenure),
        "accuracy": accuracy_score(test, probability > 0.5),
        "accuracy of always No": accuracy_score(test, np.zeros_like(test)),
        "log loss": log_loss(test, probability),
        "log loss of the base rate": log_loss(test, np.full(len(test), base_rate)),
        "C": search.best_params_["logisticregression__C"],
    }
    return common.Trained(
        name="churn",
        family="linear",
        doc="Probability that a telephone and internet customer leaves within the next month.",
        input_doc="One customer per row.",
        columns=COLUMNS,
        answer=artifact.Binary(
            "Probability that the customer leaves.", "Whether the customer is likelier to leave than to stay.", YES_NO
        ),
        body=_body(best, numbers, texts),
        predict=best.predict_proba,
        classify=best.predict,
        rows=rows,
        train=train_rows,
        test=test_rows,
        card=_card(metrics, len(train_rows), len(test_rows)),
        sample=_new_customer(rows[test_rows]),
        metrics=metrics,
    )


def _codes(column, values):
    if column.categories:
        codes = {text: float(code) for code, text in enumerate(column.categories)}
        return values.map(codes).to_numpy(dtype=float)
    return values.to_numpy(dtype=float)


def _new_customer(rows):
    """A held-out customer of one month, as on the first day: nothing charged yet."""
    row = rows[rows[:, 4] == 1][0].copy()
    row[4], row[-1] = 0, math.nan
    return row


def _body(pipeline, numbers, texts):
    """Folds scaling, imputation and one-hot coding into weights on the raw columns."""
    transformer, regression = pipeline[0], pipeline[-1]
    weights = list(regression.coef_[0])
    intercept = regression.intercept_[0]
    scaler, imputer = transformer.named_transformers_["number"]
    terms = {}
    for i, mean, scale in zip(numbers, scaler.mean_, scaler.scale_, strict=True):
        weight = weights.pop(0)
        intercept -= weight * mean / scale
        # A missing number counts as the mean.
        terms[i] = [[weight / scale], [weight * mean / scale]]
    for missing in imputer.indicator_.features_:
        terms[numbers[missing]][1][0] += weights.pop(0)
    for i in texts:
        # An unseen category has no weight, as in OneHotEncoder(handle_unknown="ignore").
        terms[i] = [[weights.pop(0)] for _ in COLUMNS[i].categories] + [[0.0]]
    assert not weights
    return artifact.linear([intercept], [terms[i] for i in range(len(COLUMNS))])


def _card(m, train, test):
    return f"""# churn, version 1

Probability that a customer of a telephone and internet company leaves within the next month.

## Model
Logistic regression (plugin family `linear`) on 19 columns: numbers standardised, categories one-hot coded, all of it
folded into the weights of the artifact. Trained with scikit-learn by `models/train/churn.py`; regularisation C = {m["C"]:g}
chosen by 5-fold cross-validated log loss on the training part.

`TotalCharges` may be missing. It is blank in the table for customers with a tenure of 0 months, who have not been
charged yet: a missing value counts as the mean, plus a learned weight for its absence.

## Data
Telco customer churn, IBM sample data sets, Apache-2.0: {train + test:,} rows, 26.8 % of which left, a random 80 % of the
published table. `customerID` is left out. Split 80 to 20 with a fixed seed, classes in proportion: {train:,} rows trained
on, {test:,} held out.

## Measured on the held-out rows
| | this model | baseline |
|---|---|---|
| AUC | {m["auc"]:.4f} | {m["auc of tenure alone"]:.4f} (tenure alone) |
| accuracy at 0.5 | {m["accuracy"]:.4f} | {m["accuracy of always No"]:.4f} (always No) |
| log loss | {m["log loss"]:.4f} | {m["log loss of the base rate"]:.4f} (the base rate) |

## Limits
- A sample table of a fictional company in one state, one quarter: a demonstration, and a template for your own data.
- Effects add up: no interaction between, say, contract and tenure is seen. A tenure or charge far beyond the table
  (72 months, 119 dollars a month) is extrapolated along a straight line.
- `TotalCharges` missing for a customer with a long tenure is outside what was learned.

## Not to be used for
Refusing or pricing service for a person: gender and age (`SeniorCitizen`) are among the columns. Use it to decide whom
to call first, with people deciding what to offer.
"""
