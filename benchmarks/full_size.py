"""Accuracies on the full MNIST and Fashion-MNIST with 3 x 1024 units, 20 epochs, three seeds.

    BITNET_DATA=FOLDER python benchmarks/full_size.py

Runs `examples/mnist_mlp.py` for each data set and seed, one after the other, and prints the
mean and the standard deviation over the seeds as a table, with the machine and the versions.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

import machine

import bitnet

EXAMPLE = pathlib.Path(__file__).parent.parent / "examples" / "mnist_mlp.py"


def figures(data, seed, args, folder):
    """Train once and return the rows of the final table by the name of the net."""
    report = pathlib.Path(folder) / f"{data}-{seed}.json"
    words = ["--data", data, "--seed", seed, "--hidden", args.hidden, "--epochs", args.epochs]
    words += ["--out", report.with_suffix(".npz"), "--json", report]
    if args.threads:
        words += ["--threads", args.threads]
    if subprocess.run([sys.executable, EXAMPLE, *map(str, words)]).returncode:
        raise bitnet.InputError(f"the training on {data} with seed {seed} failed")
    return {row["net"]: row for row in json.loads(report.read_text())["rows"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add, count = parser.add_argument, machine.positive
    add("--data", nargs="+", default=["mnist", "fashion-mnist"], help="data sets")
    add("--seeds", type=count, default=3, help="number of seeds 0, 1, ... (default: 3)")
    add("--hidden", default="3x1024", help="hidden layers x units (default: 3x1024)")
    add("--epochs", type=count, default=20, help="epochs (default: 20)")
    add("--threads", type=count, help="threads of the BLAS (default: all cores)")
    args = parser.parse_args()
    table = []
    with tempfile.TemporaryDirectory() as folder:
        for data in args.data:
            runs = [figures(data, seed, args, folder) for seed in range(args.seeds)]
            for net in ("binary, frozen", "float twin"):
                shares = [run[net]["accuracy"] for run in runs]
                spread = statistics.stdev(shares) if len(shares) > 1 else 0.0
                each = ", ".join(f"{share:.2%}" for share in shares)
                table.append((data, net, f"{statistics.mean(shares):.2%}", f"{spread:.2%}", each))
    print("\n" + "; ".join(f"{name} {fact}" for name, fact in bitnet.show_versions()[:4]))
    print(f"{args.hidden}, {args.epochs} epochs")
    for row in (("data", "net", "mean", "std", "each seed"), *table):
        print("{:14} {:15} {:>8} {:>7}  {}".format(*row))


if __name__ == "__main__":
    bitnet.cli.run(main)
