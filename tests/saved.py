"""Files of small nets for the tests of the command line: checkpoints, logs and frozen nets."""

import json
import pathlib

import bitnet
from bitnet.training import Experiment
from bitnet.training.trained import load_trained

SETTINGS = {
    "net": "mlp:9",
    "data": "embedded",
    "folder": None,
    "recipe": "default",
    "float": False,
    "epochs": 1,
    "batch": 50,
    "lr": 0.003,
    "seed": 0,
    "grad_format": None,
    "rounding": None,
    "validation": 0,
    "limit": 100,
    "flip": False,
    "crop": 0,
    "prepare": [],
    "size": None,
    "channels": None,
}
GOOD = {
    "net": "mlp:8",
    "data": "mnist",
    "folder": None,
    "size": None,
    "channels": None,
    "recipe": "default",
    "optimizer": "adam",
    "moments": "float32",
    "norm": "batch",
    "schedule": "cosine",
    "float": False,
    "epochs": 2,
    "batch": 50,
    "lr": 0.003,
    "seed": 0,
    "grad_format": "int8",
    "rounding": "nearest",
    "validation": 0,
    "limit": 0,
    "flip": False,
    "crop": 0,
    "prepare": [],
    "picture": [28, 28, 1],
    "input": "pixels",
    "classes": ["a", "b"],
    "columns": [],
    "target": "classification",
    "label": None,
    "drop": None,
    "loss": "squared-hinge",
    "class_weights": None,
    "label_smoothing": 0.0,
    "crc32": 5,
    "weights": "1",
    "activations": "1",
    "input_planes": 8,
    "balance": False,
    "widen": None,
    "widen_after": 0.7,
    "teacher": None,
    "teacher_crc32": None,
    "temperature": 4.0,
    "teacher_weight": 0.5,
    "warmup": 0.0,
    "weight_decay": 0.0,
    "accumulate": 1,
    "patience": None,
    "init": None,
    "init_crc32": None,
}

TEXT = {
    "net": "rnn:8",
    "data": "embedded-text",
    "folder": None,
    "recipe": "default",
    "optimizer": "adam",
    "moments": "float32",
    "schedule": "plateau",
    "float": False,
    "epochs": 2,
    "batch": 1,
    "lr": 0.001,
    "unit": "characters",
    "vocabulary": None,
    "width": 8,
    "steps": 25,
    "clip": 5.0,
    "dropout": 0.0,
    "seed": 0,
    "weights": "4",
    "activations": "4",
    "grad_format": "float32",
    "rounding": "nearest",
    "limit": 0,
    "tokens": 9,
    "crc32": 5,
    "warmup": 0.0,
    "weight_decay": 0.0,
    "accumulate": 1,
    "patience": None,
    "init": None,
    "init_crc32": None,
}

KINDS = {
    "mlp": {},
    "twin": {"float": True},
    "conv": {"net": "conv:5/", "prepare": ["gcn"]},
    "bits": {"weights": "2", "activations": "3", "norm": "shift", "grad_format": "log6"},
    "conv_bits": {"net": "conv:5/7", "weights": "ternary", "activations": "log:3"},
}


def save_nets(folder):
    """Write KIND.checkpoint, KIND.jsonl and the frozen KIND.npz of each kind."""
    for kind, changes in KINDS.items():
        experiment = Experiment({**SETTINGS, **changes})
        records = [{"settings": experiment.settings}]
        records += [epoch.record() for epoch in experiment.epochs()]
        experiment.save(folder / f"{kind}.checkpoint")
        lines = "".join(f"{json.dumps(record)}\n" for record in records)
        (folder / f"{kind}.jsonl").write_text(lines)
        load_trained(folder / f"{kind}.checkpoint").freeze().save(folder / f"{kind}.npz")
    plain = bitnet.nn.models.binary_mlp([784, 10], rng=experiment.rng)
    bitnet.freeze(plain).save(folder / "plain.npz")  # saved from Python: no classes, no data
    return folder


def without_times(path):
    records = map(json.loads, pathlib.Path(path).read_text().splitlines())
    times = ("seconds", "images_per_second")
    return [{k: v for k, v in record.items() if k not in times} for record in records]
