"""Losses and figures of each target, in `fit`, `evaluate` and the frozen net."""

import json

import numpy as np
import pytest

import bitnet
from bitnet import InputError
from bitnet.archive import to_json
from bitnet.data import batches, read_dataset
from bitnet.deploy.runtime import FrozenNet
from bitnet.nn import functional
from bitnet.nn.models import binary_mlp
from bitnet.optim import Adam
from bitnet.training import (
    Experiment,
    Images,
    Split,
    evaluate,
    f1_score,
    fit,
    mean_absolute_error,
    r2_score,
    targets,
)
from bitnet.training.trained import load_trained

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (200, 6), dtype=np.uint8)
NUMBERS = (X[:, :2].astype(np.float32) - 100) / 40
FLAGS = (X[:, :3] > 128).astype(np.uint8)


def test_r2_is_its_formula():
    y, t = RNG.standard_normal((2, 50, 3))
    share = 1 - ((t - y) ** 2).sum(axis=0) / ((t - t.mean(axis=0)) ** 2).sum(axis=0)
    assert np.isclose(r2_score(y, t), share.mean())
    assert r2_score(t, t) == 1
    assert np.isclose(r2_score(np.full((50, 3), t.mean(axis=0)), t), 0)
    assert r2_score(np.ones(4), np.ones(4)) == 1
    assert r2_score(np.zeros(4), np.ones(4)) == 0
    assert r2_score(t[:, 0], t[:, :1]) == 1  # as `predict` gives a single output
    assert np.isclose(mean_absolute_error(y, t), abs(y - t).mean())


def test_f1_counts_all_labels_together():
    y, t = RNG.random((2, 50, 3)) > 0.6
    both = (y & t).sum()
    precision, recall = both / y.sum(), both / t.sum()
    assert np.isclose(f1_score(y, t), 2 * precision * recall / (precision + recall))
    assert f1_score(np.zeros((4, 2)), np.zeros((4, 2))) == 0
    assert f1_score(t, t) == 1


@pytest.mark.parametrize("score", [r2_score, mean_absolute_error, f1_score])
def test_scores_of_what_does_not_fit(score):
    for y, t in ((np.zeros(3), np.zeros(4)), (np.zeros((0, 2)),) * 2, (np.zeros((2, 2, 2)),) * 2):
        with pytest.raises(InputError, match="expected equal shapes, not empty"):
            score(y, t)


def test_a_report_of_several_labels():
    scores = np.array([[1.0, -1], [1, -1], [-1, -1]])
    labels = np.array([[1, 0], [0, 1], [1, 0]])
    found = targets.report(scores, labels, "multilabel", ["a", "b"])
    assert found["labels"]["a"] == {"f1": 0.5, "precision": 0.5, "recall": 0.5, "images": 2}
    assert found["labels"]["b"] == {"f1": 0.0, "precision": None, "recall": 0.0, "images": 1}
    assert (found["f1"], found["macro_f1"]) == (0.4, 0.25)
    assert np.isclose(found["exact"], 1 / 3)


def test_batches_of_rows_of_labels():
    for labels in (NUMBERS, FLAGS, FLAGS.astype(bool), NUMBERS[:, 0]):
        found = [y for _, y in batches(X, labels, 64)]
        assert np.array_equal(np.concatenate(found), labels)


@pytest.mark.parametrize(
    ("target", "labels", "loss"),
    [
        ("regression", NUMBERS, functional.squared_error),
        ("regression", NUMBERS, functional.huber),
        ("multilabel", FLAGS, functional.binary_cross_entropy),
    ],
)
def test_fit_learns_a_target(target, labels, loss):
    model = binary_mlp([6, 64, labels.shape[1]], rng=np.random.default_rng(0), lr_scale=10.0)
    part = X, labels
    data = Images(Split(part, part, part, target=target), loss, batch=20)
    assert "outputs" not in repr(data.data)
    optimizer = Adam(model.parameters(), 0.01)
    *_, last = fit(model, optimizer, data, epochs=15, rng=np.random.default_rng(0))
    figure = "r2" if target == "regression" else "f1"
    found = getattr(last, f"test_{figure}")
    assert found > 0.6
    assert found == evaluate(model, *part, target=target) == getattr(last, f"validation_{figure}")
    assert last.test_accuracy is None
    assert (last.test_error is None) == (target == "multilabel")
    best = data.better(last, None)
    assert best == {"epoch": 15, "validation": found, "test": found}


@pytest.mark.parametrize(
    ("target", "labels", "message"),
    [
        ("regression", NUMBERS[:, 0], r"expected a row of labels \(regression\) per image"),
        ("regression", NUMBERS[:, :1], r"targets of shape \(200, 1\); expected \(200, 2\)"),
        ("regression", NUMBERS + np.nan, "contain NaN"),
        ("multilabel", FLAGS[:, :2] * 2, "expected booleans, or 0 and 1"),
        ("classification", NUMBERS, "expected one label per image"),
    ],
)
def test_targets_that_do_not_fit_the_model(target, labels, message):
    model = binary_mlp([6, 8, 2], rng=np.random.default_rng(0))
    part = X, labels
    data = Images(Split(part, part, target=target), batch=20)
    with pytest.raises(InputError, match=message):
        next(fit(model, Adam(model.parameters()), data, rng=np.random.default_rng(0)))


@pytest.fixture
def folder(tmp_path):
    x = RNG.normal(50, 20, (120, 3)).round(2)
    y = (1000 + 5 * x[:, 0] - 2 * x[:, 1]).round(2)
    rows = np.column_stack([x, y, x[:, 0] > 50, x[:, 1] > 50])
    lines = ["a,b,c,y,p,q", *(",".join(f"{cell:g}" for cell in row) for row in rows.tolist())]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    return tmp_path


