"""Evaluate the file of a frozen net with NumPy, from docs/file-format.md alone, without bitnet.

Packed values are `Packed`: their integers, int64, and their codebook.  All other values are arrays.
"""

import ast
import dataclasses
import hashlib
import io
import json
import math
import zipfile

import numpy as np

UPPER = 4095, 2552550, 523783260, 41247931725, 1159525191825, 7905853580625
LOWER = 120120, 41351310, 5237832600, 252070693875, 3794809718700, 7905853580625
SIGNS = {"patterns": [0, 1], "coefficients": [1], "offset": 0, "unit": 1}
COMPARISONS = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}


@dataclasses.dataclass
class Packed:
    """Integers and the codebook that they belong to."""

    integers: np.ndarray
    book: dict


def read(path):
    """Return the header and the arrays of a file."""
    with open(path, "rb") as file:
        content = file.read()
    if hashlib.sha256(content[:-64]).hexdigest().encode() != content[-64:]:
        raise ValueError(f"{path}: the SHA-256 differs; expected an undamaged file")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        stored = {name.removesuffix(".npy"): archive.read(name) for name in archive.namelist()}
    arrays = {name: _array(own) for name, own in stored.items()}
    header = json.loads(arrays.pop("header").tobytes().decode())
    if (header["magic"], header["version"]) != ("bitnet", 2) or header.get("prepare"):
        raise ValueError(f"{path}: expected format 2, and inputs that need no preparation")
    return header, arrays


def _array(content):
    """Return the array of a `.npy` member."""
    begin = 10 + int.from_bytes(content[8:10], "little")
    about = ast.literal_eval(content[10:begin].decode().strip())
    return np.frombuffer(content, about["descr"], offset=begin).reshape(about["shape"])


def evaluate(path, *inputs):
    """Return the header of a file, and the value of each of its nodes for some inputs."""
    header, arrays = read(path)
    run = Run(header["nodes"], arrays, inputs)
    with np.errstate(all="ignore"):
        for i, node in enumerate(header["nodes"]):
            operands = [run.values[j] for j in node["inputs"]]
            value = getattr(run, node["kind"].replace(" ", "_"))(run.entries(i), *operands)
            run.values.append(value)
    return header, run.values


def bits_of(stored, n):
    """Return the first n bits of each row of bytes, as 0 and 1."""
    return np.unpackbits(np.ascontiguousarray(stored), axis=-1, count=n, bitorder="little")


def integers_of(codes, book):
    """Return the integers of codes."""
    table = [
        book["offset"] + sum(k if own >> p & 1 else -k for p, k in enumerate(book["coefficients"]))
        for own in book["patterns"]
    ]
    return Packed(np.array(table, np.int64)[codes], book)


def operand(x):
    """Return what a product takes as integers."""
    return x.integers if isinstance(x, Packed) else 2 * x.astype(np.int64) - 255


def promoted(*operands):
    """Return operands in the type of their result."""
    floats = [x.dtype for x in operands if x.dtype.kind == "f"]
    if floats:
        kind = max(floats, key=lambda dtype: dtype.itemsize)
    else:
        kind = np.int64 if any(x.dtype == np.int64 for x in operands) else np.int32
    return [x.astype(kind) for x in operands]


def as_floats(x):
    """Return integers as float32."""
    return x if x.dtype.kind == "f" else x.astype(np.float32)


def ordered_product(x, w):
    """Return x (R, N) times w (M, N), summed in order."""
    total = np.zeros((len(x), len(w)), x.dtype)
    for n in range(x.shape[1]):
        total = total + x[:, n, None] * w[None, :, n]
    return total


def ordered_sum(x, axes):
    """Return the sum over axes of floats, in the order of the halves."""
    rest = [axis for axis in range(x.ndim) if axis not in axes]
    shape = [x.shape[axis] for axis in rest]
    n = math.prod(x.shape[axis] for axis in axes)
    listed = x.transpose(*sorted(axes), *rest).reshape(n, *shape)
    if n == 0:
        return np.zeros(shape, x.dtype)
    listed = listed.copy()
    while n > 1:
        h = (n + 1) // 2
        listed[: n - h] = listed[: n - h] + listed[h:n]
        n = h
    return listed[0]


