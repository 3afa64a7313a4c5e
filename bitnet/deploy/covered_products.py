"""The operations of products and of what turns numbers into codes; see `operations`."""

import dataclasses
import importlib

import numpy as np

from bitnet.deploy import floats, products
from bitnet.deploy.covered_images import channels, joined, patches, pooled, surround, taps
from bitnet.deploy.operations import PANEL, VECTOR, maker, need
from bitnet.deploy.sources import Constant, Weights
from bitnet.kernels import Bits, Thresholds, pack

BITS_PER_NS = 1000  # products of single bits, approximate
BYTES_PER_NS, FLOATS_PER_NS, STEPS_PER_NS = 200, 25, 50
PIXELS = tuple(1 << b for b in range(8))  # the coefficients of their planes
FEW, MANY = 1, 2  # outputs, see `program`


def in_vectors(rows):
    """Return rows with zeros after them, up to whole vectors."""
    return np.pad(rows, ((0, 0), (0, -rows.shape[1] % VECTOR)))


def _planes(weights):
    """Return the factor and the signs of each plane of BitPlanes; their offset is one of ones."""
    planes = [(c, weights.bits[p]) for p, c in enumerate(weights.coefficients)]
    if weights.offset:
        planes.append((weights.offset, pack(np.ones(weights.shape, np.float32))))
    return planes


@dataclasses.dataclass
class _Product:
    """A product of the values of a place with signs.

    inside (classes, taps): the taps that count, for each class of outputs; of: the class of each
    output, or None if there is one.  columns: the outputs and taps in the table.
    """

    x: object
    sizes: tuple
    inside: np.ndarray
    of: np.ndarray | None
    columns: dict

    @property
    def is_pixels(self):
        """Whether the operand is bytes."""
        return not self.x.coefficients


def _sums(bits):
    """Return the sums of the weights of each tap, (M, taps)."""
    ones = np.bitwise_count(bits.words).sum(axis=-1, dtype=np.int64)
    return (2 * ones - bits.shape[-1]).reshape(len(bits), -1)


