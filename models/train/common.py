"""What every training script does the same way: split, edge rows, and the files of a model folder."""

import csv
import hashlib
import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

import artifact

DATA = Path(__file__).parent / "data"
MODELS = Path(__file__).parent.parent
SEED = 20261124
PARITY_ROWS = 1000
# Examples are compared in the sandbox, whose `exp` may differ from that of the training machine in the last bit.
EXAMPLE_TOLERANCE = 1e-9


def split(target):
    """Indices of the rows trained on and of those held out: 80 to 20, classes in proportion."""
    return train_test_split(np.arange(len(target)), test_size=0.2, random_state=SEED, stratify=target)


@dataclass
class Trained:
    """A model and all that goes into its folder."""

    name: str
    family: str
    doc: str
    input_doc: str
    columns: list
    answer: object
    body: bytes
    predict: object  # rows of codes -> probabilities of the classes, by the training library
    classify: object  # rows of codes -> class codes, by the training library
    rows: np.ndarray  # all rows as codes
    train: np.ndarray
    test: np.ndarray
    card: str
    sample: np.ndarray  # a row not trained on, with a missing value if the model takes one
    metrics: dict = field(default_factory=dict)


def edge_rows(columns, rows, rng):
    """Rows at the borders of what the signature accepts: bounds, every category, missing values, wild mixtures."""
    made = []

    def put(part, column, value):
        row = rows[rng.integers(len(rows))].copy()
        row[column] = value
        made.append((part, row))

    for _ in range(60):
        row = np.array([rng.choice(_borders(c, rows[:, i])) for i, c in enumerate(columns)])
        made.append(("edge", row))
    for index, column in enumerate(columns):
        for value in _borders(column, rows[:, index]):
            put("edge", index, value)
        if column.absent is not None:
            for _ in range(10):
                put("missing", index, column.absent)
    return made


def _borders(column, seen):
    if column.categories:
        return [float(code) for code in range(len(column.categories))]
    low, high = np.frombuffer(column.domain[1:], dtype="<f8")
    # An open side is tried far outside what was seen.
    high = high if math.isfinite(high) else 100.0 * max(1.0, np.nanmax(np.abs(seen)))
    low = low if math.isfinite(low) else -100.0 * max(1.0, np.nanmax(np.abs(seen)))
    return [low, high, *np.nanquantile(seen, [0.0, 0.5, 1.0])]


def save(model):
    """Writes models/<name>/1."""
    folder = MODELS / model.name / "1"
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    parity = _parity(model, rng)
    examples = _examples(model, parity)
    encoded = artifact.artifact(
        model.family,
        model.doc,
        model.input_doc,
        model.columns,
        model.answer,
        examples,
        EXAMPLE_TOLERANCE,
        model.body,
    )
    (folder / "model.ftl").write_bytes(encoded)
    (folder / "model.toml").write_text(_manifest(model, hashlib.sha256(encoded).hexdigest()))
    (folder / "CARD.md").write_text(model.card)
    _write_parity(folder / "parity.csv", model, parity)
    _write_sample(folder, model)
    shown = ", ".join(f"{key} {value:.4f}" for key, value in model.metrics.items())
    print(f"{model.name}: {shown}; {len(encoded):,} bytes, {len(parity)} parity rows")


def _parity(model, rng):
    """(part, row) up to 1,000: edges and missing values, then rows held out, then rows trained on."""
    chosen = edge_rows(model.columns, model.rows, rng)[: PARITY_ROWS // 3]
    chosen += [("held-out", model.rows[index]) for index in model.test]
    chosen = chosen[: PARITY_ROWS * 9 // 10]
    trained = rng.permutation(model.train)[: PARITY_ROWS - len(chosen)]
    return chosen + [("trained", model.rows[index]) for index in sorted(trained)]


def _examples(model, parity):
    """Two rows of each part: the model's own self-test."""
    examples = []
    for part in ("held-out", "trained", "missing", "edge"):
        rows = [row for of, row in parity if of == part]
        for number, row in enumerate(rows[:1] + rows[-1:]):
            examples.append((f"{part} {number + 1}", row, _outputs(model, model.predict(row[None, :]))[0]))
    return examples


def _outputs(model, probabilities):
    """One number for two classes (the second's probability), else all."""
    if isinstance(model.answer, artifact.Binary):
        return probabilities[:, 1:]
    return probabilities


def _manifest(model, digest):
    return f"""name = "{model.name}"
version = "1"

[plugin]
crate = "../../../plugins/{model.family}"

[artifact]
file = "model.ftl"
sha256 = "{digest}"

[settings]

[runtime]

[sample]
request = "sample.request.json"
response = "sample.response.json"
tolerance = 1e-6
"""


def _write_parity(path, model, parity):
    rows = np.array([row for _, row in parity])
    probabilities = model.predict(rows)
    outputs = _outputs(model, probabilities)
    labels = model.classify(rows)
    single = outputs.shape[1] == 1
    names = ["probability"] if single else [f"probability of {c}" for c in model.answer.classes]
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["part", *(column.name for column in model.columns), *names, "label"])
        for (part, row), output, label in zip(parity, outputs, labels, strict=True):
            writer.writerow([part, *map(_number, row), *map(_number, output), int(label)])


def _number(value):
    """The shortest text that reads back as the same double."""
    value = float(value)
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def _write_sample(folder, model):
    """One row as a record, and its answer."""
    row = model.sample
    record = {}
    for value, column in zip(row, model.columns, strict=True):
        if column.absent is not None and _same(value, column.absent) and not column.categories:
            continue
        if column.categories:
            record[column.name] = column.categories[int(value)]
        else:
            record[column.name] = int(value) if float(value).is_integer() else float(value)
    probabilities = model.predict(row[None, :])
    outputs = _outputs(model, probabilities)[0]
    label = model.answer.classes[int(model.classify(row[None, :])[0])]
    if len(outputs) == 1:
        response = {"probability": float(outputs[0]), "label": label}
    else:
        response = {"probabilities": [float(value) for value in outputs], "label": label}
    for name, body in (("request", record), ("response", response)):
        (folder / f"sample.{name}.json").write_text(json.dumps(body, indent=2) + "\n")


def _same(a, b):
    return a == b or (math.isnan(a) and math.isnan(b))
