"""Write a function, an activation and a quantizer of your own, train a net with them, freeze it.

    python examples/own_function.py            12 epochs on the embedded digits, half a minute
    python examples/own_function.py --quick    one epoch

A Function freezes if it is monotone before a quantizer, or if its method `frozen` says which
functions of bitnet compute the same numbers.  A Quantizer freezes as it is.
"""

import argparse
import dataclasses

import numpy as np

import bitnet
from bitnet import nn
from bitnet.cli import report, run
from bitnet.kernels import Codebook
from bitnet.nn import functional
from bitnet.quantizers import Quantizer


class Cube(bitnet.Function):
    """x^3.  It increases, so before a quantizer it disappears into integer thresholds."""

    monotone = True

    def forward(self, x):
        self.x = x
        return x * x * x

    def backward(self, grad_y):
        return grad_y * 3 * self.x * self.x


class SoftSign(bitnet.Function):
    """x / (1 + |x|).  Frozen nets compute it with the same operations in the same order."""

    def forward(self, x):
        self.below = abs(x) + np.float32(1)
        return x / self.below

    def backward(self, grad_y):
        return grad_y / (self.below * self.below)

    def frozen(self, x):
        return x / (abs(x) + 1)


@dataclasses.dataclass(frozen=True)
class ThreeLevels(Quantizer):
    """-1 below -edge, 0 up to edge, +1 above it; the surrogate is the hard tanh."""

    edge: float = 0.5
    bits, word, formula = 2, "three-levels", "-1, 0 or +1"
    edges = (-1.0, 1.0)  # where gradients pass

    def codes(self, x):
        """Return the codes 0, 1 and 2, uint8."""
        edge = x.dtype.type(self.edge)
        return (x >= -edge).astype(np.uint8) + (x > edge)

    def _codebook(self):
        """Return the values -1, 0 and 1: half the sum of two planes."""
        return Codebook(patterns=[0b00, 0b01, 0b11], coefficients=[1, 1], unit=0.5)


class Net(nn.Module):
    """784 pixels, 256 units of three levels, 64 float units, 10 scores."""

    def __init__(self, rng):
        self.first, self.norm = nn.BinaryLinear(784, 256, rng=rng), nn.BatchNorm(256)
        self.second, self.last_norm = nn.BinaryLinear(256, 64, rng=rng), nn.BatchNorm(64)
        self.head = nn.Linear(64, 10, rng=rng)

    def forward(self, x):
        y = Cube()(self.norm(self.first(x)))
        y = functional.quantize(y, ThreeLevels())
        return self.head(SoftSign()(self.last_norm(self.second(y))))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one epoch on 2000 images")
    quick = parser.parse_args().quick
    data, rng = bitnet.load_dataset("embedded"), np.random.default_rng(0)
    data = data.first(2000, 500) if quick else data
    images, labels = data.train_images.reshape(-1, 784), data.train_labels
    test_images = data.test_images.reshape(-1, 784)

    model = Net(rng)
    adam = bitnet.optim.Adam(model.parameters(), 1e-3)
    for epoch in range(1 if quick else 12):
        model.train()
        for rows in np.array_split(rng.permutation(len(images)), len(images) // 100):
            adam.zero_grad()
            loss = functional.cross_entropy(model(images[rows]), labels[rows])
            loss.backward()
            adam.step()
        with bitnet.no_grad():
            hits = model.eval()(test_images).numpy().argmax(axis=1) == data.test_labels
        print(f"epoch {epoch + 1}: loss {loss:.3f}, {hits.mean():.2%} of the test images")

    net = bitnet.freeze(model, images[:1])
    print(net, "with the nodes", ", ".join(node.kind for node in net.graph.nodes))
    agreement = bitnet.compare(model, net, test_images)
    report.check_complete(agreement)
    print(f"frozen: all {agreement.integers} integers and all scores are equal")


if __name__ == "__main__":
    run(main)
