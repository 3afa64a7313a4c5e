"""Nets whose C runs in many places, the compilers of this machine, and what has to be equal.

A `Case` has a net, options of `to_c`, and inputs one by one.  What C gives for an input must be
what Python gives, bit for bit: the integers of all products, the results and the class.
"""

import dataclasses
import functools
import importlib.util
import itertools
import math
import pathlib
import shutil
from typing import Any

import numpy as np
from own_modules import Shortcut
from processors import STRICT, UNSEEN, Header, zig
from strategies import disturb

import bitnet
from bitnet import nn
from bitnet.deploy.runtime import FrozenNet
from bitnet.deploy.sizes import at
from bitnet.export import to_c
from bitnet.export.c.header import FIRST
from bitnet.export.c.host import computed_in, in_c
from bitnet.export.c.ordering import ordered
from bitnet.kernels import pack

CONFORMANCE = pathlib.Path(__file__).parent / "conformance"
C99, GNU, CPP = "-std=c99", "-std=gnu11", "-std=c++11"
PLAIN = "-fno-sanitize=all", "-nostdlib"  # zig would add checks, and compile a C library
HOSTS = {
    "gcc -O0": (["gcc"], [C99, "-O0"]),
    "gcc -O2": (["gcc"], [C99, "-O2", "-ffp-contract=off"]),
    "gcc -O3": (["gcc"], [GNU, "-O3"]),
    "gcc -O3 native": (["gcc"], [GNU, "-O3", "-march=native"]),
    "g++ -O2": (["g++"], [CPP, "-O2"]),
    "g++ -O3 native": (["g++"], [CPP, "-O3", "-march=native"]),
    "clang -O0": (zig("cc"), [C99, "-O0", *PLAIN]),
    "clang -O2": (zig("cc"), [C99, "-O2", *PLAIN, "-ffp-contract=off"]),
    "clang -O3 native": (zig("cc"), [GNU, "-O3", "-march=native", *PLAIN]),
    "clang++ -O2": (zig("cc", "-x", "c++"), [CPP, "-O2", *PLAIN]),
}
COUNT = 4  # inputs of a case


