"""Writes artifacts of the first-party plugin families, byte for byte as plugins/README.md describes them."""

import math
import struct
from dataclasses import dataclass, field

MAGIC = b"FTLMODEL"
VERSION = 1
REQUIRED = None


@dataclass
class Column:
    """One input column. `domain` is one of the helpers below; `absent` is what a missing value becomes."""

    name: str
    doc: str
    domain: bytes
    absent: float | None = REQUIRED
    categories: list[str] = field(default_factory=list)


def real(name, doc, low, high=math.inf, absent=REQUIRED):
    """A column of numbers, both bounds inclusive."""
    return Column(name, doc, b"\0" + _f64(low) + _f64(high), absent)


def integer(name, doc, low, high=math.inf, absent=REQUIRED):
    """A column of whole numbers, both bounds inclusive."""
    return Column(name, doc, b"\1" + _f64(low) + _f64(high), absent)


def category(name, doc, values, absent=REQUIRED, unseen=None):
    """A column of texts, each written as its index. `absent` is one of the texts."""
    code = REQUIRED if absent is REQUIRED else float(values.index(absent))
    return Column(name, doc, b"\3" + _texts(values) + _optional(unseen), code, list(values))


@dataclass
class Binary:
    """Two classes: the score is the log-odds of the second."""

    doc: str
    label_doc: str
    classes: list[str]
    threshold: float = 0.5

    def encode(self):
        return b"\1" + _text(self.doc) + _text(self.label_doc) + _texts(self.classes) + _f64(self.threshold)


@dataclass
class Classes:
    """Several classes: one score each, through a softmax."""

    doc: str
    label_doc: str
    classes: list[str]

    def encode(self):
        return b"\2" + _text(self.doc) + _text(self.label_doc) + _texts(self.classes)


@dataclass
class Value:
    """A number: the score itself."""

    doc: str

    def encode(self):
        return b"\0" + _text(self.doc)


def artifact(family, doc, input_doc, columns, answer, examples, tolerance, body):
    """The whole file. `examples` are (name, inputs of one row, expected probabilities or value of one row)."""
    parts = [MAGIC, _u32(VERSION), _text(family), _text(doc), _text(input_doc), _u32(len(columns))]
    for column in columns:
        parts += [_text(column.name), _text(column.doc), column.domain, _optional(column.absent)]
    parts += [answer.encode(), _f64(tolerance), _u32(len(examples))]
    for name, inputs, outputs in examples:
        assert len(inputs) == len(columns)
        parts += [_text(name), _f64s(inputs), _f64s(outputs)]
    return b"".join(parts) + body


def forest(booster):
    """The body of family `forest`, from a LightGBM booster."""
    model = booster.dump_model()
    if model.get("average_output"):
        raise ValueError("random forests (averaged output) are not supported")
    objective = model["objective"].split()
    scale = 1.0
    for word in objective[1:]:
        if word.startswith("sigmoid:"):
            scale = float(word.removeprefix("sigmoid:"))
    if objective[0] not in ("binary", "multiclass", "regression"):
        raise ValueError(f"objective {objective[0]} has a link that this family does not know")
    trees = _text_trees(booster.model_to_string(num_iteration=booster.best_iteration or None))
    parts = [_f64(scale), _u32(len(trees))]
    for tree in trees:
        parts.append(_tree(tree))
    return b"".join(parts)


def _text_trees(text):
    """The trees of LightGBM's text format, which holds every number in full precision."""
    trees = []
    for line in text.splitlines():
        if line.startswith("end of trees"):
            break
        key, _, value = line.partition("=")
        if key == "Tree":
            trees.append({})
        elif trees and value:
            trees[-1][key] = value.split(" ")
    return trees


def _tree(tree):
    if tree.get("is_linear", ["0"]) != ["0"]:
        raise ValueError("linear trees are not supported")
    leaves = int(tree["num_leaves"][0])
    parts = [_u32(leaves)]
    starts = [int(start) for start in tree.get("cat_boundaries", [])]
    words = [int(word) for word in tree.get("cat_threshold", [])]
    for node in range(leaves - 1):
        decision = int(tree["decision_type"][node])
        threshold = float(tree["threshold"][node])
        parts.append(_u32(int(tree["split_feature"][node])) + bytes([decision]))
        if decision & 1:
            of_set = words[starts[int(threshold)] : starts[int(threshold) + 1]]
            parts.append(_u32(len(of_set)) + b"".join(_u32(word) for word in of_set))
        else:
            parts.append(_f64(threshold))
        parts.append(struct.pack("<ii", int(tree["left_child"][node]), int(tree["right_child"][node])))
    parts.append(_f64s(float(value) for value in tree["leaf_value"][:leaves]))
    return b"".join(parts)


def linear(intercepts, terms):
    """The body of family `linear`: for each column a list of weight rows, the last for an absent or unseen value."""
    return _f64s(intercepts) + b"".join(_f64s(row) for rows in terms for row in rows)


ACTIVATIONS = {"identity": 0, "relu": 1, "tanh": 2, "logistic": 3}


def mlp(layers):
    """The body of family `mlp`: (weights [inputs, outputs], bias [outputs], activation) per layer."""
    parts = [_u32(len(layers))]
    for weights, bias, activation in layers:
        parts += [_u32(len(bias)), bytes([ACTIVATIONS[activation]])]
        parts += [_f64s(weights.ravel()), _f64s(bias)]
    return b"".join(parts)


def _u32(value):
    return struct.pack("<I", value)


def _f64(value):
    return struct.pack("<d", value)


def _f64s(values):
    return b"".join(_f64(float(value)) for value in values)


def _text(text):
    encoded = text.encode()
    return _u32(len(encoded)) + encoded


def _texts(texts):
    return _u32(len(texts)) + b"".join(_text(text) for text in texts)


def _optional(value):
    return b"\0" if value is None else b"\1" + _f64(value)