def _masks(bits):
    """Return signs (M, N) in the order of `bytes_product`."""
    signs = bits.signs() > 0
    m, n = signs.shape
    padded = np.zeros((PANEL * -(-m // PANEL), 4 * -(-n // 4)), np.bool_)
    padded[:m, :n] = signs
    fours = padded.reshape(-1, 2, PANEL // 2, padded.shape[1] // 4, 4)
    return np.packbits(fours.transpose(0, 3, 1, 2, 4).reshape(-1), bitorder="little")


def _append(self, own, bits, y, steps=None):
    """Append a product whose results are integers, or signs by thresholds."""
    xnor = importlib.import_module("bitnet.kernels.cpu.xnor")
    sums, x = _sums(bits), own.x
    m, n = len(bits), bits.size // len(bits)
    outside = (1 - own.inside) @ sums.T  # (classes, M)
    coefficients, offset = (PIXELS, 0) if own.is_pixels else (x.coefficients, x.offset)
    largest = sum(coefficients)
    bases = largest * (n + outside) + offset * (own.inside @ sums.T)
    rows = _as_rows(bits) if own.is_pixels else bits
    words = np.ascontiguousarray(rows.words).reshape(m, -1)
    panels = np.zeros((-(-m // PANEL), words.shape[1], PANEL), np.uint64)
    xnor.make_panels(words, panels)
    kind = "integers" if steps is None else "signs"

    def tables(bases):
        if steps is None:
            table = np.zeros((len(bases), PANEL * len(panels)), np.int32)
            table[:, :m] = bases
            return {"second": self.constant(table)}, 4 * PANEL * len(panels)
        limits, flips = xnor.limits_of(steps, bases)
        own = {"second": self.constant(limits), "third": self.constant(flips)}
        return own, 8 * PANEL * len(panels)

    def entered(operation, x, bases, **columns):
        table, step = tables(bases)
        if own.of is not None:
            table |= {"of": self.constant(own.of.astype(np.int64) * step), "of_step": 8}
        self.row(operation, x, y, **own.columns | {"count": len(panels)} | table | columns)

    if own.is_pixels:
        bytes_x = self.aligned_bytes(x)
        masks = {"first": self.constant(_masks(rows)), "words": -(-n // 4), "when": MANY}
        entered(f"byte {kind}", bytes_x, 255 * (outside - sums.sum(axis=1)), **masks)
        x = self.split(bytes_x, PIXELS, when=FEW)
    weights = {"first": self.constant(panels), "words": own.columns.get("words", x.words)}
    weights |= {"when": FEW if own.is_pixels else 0}
    if own.is_pixels or not x.is_signs:
        weights |= {"factors": self.constant(np.array(coefficients, np.int64))}
        weights |= {"planes": len(coefficients)}
        kind = f"plane {kind}"
    entered(kind, x, bases, **weights)
    return y


def _all(self, i, parts):
    """Append the product of each group, and the pooling and thresholds that follow alone."""
    for own, bits in parts:
        per_ns = BYTES_PER_NS if own.is_pixels else BITS_PER_NS / len(own.x.coefficients)
        count = own.sizes[0] * own.sizes[1] * (1 if isinstance(bits, Bits) else len(_planes(bits)))
        work_ns = count * bits.size / per_ns
        self.work_ns += work_ns
        self.bytes_ns += work_ns if own.is_pixels and own.of is None else 0  # see `pays`
    if not isinstance(bits, Bits):
        return joined(self, [_of_planes(self, *part) for part in parts])
    graph, reader = self.graph, None if i is None else _only_reader(self, i)
    pool = reader if reader and graph.nodes[reader].kind == "maxpool" else None
    last = _only_reader(self, pool) if pool else reader
    node = graph.nodes[last] if last else None
    if not isinstance(node, products.Threshold) or node.codebook is not None:
        return joined(self, [_append(self, *part, self.numbers(part[0].sizes)) for part in parts])
    found, at = [], 0
    for own, bits in parts:
        some = slice(at, at + len(bits))
        steps = Thresholds(node.thresholds[some], node.increasing[some])
        found.append(_append(self, own, bits, self.packed(own.sizes), steps))
        at += len(bits)
    y = joined(self, found)
    if pool:
        self.places[pool] = y  # which nothing else reads
        falling = pack(~node.increasing).words
        y = pooled(self, self.sizes(pool), graph.nodes[pool].window, y, falling)
    self.places[last] = y
    return y


def _of_planes(self, own, bits):
    """Append the sum of the products with the planes of weights."""
    z = self.numbers(own.sizes)
    for at, (factor, plane) in enumerate(_planes(bits)):
        y = _append(self, own, plane, self.numbers(own.sizes))
        self.row("accumulate", y, z, words=z.vectors, number=factor, count=at)
    return z


def _only_reader(self, i):
    """Return the only node that reads a value, or None."""
    readers = self.graph.readers[i]
    return readers[0] if len(readers) == 1 and readers[0] >= 0 else None


@maker(products.Linear)
def linear(self, i, node):
    """Multiply packed values or pixels with packed weights."""
    j, weights = node.inputs[0], self.graph.nodes[node.inputs[1]]
    need(isinstance(weights, Weights), "weights that are computed")
    return linear_of(self, self.operand(j, "bits", "planes", "uint8"), weights.packed, i)


def linear_of(self, x, bits, i=None):
    """Multiply packed values or pixels with packed weights."""
    need(x.positions == 1, "positions")
    own = {"lines": 0, "taps": 1}
    own = _Product(x, (1, 1, len(bits)), np.ones((1, 1), np.int64), None, own)
    return _all(self, i, [(own, bits)])


@maker(products.Conv)
def conv(self, i, node):
    """Convolve packed images, which are surrounded first, or pixels, whose patches are copied."""
    j, weights = node.inputs[0], self.graph.nodes[node.inputs[1]]
    need(isinstance(weights, Weights), "weights that are computed")
    x, window = self.operand(j, "bits", "planes", "uint8"), node.window
    (lines, wide, m), (inside, of) = self.sizes(i), window.classes(x.lines, x.wide)
    inside, sizes = (inside | bool(window.border)).astype(np.int64), (lines, wide, m // node.groups)
    parts = []
    for filters, own in zip(
        _filters(weights.packed, node.groups), channels(self, x, node.groups), strict=True
    ):
        if own.coefficients:
            ones = pack(np.ones(own.n, np.float32)).words
            fill = ones if window.border == 1 else 0 * ones
            if window.dilation[1] == 1:
                own = surround(self, own, window, fill, fill.nbytes)
                columns = taps(own, window) | {"words": window.size[1] * own.words}
            else:
                own, columns = patches(self, own, window, sizes, fill), {"taps": 1}
        else:
            fill = np.full(own.n, 255 if window.border == 1 else 0, np.uint8)
            own, columns = patches(self, own, window, sizes, fill), {"taps": 1}
        parts.append((_Product(own, sizes, inside, of, columns), filters))
    return _all(self, i, parts)


def _filters(weights, groups):
    """Return the filters of each group."""
    n = weights.shape[0] // groups
    parts = [slice(g * n, g * n + n) for g in range(groups)]
    if isinstance(weights, Bits):
        return [weights[part] for part in parts]
    return [weights.with_bits(weights.bits[:, part]) for part in parts]


def _as_rows(bits):
    """Return filters (M, rows, columns, C), or rows already, as rows (M, N)."""
    return pack(bits.signs().reshape(len(bits), -1)) if len(bits.shape) > 2 else bits


@maker(products.TopPlanes)
def top_planes(self, i, node):
    """Split pixels into their top planes."""
    return self.split(self.operand(node.inputs[0], "uint8"), PIXELS[: node.planes])


@maker(products.Threshold)
def threshold(self, i, node):
    """Compare integers with thresholds; those of decreasing units as complements."""
    z = self.numbers_of(node.inputs[0], "int32", "uint8")
    flips = np.where(node.increasing, 0, -1).astype(np.int32)
    steps = node.thresholds.reshape(z.n, -1) ^ flips[:, None]
    own = {"first": self.constant(in_vectors(steps.T)), "second": self.constant(flips)}
    return _codes(self, "rank", z, node.codebook, steps.shape[1], own)


@maker(products.Quantize)
def quantize(self, i, node):
    """Compare floats with edges."""
    return quantized(self, self.operand(node.inputs[0], "float32"), node.edges, node.codebook)


def quantized(self, x, edges, codebook):
    """Compare floats with edges."""
    need(edges.dtype == np.float32, "float64")
    own = {"first": self.constant(edges)}
    return _codes(self, "reach", x, codebook, len(edges), own)


def _codes(self, operation, x, codebook, n_steps, own):
    """Turn numbers into patterns, in bytes, and these into planes."""
    sizes = x.lines, x.wide, x.n
    y = self.packed(sizes, codebook)
    self.work_ns += x.positions * x.n * n_steps / STEPS_PER_NS
    patterns = np.arange(2) if codebook is None else codebook.patterns
    patterns = (patterns << (8 - len(y.coefficients))).astype(np.uint8)
    changes = np.append(patterns[:1], patterns[1:] ^ patterns[:-1])
    own |= {"n": x.n, "count": n_steps, "third": self.constant(changes)}
    codes = self.row(operation, x, self.bytes(sizes), **own)
    return self.split(codes, y.coefficients, y)


@maker(products.Rescale)
def rescale(self, i, node):
    """Compute `z * unit + bias`."""
    need(node.bias.dtype == np.float32, "float64")
    x = self.operand(node.inputs[0], "int32")
    own = {"first": self.constant(np.float32([node.unit])), "second": self.constant(node.bias)}
    return self.row("rescale", x, self.numbers(self.sizes(i)), words=x.vectors, **own)


@maker(products.Unpack)
def unpack(self, i, node):
    """Compute the numbers of planes."""
    need(node.dtype == "float32", "float64")
    x = self.operand(node.inputs[0], "bits", "planes")
    z = self.integers(x)
    z = self.row("convert", z, z, words=z.vectors)
    return self.combine("multiply", z, first=self.constant(np.full(z.n, x.unit, np.float32)))


@maker(floats.FloatLinear, floats.MixedLinear)
def float_linear(self, i, node):
    """Multiply floats with float weights, or with the numbers of packed ones."""
    weight, bias = _float_weights(self, node)
    return weighed(self, self.operand(node.inputs[0], "float32"), self.sizes(i), weight, bias)


@maker(floats.FloatConv, floats.MixedConv)
def float_conv(self, i, node):
    """Convolve floats with filters, as products of their patches."""
    weight, bias = _float_weights(self, node)
    x, (lines, wide, m) = self.operand(node.inputs[0], "float32"), self.sizes(i)
    sizes, found = (lines, wide, m // node.groups), []
    each = np.split(weight, node.groups), np.split(np.broadcast_to(bias, (m,)), node.groups)
    for own, *arrays in zip(channels(self, x, node.groups), *each, strict=True):
        border = np.full(own.n, node.window.border, np.float32)
        rows = patches(self, own, node.window, sizes, border)
        found.append(weighed(self, rows, sizes, *arrays))
    return joined(self, found)


def _float_weights(self, node):
    """Return float weights and a bias that are constant."""
    if isinstance(weights := self.graph.nodes[node.inputs[1]], Weights):
        return floats.numbers_of(weights.packed), np.float32([-0.0])  # which changes no sum
    need(len(node.inputs) > 2, "weights that are computed")
    weight, bias = (self.graph.nodes[j] for j in node.inputs[1:])
    constant = isinstance(weight, Constant) and isinstance(bias, Constant)
    need(constant and weight.array.dtype == bias.array.dtype == np.float32, "other weights")
    return weight.constant, bias.array


def weighed(self, x, sizes, weight, bias):
    """Append the ordered product of floats with weights (M, ...), plus a bias."""
    across = in_vectors(floats.across(weight))
    self.work_ns += x.positions * across.size / FLOATS_PER_NS
    own = {"first": self.constant(across)}
    own |= {"second": self.constant(np.broadcast_to(bias, (len(weight),)))}
    y = self.numbers(sizes)
    return self.row("weigh", x, y, n=len(across), words=y.vectors, **own)