@dataclasses.dataclass
class Case:
    """A net, options of `to_c`, and inputs, each a tuple of arrays with a batch of one."""

    net: Any
    options: dict[str, Any]
    inputs: list[tuple[Any, ...]]

    @functools.cached_property
    def reference(self):
        """The net whose results are those of C: with integer scores, one with these."""
        if self.options.get("scores") == "integer":
            return FrozenNet(ordered(self.net.graph)[0])
        return self.net

    @functools.cached_property
    def expected(self):
        """The integers, the results and the class (-1 without classes) for each input."""
        return [self._expected(own) for own in self.inputs]

    def _expected(self, inputs):
        net, integers = self.net, [np.zeros(0, np.int32)]
        for z, computed in zip(net.pre_activations(*inputs), computed_in(net), strict=True):
            own = z if computed is None else np.where(computed, z, UNSEEN)
            integers.append(own.astype(np.int32).ravel())
        results = self.reference.run(*inputs)
        alone = len(results) == 1 and net.target == "classification"
        best = int(net.run(*inputs)[0].reshape(-1).argmax()) if alone else -1
        return np.concatenate(integers), [np.asarray(own).ravel() for own in results], best

    @functools.cached_property
    def header(self):
        """The header, with the elements of its arguments."""
        graph, sizes = self.net.graph, {"B": 1, "T": self.options.get("steps", 1)}
        values = [own.value() for own in graph.inputs] + [graph.values[i] for i in graph.outputs]
        shapes = [at(own.shape, sizes) for own in values]
        for k, node in enumerate(graph.inputs):
            if node.kind == "signs":
                shapes[k] = (*shapes[k][:-1], -(-shapes[k][-1] // 32))
        return Header(to_c(self.net, "net", **self.options), "net", tuple(map(math.prod, shapes)))

    def arrays(self, inputs):
        """Return an input as C takes it."""
        given = self.net.check_inputs(*inputs)
        return [in_c(x, own[0]) for x, own in zip(given, self.header.arguments, strict=False)]


def assert_equal(found, expected, where):
    """Compare integers, results and class; integers that C need not compute may be there."""
    (z, results, best), (z_expected, results_expected, best_expected) = found, expected
    unneeded = z_expected == UNSEEN
    assert np.array_equal(np.where(unneeded, UNSEEN, z), z_expected), f"{where}: integers"
    assert len(results) == len(results_expected)
    for own, other in zip(results, results_expected, strict=True):
        assert same_bits(own, other.astype(own.dtype)), f"{where}: results"
    assert best == best_expected, f"{where}: class"


def same_bits(a, b):
    """Return whether arrays are equal bit for bit, each NaN like another."""
    numbers = a == a
    same = np.array_equal(numbers, b == b) and a.shape == b.shape and a.dtype == b.dtype
    return same and np.where(numbers, a, 0).tobytes() == np.where(numbers, b, 0).tobytes()


def missing(command):
    """Return why a compiler cannot run, or None."""
    name = command[2] if command[1:2] == ["-m"] else command[0]
    if importlib.util.find_spec(name) is None and shutil.which(name) is None:
        return f"{name} is not installed: see the extra embed, and the packages of the system"
    return None


def flags_of(host):
    """Return the flags of a host's compiler."""
    return [*STRICT, *HOSTS[host][1]]


def drawn(net, rng, count=COUNT):
    """Return inputs of a net that computes each row independently."""
    if net.input == "pixels":
        x = rng.integers(0, 256, (count, *net.shape), np.uint8)
        x[0], x[-1] = 0, 255
    else:
        x = rng.standard_normal((count, *net.shape)).astype(np.float32)
    rows = [x[k : k + 1] for k in range(count)]
    return [(pack(own),) for own in rows] if net.input == "signs" else [(own,) for own in rows]


def stored(name, **options):
    """Return a case of a conformance file."""
    net = bitnet.load(CONFORMANCE / f"{name}.npz")
    return Case(net, options, drawn(net, np.random.default_rng(0)))


def of(model, example=None, **options):
    """Return a case of a model whose batch norms have gammas of both signs and 0, and ties."""
    net = bitnet.freeze(disturb(model, 3), example)
    return Case(net, options, drawn(net, np.random.default_rng(4)))


def mlp(*sizes, before=(), weights=1, activations=1):
    """Return an MLP."""
    layers, rng = [*before], np.random.default_rng(7)
    for n, m in itertools.pairwise(sizes):
        layers += [nn.QuantLinear(n, m, weight_quantizer=weights, rng=rng), nn.BatchNorm(m)]
        layers.append(nn.Quantize(activations))
    return nn.Sequential(*layers[:-1])


def digits(**options):
    """Return a case of the MLP for digits on small processors."""
    return of(mlp(784, 32, 32, 32, 10), **options)


def digits_in_order():
    """Return a case of integers in place of scores, with slopes of both signs and 0."""
    model, rng = mlp(784, 32, 32, 32, 10), np.random.default_rng(9)
    disturb(nn.Sequential(*model.layers[:-1]), 3)
    last = model.layers[-1]
    last.gamma.assign(rng.normal(size=10).astype(np.float32) * (np.arange(10) != 4))
    last.beta.assign(rng.normal(size=10).astype(np.float32))
    last.running_mean[:] = rng.normal(0, 3, 10)
    net = bitnet.freeze(model)
    return Case(net, {"scores": "integer"}, drawn(net, np.random.default_rng(4)))


def planes(k, **options):
    """Return a case of the top k planes of pixels."""
    model = mlp(70, 33, 5, before=[nn.PixelPlanes(k)])
    return of(model, np.zeros((1, 70), np.uint8), **options)


def few_bits():
    """Return a case of 2-bit weights and activations."""
    return of(mlp(70, 33, 33, 5, weights=2, activations=2))


def signs():
    """Return a case of packed signs."""
    return of(mlp(70, 33, 5), pack(np.ones((1, 70))))


def shortcuts():
    """Return a case of a shortcut, and grouped, dilated and strided windows."""
    rng = np.random.default_rng(7)
    stem = nn.BinaryConv2d(1, 8, 3, stride=2, padding=1, rng=rng), nn.BatchNorm(8)
    body = nn.Sign(), nn.BinaryConv2d(8, 8, 3, padding=1, groups=2, rng=rng), nn.BatchNorm(8)
    wide = nn.Sign(), nn.BinaryConv2d(8, 12, 3, dilation=2, padding=2, rng=rng), nn.PReLU(12)
    end = nn.MaxPool2d(2), nn.BatchNorm(12), nn.Sign(), nn.Flatten()
    head = nn.BinaryLinear(12 * 16, 5, rng=rng), nn.BatchNorm(5)
    model = nn.Sequential(*stem, Shortcut(nn.Sequential(*body)), *wide, *end, *head)
    return of(model, np.zeros((1, 16, 16, 1), np.uint8))


def bireal():
    """Return a case of shortcuts of floats, with a float convolution at the start."""
    rng = np.random.default_rng(8)
    return of(nn.models.bireal((12, 12, 3), 4, rng=rng, width=4, convs=(2, 2)))


def sequence(name, steps):
    """Return a case of a conformance file of sequences."""
    net, rng, inputs = bitnet.load(CONFORMANCE / f"{name}.npz"), np.random.default_rng(5), []
    for _ in range(COUNT):
        if name == "lstm":
            states = (rng.integers(-32, 33, (2, 1, 9)) / 32).astype(np.float32)
            inputs.append((rng.integers(0, 7, (steps, 1)), *states))
        else:
            x = rng.standard_normal((steps, 1, 4)).astype(np.float32)
            inputs.append((x, rng.integers(0, steps, 1)))
    return Case(net, {"steps": steps}, inputs)


FILES = "mlp", "mlp_low_bit", "convnet", "residual", "float_stem", "decoder"
CASES = {
    **{name: functools.partial(stored, name) for name in FILES},
    **{f"digits {own}": functools.partial(digits, first=own) for own in FIRST},
    "mlp integer": functools.partial(stored, "mlp", scores="integer"),
    "digits integer": digits_in_order,
    **{f"{k} planes": functools.partial(planes, k) for k in (1, 2, 4)},
    "4 planes adds": functools.partial(planes, 4, first="adds"),
    "convnet tables": functools.partial(stored, "convnet", first="tables"),
    "convnet adds": functools.partial(stored, "convnet", first="adds"),
    "2 bits": few_bits,
    "signs": signs,
    "shortcuts": shortcuts,
    "bireal": bireal,
    **{f"lstm {steps}": functools.partial(sequence, "lstm", steps) for steps in (1, 5)},
    "sequences 5": functools.partial(sequence, "sequences", 5),
}


@functools.cache
def case(name):
    """Return a case by name."""
    return CASES[name]()
