"""Regression and several labels beside scikit-learn's MLPs of the same size.

    python benchmarks/targets.py [--seeds 5] [--quick]

* diabetes: 442 patients, 10 numbers each, one number to predict (scikit-learn's `load_diabetes`,
  unscaled).  R^2 on 88 of them.
* pairs: two of scikit-learn's 8x8 digits side by side; the labels are the digits that are there.
  5000 pairs of the first 1400 digits for training, 1000 pairs of the other 397 for the test.  F1
  over all labels.

All nets have two hidden layers of 64 units.  Of each training set a fifth is held back: it chooses
learning rate, batch size and scikit-learn's alpha (by the mean over 3 seeds that are not used
afterwards) and the epoch.  The table has the test figures of the chosen settings, mean and standard
deviation over the seeds.
"""

import argparse
import itertools
import pathlib
import tempfile

import machine
import numpy as np
from sklearn.datasets import load_diabetes, load_digits
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

from bitnet.training import Experiment, f1_score, r2_score
from bitnet.training.sources import read_data

HIDDEN, CHOOSING = (64, 64), (100, 101, 102)
LR, BATCH = (0.001, 0.003, 0.01), {"diabetes": (20, 100), "pairs": (50,)}
ALPHA = (1e-4, 1e-1, 10.0)  # of scikit-learn
EPOCHS = {"diabetes": 60, "pairs": 20}
BITS = {
    "bitnet, 1-bit weights and activations": {},
    "bitnet, 2-bit weights, 4-bit activations": {"weights": "2", "activations": "4"},
    "bitnet, 4-bit weights, 8-bit activations": {"weights": "4", "activations": "8"},
    "bitnet, float twin": {"float": True},
}


def write_diabetes(folder):
    """Write the table of the patients."""
    data = load_diabetes(scaled=False)
    names, rows = [*data.feature_names, "progression"], np.column_stack([data.data, data.target])
    lines = [",".join(names), *(",".join(f"{x:g}" for x in row) for row in rows)]
    (folder / "diabetes.csv").write_text("\n".join(lines) + "\n")
    return {"data": "diabetes.csv", "target": "regression", "validation": 70}


def write_pairs(folder):
    """Write the arrays of the pairs of digits."""
    digits, rng, arrays = load_digits(), np.random.default_rng(0), {}
    images = (digits.images * 15).astype(np.uint8)
    for part, rows, n in (("train", (0, 1400), 5000), ("test", (1400, 1797), 1000)):
        pair = rng.integers(*rows, (n, 2))
        arrays[f"x_{part}"] = np.concatenate([images[pair[:, 0]], images[pair[:, 1]]], axis=2)
        labels = np.zeros((n, 10), np.uint8)
        for own in digits.target[pair].T:
            labels[np.arange(n), own] = 1
        arrays[f"y_{part}"] = labels
    np.savez_compressed(folder / "pairs.npz", **arrays)
    return {"data": "pairs.npz", "target": "multilabel", "validation": 1000}


def of_bitnet(given, seed, **changes):
    """Return the validation and the test figure of the best epoch of a training."""
    experiment = Experiment(given | changes | {"seed": seed})
    for _ in experiment.epochs():
        pass
    return experiment.best["validation"], experiment.best["test"]


def of_sklearn(given, seed, lr, batch, alpha=1e-4):
    """Return the validation and the test figure of the best epoch of a scikit-learn MLP."""
    names = "data", "folder", "limit", "validation"
    split = read_data(*map((given | {"limit": 0}).get, names), target=given["target"])
    inputs = {name: x.reshape(len(x), -1).astype(float) for name, (x, _) in split.parts.items()}
    scaler = StandardScaler().fit(inputs["train"])
    inputs = {name: scaler.transform(x) for name, x in inputs.items()}
    labels = {name: y for name, (_, y) in split.parts.items()}
    regression = given["target"] == "regression"
    kind = MLPRegressor if regression else MLPClassifier
    options = {"learning_rate_init": lr, "batch_size": batch, "alpha": alpha}
    options |= {"random_state": np.random.RandomState(seed), "hidden_layer_sizes": HIDDEN}
    mlp, best = kind(**options), (-np.inf, 0.0)
    mean, std = labels["train"].mean(axis=0), labels["train"].std(axis=0)
    targets = ((labels["train"] - mean) / std).ravel() if regression else labels["train"]
    known = {} if regression else {"classes": np.arange(10)}
    for _ in range(given["epochs"]):
        mlp.partial_fit(inputs["train"], targets, **known)
        found = []
        for name in ("validation", "test"):
            y = mlp.predict(inputs[name])
            y = y[:, None] * std + mean if regression else y
            found.append((r2_score if regression else f1_score)(y, labels[name]))
        best = max(best, tuple(found), key=lambda figures: figures[0])
    return best


def linear(given):
    """Return the test figure of a linear model, for orientation."""
    names = "data", "folder"
    split = read_data(*map(given.get, names), target=given["target"])
    (x, y), (x_test, y_test) = (
        (own.reshape(len(own), -1).astype(float), labels)
        for own, labels in (split.train, split.test)
    )
    scaler = StandardScaler().fit(x)
    if given["target"] == "regression":
        return r2_score(
            Ridge().fit(scaler.transform(x), y).predict(scaler.transform(x_test)), y_test
        )
    model = OneVsRestClassifier(LogisticRegression(max_iter=1000)).fit(scaler.transform(x), y)
    return f1_score(model.predict(scaler.transform(x_test)), y_test)


def chosen(run, given, grid):
    """Return the settings of a grid that are best on the validation part."""
    points = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    means = [np.mean([run(given, seed, **point)[0] for seed in CHOOSING]) for point in points]
    return points[int(np.argmax(means))]


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, metavar="N")
    parser.add_argument("--quick", action="store_true", help="one point of the grid, two epochs")
    args = parser.parse_args()
    print(*machine.lines("scikit-learn"), "", sep="\n")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for title, write in (("diabetes", write_diabetes), ("pairs", write_pairs)):
            given = write(folder) | {"folder": name, "net": "mlp:64,64", "epochs": EPOCHS[title]}
            grid = {"lr": LR, "batch": BATCH[title]}
            if args.quick:
                grid, given["epochs"] = {key: values[:1] for key, values in grid.items()}, 2
            figure = "R^2" if given["target"] == "regression" else "F1"
            print(f"{title}: test {figure}, {args.seeds} seeds; linear model {linear(given):.3f}")
            runs = {title: (of_bitnet, grid, options) for title, options in BITS.items()}
            alphas = {"alpha": ALPHA[:1] if args.quick else ALPHA}
            runs["scikit-learn MLP"] = of_sklearn, grid | alphas, {}
            for contestant, (run, points, options) in runs.items():
                if run is of_bitnet:
                    own = given | options
                    best = chosen(of_bitnet, own, points)
                else:
                    own, best = given, chosen(of_sklearn, given, points)
                found = [run(own, seed, **best)[1] for seed in range(args.seeds)]
                settings = ", ".join(f"{key} {value:g}" for key, value in best.items())
                mean, std = np.mean(found), np.std(found)
                print(f"  {contestant:42} {mean:.3f} ± {std:.3f}   ({settings})", flush=True)
            print()


if __name__ == "__main__":
    main()
