"""Small nets in files, for the tests of the command line: trained, float twin, frozen."""

import json

import bitnet
from bitnet.experiment import Experiment
from bitnet.trained import load_trained
from bitnet.verbs.freeze import frozen

SETTINGS = {
    "net": "mlp:9", "data": "embedded", "folder": None, "recipe": "default", "float": False,
    "epochs": 1, "batch": 50, "lr": 0.003, "seed": 0, "gradient": None, "rounding": None,
    "validation": 0, "limit": 100, "flip": False, "crop": 0, "prepare": [], "size": None,
    "channels": None,
}  # fmt: skip
KINDS = {
    "mlp": {},
    "twin": {"float": True},
    "conv": {"net": "conv:5/", "prepare": ["gcn"]},
    "bits": {"weights": "2", "activations": "3", "norm": "shift", "gradient": "log6"},
    "conv_bits": {"net": "conv:5/7", "weights": "ternary", "activations": "log:3"},
}


def save_nets(folder):
    """Write KIND.checkpoint and KIND.jsonl of each kind, and KIND.npz of those of bits."""
    for kind, changes in KINDS.items():
        experiment = Experiment({**SETTINGS, **changes})
        records = [{"settings": experiment.settings}]
        records += [epoch.record() for epoch in experiment.epochs()]
        experiment.save(folder / f"{kind}.checkpoint")
        lines = "".join(f"{json.dumps(record)}\n" for record in records)
        (folder / f"{kind}.jsonl").write_text(lines)
        if kind != "twin":
            path = folder / f"{kind}.checkpoint"
            frozen(load_trained(path), path).save(folder / f"{kind}.npz")
    plain = bitnet.models.binary_mlp([784, 10], experiment.rng)
    bitnet.freeze(plain).save(folder / "plain.npz")  # as Python writes it: no classes, no data
    return folder
