"""Small LightGBM models that reach the rules which the first-party model does not, for the tests of plugins/forest."""

import csv
import math

import lightgbm
import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

import artifact
import common
from artifact import real

FOLDER = common.MODELS.parent / "plugins" / "forest" / "tests" / "data"
PARAMETERS = {
    "learning_rate": 0.1,
    "min_data_in_leaf": 5,
    "seed": common.SEED,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbose": -1,
}


def write():
    """Each fixture: an artifact and a table of rows with LightGBM's answers."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    _missing_as_nan()
    _missing_as_zero()
    _wide_categories()


def _missing_as_nan():
    """Three classes, NaN among the values of every other column: missing type NaN, both default directions."""
    rng = np.random.default_rng(common.SEED)
    data = load_wine()
    rows = data.data.copy()
    holes = rng.random(rows.shape) < 0.3
    holes[:, ::2] = False
    rows[holes] = np.nan
    booster = lightgbm.train(
        PARAMETERS | {"objective": "multiclass", "num_class": 3, "num_leaves": 7},
        lightgbm.Dataset(rows, data.target, params={"verbose": -1}),
        20,
    )
    answer = artifact.Classes("", "", ["a", "b", "c"])
    wild = _wild(rows, rng)
    _save("missing-nan", booster, answer, np.vstack([rows[:100], wild]))


def _missing_as_zero():
    """Two classes, zero stands for missing: missing type zero; and a sigmoid with a slope of its own."""
    rng = np.random.default_rng(common.SEED)
    data = load_breast_cancer()
    rows = data.data.copy()
    rows[rng.random(rows.shape) < 0.3] = 0.0
    booster = lightgbm.train(
        PARAMETERS | {"objective": "binary", "sigmoid": 0.7, "num_leaves": 15, "zero_as_missing": True},
        lightgbm.Dataset(rows, data.target, params={"verbose": -1, "zero_as_missing": True}),
        30,
    )
    _save("missing-zero", booster, artifact.Binary("", "", ["a", "b"]), np.vstack([rows[:100], _wild(rows, rng)]))


def _wide_categories():
    """A number, and categories of more codes than a machine word has bits, some negative, fractional or missing."""
    rng = np.random.default_rng(common.SEED)
    data = load_diabetes()
    rows = np.column_stack([data.data[:, :4], rng.integers(0, 300, len(data.data)), rng.integers(0, 40, len(data.data))])
    target = data.target + 40 * np.sin(rows[:, 4]) + 30 * (rows[:, 5] % 3)
    booster = lightgbm.train(
        PARAMETERS
        | {"objective": "regression", "num_leaves": 15, "min_data_per_group": 2, "cat_smooth": 1.0, "max_cat_to_onehot": 2},
        lightgbm.Dataset(rows, target, categorical_feature=[4, 5], params={"verbose": -1, "min_data_in_bin": 1}),
        30,
    )
    wild = _wild(rows, rng)
    codes = [-1.0, -0.5, 0.9, 1.2, 31.0, 32.0, 63.0, 64.0, 299.0, 300.0, 1e9, 1e300, -1e300, math.nan, math.inf, -math.inf]
    for index, row in enumerate(wild):
        row[4 + index % 2] = codes[index // 2 % len(codes)]
    _save("wide-categories", booster, artifact.Value(""), np.vstack([rows[:100], wild]))


def _wild(rows, rng):
    """Rows with NaN, zeros of both signs, infinities and very small numbers in places."""
    wild = rows[rng.integers(0, len(rows), 100)].copy()
    values = [math.nan, 0.0, -0.0, math.inf, -math.inf, 1e-36, -1e-36, 1e-35, 1e-34, -1e-34, 1e300, -1e300]
    for row in wild:
        for column in rng.integers(0, rows.shape[1], 4):
            row[column] = values[rng.integers(0, len(values))]
    return wild


def _save(name, booster, answer, rows):
    columns = [real(f"x{index}", "", -math.inf, absent=math.nan) for index in range(rows.shape[1])]
    outputs = booster.predict(rows).reshape(len(rows), -1)
    example = ("first row", rows[0], outputs[0])
    encoded = artifact.artifact(
        "forest", "A fixture.", "", columns, answer, [example], 1e-9, artifact.forest(booster)
    )
    (FOLDER / f"{name}.ftl").write_bytes(encoded)
    with (FOLDER / f"{name}.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*(column.name for column in columns), *(f"y{index}" for index in range(outputs.shape[1]))])
        for row, output in zip(rows, outputs, strict=True):
            writer.writerow([repr(float(value)) for value in [*row, *output]])
    print(f"fixture {name}: {len(encoded):,} bytes, {len(rows)} rows")