def settings(folder, **more):
    given = {"net": "mlp:16", "data": "t.csv", "folder": str(folder), "epochs": 2, "batch": 20}
    return given | more


CASES = [
    {"label": ["y"], "drop": ["p", "q"]},
    {"label": ["y"], "drop": ["p", "q"], "float": True, "loss": "huber"},
    {"label": ["a", "y"], "target": "regression", "weights": "2", "activations": "4"},
    {"label": ["p", "q"], "drop": ["y"], "class_weights": "balanced", "label_smoothing": 0.1},
    {"label": ["p"], "drop": ["y", "q"], "class_weights": "1,2.5"},
    {"label": ["p"], "loss": "cross-entropy", "label_smoothing": 0.1, "input_planes": 4},
]


@pytest.mark.parametrize("more", CASES)
def test_a_training_is_resumed_and_frozen(folder, more):
    """The bytes after resuming are those of an uninterrupted training."""
    for name in ("whole", "part"):
        experiment = Experiment(settings(folder, validation=10, **more))
        for epoch in experiment.epochs():
            if name == "part" and epoch.epoch == 1:
                break
        experiment.save(folder / f"{name}.checkpoint")
    experiment = Experiment.resume(folder / "part.checkpoint")
    assert experiment.best["epoch"] == 1
    *_, _ = experiment.epochs()
    experiment.save(folder / "part.checkpoint")
    whole = folder / "whole.checkpoint"
    assert (folder / "part.checkpoint").read_bytes() == whole.read_bytes()
    trained = load_trained(whole)
    net = trained.freeze()
    net.save(folder / "net.npz")
    loaded = bitnet.load(folder / "net.npz")
    assert (loaded.target, loaded.columns) == (trained.target, trained.columns)
    x = experiment.data.test[0]
    assert np.array_equal(loaded.scores(x), trained.scores(x))
    assert np.array_equal(loaded.predict(x), trained.predict(x))
    kinds = {"classification": np.int64, "regression": np.float32, "multilabel": bool}
    assert loaded.predict(x).dtype == kinds[trained.target]


def test_a_regression_learns_in_its_own_units(folder):
    """Targets around 1000 +- 100 need no scaling by the user, and the scores have their units."""
    given = settings(folder, net="mlp:64", epochs=40, lr=0.01, label=["y"], drop=["p", "q"])
    *_, last = (experiment := Experiment(given)).epochs()
    assert last.test_r2 > 0.6
    x, y = experiment.data.test
    y_found = experiment.model.eval()(x.reshape(len(x), -1)).data
    assert abs(y_found.mean() - y.mean()) < 2 * y.std()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"class_weights": "balanced"}, "class_weights applies to classes and labels"),
        ({"loss": "cross-entropy"}, "loss is cross-entropy; for target regression expected"),
        ({"label_smoothing": 0.1}, "label_smoothing needs the loss"),
        ({"teacher": "x"}, "teacher applies to classification, not to regression"),
    ],
)
def test_settings_that_a_regression_does_not_have(folder, more, message):
    with pytest.raises(InputError, match=message):
        Experiment(settings(folder, label=["y"], target="regression", **more))


def frozen(target=None, **more):
    model = binary_mlp([6, 8, 2], rng=np.random.default_rng(0))
    net = bitnet.freeze(model)
    net.target = target or "classification"
    for name, value in more.items():
        setattr(net, name, value)
    return net


def test_a_frozen_net_without_a_target_has_the_header_of_before():
    header, _ = frozen().contents()
    assert not {"target", "columns"} & header.keys()
    header, arrays = frozen("regression", columns=tuple("abcdef")).contents()
    net = FrozenNet.from_contents(json.loads(to_json(header)), arrays)
    assert (net.target, net.columns) == ("regression", tuple("abcdef"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("target", "ranking"),
        ("target", None),
        ("target", ["regression"]),
        ("target", "classification"),
        ("columns", None),
        ("columns", ["a"]),
        ("columns", [1, 2, 3, 4, 5, 6]),
        ("columns", "abcdef"),
    ],
)
def test_a_header_with_another_target_or_columns_is_refused(name, value):
    header, arrays = frozen().contents()
    header = json.loads(to_json(header)) | {name: value}
    with pytest.raises(InputError, match=f"the header has {name}"):
        FrozenNet.from_contents(header, arrays)


def test_read_dataset_gives_each_target(folder):
    path = folder / "t.csv"
    data = read_dataset(path, label=["p", "q"], drop=["y"])
    assert (data.target, data.classes, data.columns) == ("multilabel", ("p", "q"), ("a", "b", "c"))
    data = read_dataset(path, label=["y"])
    assert (data.target, data.train_labels.dtype) == ("regression", np.float32)
    assert repr(data) == "Dataset('t.csv', 96 + 24 images of 5, 1 numbers)"
    assert data.first(10, 5).columns == data.columns
    again = read_dataset(path, label=["y"])
    assert np.array_equal(again.test_images, data.test_images)
    rows = {tuple(row) for row in data.train_images} & {tuple(row) for row in data.test_images}
    assert not rows


def test_one_hot_rows_are_classes(tmp_path):
    labels = np.eye(3, dtype=np.uint8)[np.arange(30) % 3]
    np.savez(tmp_path / "a.npz", images=np.zeros((30, 4)), labels=labels)
    data = read_dataset(tmp_path / "a.npz")
    assert (data.target, data.classes) == ("classification", ("0", "1", "2"))
    several = read_dataset(tmp_path / "a.npz", target="multilabel")
    assert several.train_labels.shape == (24, 3)