def taps(x, window, outside):
    """Yield the images of each tap of a window, in order: (B, H', W', C) each."""
    (above, below), (left, right) = window["padding"]
    (rows, columns), (down, across) = window["size"], window["stride"]
    lower, later = window.get("dilation", (1, 1))
    height, width = x.shape[1] + above + below, x.shape[2] + left + right
    wide = np.full((len(x), height, width, x.shape[3]), outside, x.dtype)
    wide[:, above : above + x.shape[1], left : left + x.shape[2]] = x
    extent = (rows - 1) * lower + 1, (columns - 1) * later + 1
    last = (height - extent[0]) // down * down + 1, (width - extent[1]) // across * across + 1
    for i in range(0, rows * lower, lower):
        for j in range(0, columns * later, later):
            yield wide[:, i : i + last[0] : down, j : j + last[1] : across]


def tanh(x):
    """Return Lambert's continued fraction in float32, the tanh of the library in float64."""
    if x.dtype == np.float64:
        return np.tanh(x)
    x = np.minimum(np.maximum(x, np.float32(-9)), np.float32(9))
    s, a, b = x * x, np.ones_like(x), np.full_like(x, 91)
    for k, m in zip(UPPER, LOWER, strict=True):
        a, b = a * s + np.float32(k), b * s + np.float32(m)
    return np.minimum(np.maximum((x * a) / b, np.float32(-1)), np.float32(1))


def logistic(x):
    half = x.dtype.type(0.5)
    return tanh(x * half) * half + half


class Run:
    """The values of the nodes of a net; each method computes those of one kind."""

    def __init__(self, nodes, arrays, inputs):
        self.nodes, self.inputs, self.sizes, self.values = nodes, iter(inputs), {}, []
        self.arrays = {}
        for name, array in arrays.items():
            number, _, own = name.partition(".")
            self.arrays.setdefault(int(number), {})[own] = array

    def entries(self, i):
        """Return the entries and arrays of a node."""
        return self.nodes[i] | self.arrays.get(i, {})

    def size(self, given):
        """Return a size of a shape."""
        parts = str(given).split("*")
        return math.prod(self.sizes[p] if p.isalpha() else int(p) for p in parts)

    # inputs and constants

    def given(self, n):
        x = next(self.inputs)
        assert x.ndim == len(n["shape"])
        for own, size in zip(n["shape"], x.shape, strict=True):
            expected = self.sizes.setdefault(own, size) if isinstance(own, str) else own
            assert expected == size
        return x

    def pixels(self, n):
        return self.given(n).astype(np.uint8)

    def signs(self, n):
        return Packed(self.given(n).astype(np.int64), SIGNS)

    def numbers(self, n):
        return self.given(n).astype(np.float32)

    def ids(self, n):
        return self.given(n).astype(np.int64)

    def weights(self, n):
        bits = bits_of(n["bits"], n["columns"]).astype(np.int64)
        if n["codebook"] is None:
            return Packed(2 * bits - 1, SIGNS)
        return integers_of(sum(plane << j for j, plane in enumerate(bits)), n["codebook"])

    def constant(self, n):
        return np.broadcast_to(n["array"], [self.size(own) for own in n["shape"]])

    # products and steps

    def planes(self, n, x):
        k = n["planes"]
        book = {"coefficients": [1 << b for b in range(k)], "offset": 0, "unit": 1}
        top = x.astype(np.int64) >> (8 - k)
        return Packed(2 * top - (2**k - 1), book | {"patterns": list(range(1 << k))})

    def linear(self, n, x, w):
        x = operand(x)
        return (x.reshape(-1, x.shape[-1]) @ w.integers.T).astype(np.int32)

    def conv(self, n, x, w):
        book = x.book if isinstance(x, Packed) else {"coefficients": [255], "offset": 0}
        border = n["window"]["border"]
        outside = border * sum(book["coefficients"]) + book["offset"] if border else 0
        total = 0
        filters = w.integers.reshape(len(w.integers), -1, w.integers.shape[3])
        for t, tap in enumerate(taps(operand(x), n["window"], outside)):
            parts = self.by_groups(n["groups"], tap, filters[:, t])
            total = total + np.concatenate([own @ f.T for own, f in parts], axis=3)
        return total.astype(np.int32)

    def by_groups(self, groups, x, filters):
        """Return the input channels and the filters of each group."""
        return zip(np.split(x, groups, axis=3), np.split(filters, groups), strict=True)

    def thresholds(self, n, z):
        steps = n["thresholds"].astype(np.int64)
        steps = steps.reshape(len(steps), -1)
        rising = bits_of(n["increasing"], len(steps)).astype(bool)[:, None]
        z = z.astype(np.int64)[..., None]
        codes = np.where(rising, z >= steps, z <= steps).sum(axis=-1)
        return integers_of(codes, n["codebook"] or SIGNS)

    def quantize(self, n, x):
        codes = sum(((x >= edge).astype(np.int64) for edge in n["edges"]), np.zeros(x.shape, int))
        return integers_of(codes, n["codebook"] or SIGNS)

    def rescale(self, n, z):
        kind = n["bias"].dtype.type
        return z.astype(kind) * kind(n["unit"]) + n["bias"]

    def unpack(self, n, x):
        kind = np.dtype(n["dtype"]).type
        return x.integers.astype(kind) * kind(x.book["unit"])

    # pooling

    def maxpool(self, n, x):
        if isinstance(x, Packed):
            return Packed(self.largest(n, x.integers), x.book)
        return self.largest(n, x)

    def largest(self, n, x):
        least = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
        found = None
        for tap in taps(x, n["window"], least):
            found = tap if found is None else np.where(tap > found, tap, found)
        return found

    def sumpool(self, n, x):
        x = x.integers if isinstance(x, Packed) else x.astype(np.int64)
        return sum(taps(x, n["window"], 0)).astype(np.int32)

    def avgpool(self, n, x):
        total = x.dtype.type(0)
        for tap in taps(x, n["window"], 0):
            total = total + tap
        return total / x.dtype.type(math.prod(n["window"]["size"]))

    # floats

    def affine(self, n, x):
        return ((x.astype(n["mean"].dtype) - n["mean"]) * n["scale"]) + n["shift"]

    def add(self, n, a, b):
        return np.add(*promoted(a, b))

    def subtract(self, n, a, b):
        return np.subtract(*promoted(a, b))

    def multiply(self, n, a, b):
        return np.multiply(*promoted(a, b))

    def divide(self, n, a, b):
        return np.divide(*map(as_floats, promoted(a, b)))

    def prelu(self, n, x, slope):
        x, slope = promoted(as_floats(x), slope)
        return np.where(x > 0, x, x * slope)

    def maximum(self, n, a, b):
        return np.maximum(*promoted(a, b))

    def minimum(self, n, a, b):
        return np.minimum(*promoted(a, b))

    def where(self, n, condition, a, b):
        return np.where(condition.astype(bool), *promoted(a, b))

    def negate(self, n, x):
        return -promoted(x)[0]

    def abs(self, n, x):
        return np.abs(promoted(x)[0])

    def relu(self, n, x):
        return np.where(x <= 0, x.dtype.type(0), x)

    def hardtanh(self, n, x):
        x = as_floats(x)
        return np.minimum(np.maximum(x, x.dtype.type(-1)), x.dtype.type(1))

    def exp(self, n, x):
        return np.exp(as_floats(x))

    def log(self, n, x):
        return np.log(as_floats(x))

    def tanh(self, n, x):
        return np.tanh(as_floats(x))

    def sigmoid(self, n, x):
        x = as_floats(x)
        return (np.tanh(x / x.dtype.type(2)) + x.dtype.type(1)) / x.dtype.type(2)

    def power(self, n, x):
        return as_floats(x) ** n["exponent"]

    def compare(self, n, x, *other):
        if other:
            return COMPARISONS[n["kind"]](x, other[0])
        number = x.dtype.type(n["number"]) if x.dtype.kind == "f" else n["number"]
        return COMPARISONS[n["kind"]](x, number)

    eq = ne = lt = le = gt = ge = compare

    def float_linear(self, n, x, w, bias):
        return ordered_product(x, w) + bias

    def float_conv(self, n, x, w, bias):
        total = x.dtype.type(0)
        filters = w.reshape(len(w), -1, w.shape[3])
        for t, tap in enumerate(taps(x, n["window"], n["window"]["border"])):
            groups = [*self.by_groups(n["groups"], tap, filters[:, t])]
            for c in range(w.shape[3]):
                parts = [own[..., c, None] * f[:, c] for own, f in groups]
                total = total + np.concatenate(parts, axis=3)
        return total + bias

    def mixed_linear(self, n, x, w):
        return ordered_product(x, self.unpack({"dtype": "float32"}, w))

    def mixed_conv(self, n, x, w):
        return self.float_conv(n, x, self.unpack({"dtype": "float32"}, w), np.float32(0))

    def matmul(self, n, a, b):
        a, b = promoted(a, b)
        if a.dtype.kind == "f":
            return ordered_product(a, b.T)
        return (a.astype(np.int64) @ b.astype(np.int64)).astype(a.dtype)

    def sum(self, n, x):
        if x.dtype.kind != "f":
            x = x.astype(np.int64)
            return x.sum(axis=tuple(n["axes"]), keepdims=n["keep"])
        return self.kept(n, x, ordered_sum(x, n["axes"]))

    def mean(self, n, x):
        x = as_floats(x)
        count = math.prod(x.shape[axis] for axis in n["axes"])
        return self.kept(n, x, ordered_sum(x, n["axes"]) / x.dtype.type(count))

    def kept(self, n, x, y):
        """Return a reduced array, with the reduced axes of size 1 if they are kept."""
        if not n["keep"]:
            return y
        return y.reshape([1 if i in n["axes"] else size for i, size in enumerate(x.shape)])

    def max(self, n, x):
        return x.max(axis=tuple(n["axes"]), keepdims=n["keep"])

    # shapes and tables

    def moved(self, x, function):
        """Return a value whose elements a function moves."""
        if isinstance(x, Packed):
            return Packed(function(x.integers), x.book)
        return function(x)

    def flatten(self, n, x):
        return self.moved(x, lambda own: own.reshape(len(own), math.prod(own.shape[1:])))

    def reshape(self, n, x):
        return self.moved(x, lambda own: own.reshape([self.size(size) for size in n["shape"]]))

    def upsample(self, n, x):
        down, right = n["factors"]
        return self.moved(x, lambda own: own.repeat(down, axis=1).repeat(right, axis=2))

    def transpose(self, n, x):
        return x.transpose(n["axes"])

    def concatenate(self, n, *parts):
        if isinstance(parts[0], Packed):
            return Packed(np.concatenate([x.integers for x in parts], axis=-1), parts[0].book)
        return np.concatenate(parts, axis=-1)

    def slice(self, n, x):
        named = {"...": Ellipsis, "new axis": None}
        index = [
            slice(*own["slice"]) if isinstance(own, dict) else named.get(own, own)
            for own in n["index"]
        ]
        return np.asarray(x[tuple(index)])

    def gather(self, n, table, ids):
        return self.moved(table, lambda own: own[ids])

    def select(self, n, x):
        return np.take(x, n["ids"], axis=n["axis"])

    def take(self, n, x, steps):
        return np.stack([x[step, b] for b, step in enumerate(steps)]) if len(steps) else x[0]

    # recurrent cells

    def product(self, n, h, weight):
        """Return the product of a state, in floats."""
        if isinstance(weight, Packed):
            p = self.quantize(n, h).integers @ weight.integers.T
            return p.astype(h.dtype) * h.dtype.type(n["unit"])
        return ordered_product(h, weight) * h.dtype.type(n["unit"])

    def rnn(self, n, z, weight, h):
        states = []
        for own in z:
            total = own + self.product(n, h, weight)
            h = np.where(total <= 0, h.dtype.type(0), total) if n["relu"] else tanh(total)
            states.append(h)
        return self.stacked(states, h)

    def lstm(self, n, z, weight, h, c):
        states = []
        for own in z:
            i, f, g, o = np.split(own + self.product(n, h, weight), 4, axis=1)
            c = logistic(f) * c + logistic(i) * tanh(g)
            h = logistic(o) * tanh(c)
            states.append(h)
        return self.stacked([*states, c], h)

    def gru(self, n, z, weight, h):
        states = []
        for own in z:
            r, u, m = np.split(own, 3, axis=1)
            r_state, u_state, m_state = np.split(self.product(n, h, weight), 3, axis=1)
            new = tanh(m + logistic(r + r_state) * m_state)
            h = new + logistic(u + u_state) * (h - new)
            states.append(h)
        return self.stacked(states, h)

    def stacked(self, states, h):
        """Return states as one array."""
        return np.stack(states) if states else np.zeros((0, *h.shape), h.dtype)
