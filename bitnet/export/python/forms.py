"""The nodes of a frozen graph as lines of Python, which call the functions of predictor.txt."""

import math
import textwrap
from collections.abc import Callable

import numpy as np

from bitnet.arrays import to_cpu
from bitnet.deploy import cells, floats, products, sources
from bitnet.deploy.sizes import FLOATS, INTEGERS, total
from bitnet.errors import InputError
from bitnet.kernels import BitPlanes

FORMS: dict[type, Callable[..., str]] = {}
SIGNS = (1,), (0, 1)  # the coefficients of planes, and patterns
ELEMENTWISE = {
    **{name: name for name in ("add", "subtract", "multiply", "divide", "prelu")},
    **{name: name for name in ("maximum", "minimum", "negate", "relu", "hardtanh")},
    "abs": "absolute",
}
COMPARISONS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
WIDTH = 100


def form(*kinds):
    """Return a decorator that enters a function in `FORMS`."""

    def enter(function):
        FORMS.update(dict.fromkeys(kinds, function))
        return function

    return enter


def arguments(shape):
    """Return a shape as arguments; B and T are variables."""
    return ", ".join(map(str, shape))


def wrapped(line):
    """Return a line, on several ones if it is long."""
    return textwrap.wrap(line, WIDTH - 4, subsequent_indent="    ", break_long_words=False)


class Nodes:
    """The lines of the nodes of a graph, and of the constants that they read."""

    def __init__(self, graph):
        self.graph, self.constants, self.content, self.lines = graph, {}, [], []
        self.books = []
        for i, node in enumerate(graph.nodes):
            self.books.append(self._book(graph.values[i], [self.books[j] for j in node.inputs]))
        for i, node in enumerate(graph.nodes):
            if isinstance(node, (sources.Weights, sources.Constant)):
                continue
            if graph.values[i].kind not in (*INTEGERS, "float32", "bits", "planes"):
                raise self.refused(i)
            text = FORMS[type(node)](self, i, node) if type(node) in FORMS else ""
            if not text:
                raise self.refused(i)
            self.lines += wrapped(f"v{i} = {text}")
        self.results = [self.operand(i) for i in graph.outputs]
        kinds = products.Linear, products.Conv
        self.integers = [f"v{i}" for i, own in enumerate(graph.nodes) if isinstance(own, kinds)]

    def refused(self, i):
        """Return the InputError for a node without a form."""
        return InputError(
            f"{self.graph.title(i)}: it has no form in Python; use bitnet.load for this net"
        )

    def _book(self, value, operands):
        """Return the codebook of a packed value, with the patterns of all packed operands."""
        if not value.is_packed:
            return None
        coefficients, patterns = book_of(value.codebook)
        for other in operands:
            patterns += () if other is None else other[1]
        return coefficients, tuple(dict.fromkeys(patterns))

    def constant(self, text, *arrays):
        """Return the name of a constant: a call that reads the bytes of arrays, in this order."""
        key = text, b"".join(np.ascontiguousarray(own).tobytes() for own in arrays)
        if key not in self.constants:
            self.constants[key] = f"C{len(self.constants)}"
            self.content.append(key[1])
        return self.constants[key]

    def reads(self):
        """Return the lines of the constants."""
        lines = [f"{name} = {text}" for (text, _), name in self.constants.items()]
        return [row for line in lines for row in wrapped(line)]

    def book(self, coefficients, patterns):
        """Return the name of a codebook."""
        own = range(patterns[0], patterns[0] + len(patterns))
        text = own if patterns == (*own,) else [*patterns]
        return self.constant(f"book({coefficients}, {text})")

    def reading(self, node, group=slice(None)):
        """Return a call that reads packed weights, and their bytes."""
        packed, coefficients = to_cpu(node.packed), SIGNS[0]
        bits = packed.bits if isinstance(packed, BitPlanes) else packed
        planes = (bits.signs() > 0).reshape(-1, len(packed), math.prod(packed.shape[1:]))[:, group]
        if isinstance(packed, BitPlanes):
            coefficients = packed.coefficients
            if packed.offset:  # one more plane, of ones
                coefficients += (packed.offset,)
                planes = np.concatenate([planes, np.ones_like(planes[:1])])
        sizes = arguments([*planes.shape[1:], *map(int, coefficients)])
        return f"read_weights({sizes})", np.packbits(planes, axis=-1, bitorder="little")

    def operand(self, i):
        """Return a value as an expression."""
        node = self.graph.nodes[i]
        if isinstance(node, sources.Weights):
            text, content = self.reading(node)
            name = self.constant(f"unpacked({text})", content)
            shape = self.graph.values[i].shape
            return name if len(shape) == 2 else f"reshape({name}, {arguments(shape)})"
        if not isinstance(node, sources.Constant):
            return f"v{i}"
        array = to_cpu(node.array)
        if array.dtype.kind != "f":
            values = f"{array.shape}, {array.ravel().tolist()}, False"
            name = self.constant(f"made({values})")
        elif array.dtype == np.float32:
            name = self.constant(f"read_floats({arguments(array.shape)})", array.astype("<f4"))
        else:
            raise self.refused(i)
        return name if node.is_fixed else f"repeated({name}, {arguments(node.shape)})"

    def as_float(self, i):
        """Return a value as an expression, integers as floats."""
        text = self.operand(i)
        return text if self.graph.values[i].kind in FLOATS else f"floats({text})"

    def operands(self, i):
        """Return the operands of a node in its type, repeated along inner axes of size 1."""
        value, found = self.graph.values[i], []
        for j in self.graph.nodes[i].inputs:
            text = self.as_float(j) if value.kind in FLOATS else self.operand(j)
            shape = self.graph.values[j].shape
            if shape != value.shape[len(value.shape) - len(shape) :]:
                text = f"repeated({text}, {arguments(value.shape)})"
            found.append(text)
        return found

    def floats(self, array):
        """Return the name of an array of float32."""
        return self.constant(f"read_floats({arguments(array.shape)})", to_cpu(array).astype("<f4"))

    def edges(self, edges):
        """Return the name of the edges of a quantizer, as the limits of one unit."""
        limits = to_cpu(edges) if len(edges) else np.array([np.nan])  # which no number reaches
        one = np.ones(1, np.int8)
        return self.constant(f'read_limits(1, {len(limits)}, "f")', one, limits.astype("<f4"))

    def packed_weights(self, i, j, groups, pixels):
        """Return the names of the packed weights of each group, for node i."""
        node, names = self.graph.nodes[j], []
        if not isinstance(node, sources.Weights):
            raise self.refused(i)
        for group in grouped(len(node.packed), groups):
            text, content = self.reading(node, group)
            names.append(self.constant(f"with_bytes({text})" if pixels else text, content))
        return names

    def float_weights(self, i, j, groups=1):
        """Return the names of the float weights (M / groups, N) of each group, for node i."""
        node, names = self.graph.nodes[j], []
        for group in grouped(self.graph.values[j].shape[0], groups):
            if isinstance(node, sources.Weights):
                text, content = self.reading(node, group)
                unit = float32(1.0 if node.codebook is None else node.codebook.unit)
                text = f"each(multiply, floats(unpacked({text})), {unit})"
                names.append(self.constant(text, content))
            elif isinstance(node, sources.Constant) and node.is_fixed:
                array = to_cpu(node.array)[group]
                names.append(self.floats(array.reshape(len(array), -1)))
            else:
                raise self.refused(i)
        return names

    def integer_product(self, i):
        """Return the codebook of an operand of products, or None, and the function."""
        if self.books[i] is None:
            return "None", "product_of_pixels"
        return self.book(*self.books[i]), "product_of_bits"


def book_of(codebook):
    """Return the coefficients and patterns of a codebook, with a plane of ones for its offset."""
    if codebook is None:
        return SIGNS
    coefficients, patterns = codebook.coefficients, codebook.patterns.tolist()
    if codebook.offset:
        patterns = [p | 1 << len(coefficients) for p in patterns]
        coefficients += (codebook.offset,)
    return coefficients, tuple(patterns)


def grouped(n, groups):
    """Return the slices of each group of n outputs."""
    return [slice(g * n // groups, (g + 1) * n // groups) for g in range(groups)]


def float32(number):
    """Return a number, rounded to float32, as text."""
    return repr(float(np.float32(number)))


def window_of(window):
    """Return a window as a tuple of numbers."""
    before = [own[0] for own in window.padding]
    return str((*window.size, *window.stride, *before, *window.dilation))


def each_group(p, i, x, groups, text):
    """Return a call for each group of channels of x, side by side; text(x, group, shape)."""
    (b, h, w, m), c = p.graph.values[i].shape, p.graph.values[x].shape[-1] // groups
    shape, own = f"({arguments((b, h, w, m // groups))})", p.operand(x)
    if groups == 1:
        return text(own, 0, shape)
    parts = [text(f"columns({own}, {g * c}, {g * c + c})", g, shape) for g in range(groups)]
    return f"concatenate({', '.join(parts)})"


@form(sources.Input, sources.Ids)
def enter(p, i, node):
    """Return an input."""
    given = sum(isinstance(other, sources.Input) for other in p.graph.nodes[:i])
    return f"entered(x{given}, {kind_of(node)}, {arguments(node.shape)})"


def kind_of(node):
    """Return the description of an input."""
    return f"ids({node.below})" if isinstance(node, sources.Ids) else node.kind


@form(products.TopPlanes)
def planes(p, i, node):
    """Return the top planes of pixels."""
    return f"top_planes({p.operand(node.inputs[0])}, {node.planes})"


@form(products.Linear)
def linear(p, i, node):
    """Return a product of integers."""
    x, w = node.inputs
    book, product = p.integer_product(x)
    (weights,) = p.packed_weights(i, w, 1, book == "None")
    return f"linear({p.operand(x)}, {weights}, {book}, {product})"


@form(products.Conv)
def conv(p, i, node):
    """Return a convolution of integers."""
    x, w = node.inputs
    (book, product), border = p.integer_product(x), node.window.border
    outside = outside_of(p.graph.values[x], border)
    weights = p.packed_weights(i, w, node.groups, book == "None")
    own = f"{window_of(node.window)}, {book}, {product}, {outside}"
    text = lambda x, g, shape: f"conv({x}, {weights[g]}, {shape}, {own})"  # noqa: E731
    return each_group(p, i, x, node.groups, text)


def outside_of(value, border):
    """Return the integer beyond images and its pattern; that of 0 is None."""
    if not border:
        return 0, None
    if not value.is_packed:
        return 255 * border, int(border > 0)
    (coefficients, _), codebook = book_of(value.codebook), value.codebook
    offset = 0 if codebook is None else codebook.offset
    ones = (1 << len(coefficients)) - 1
    pattern = ones if border > 0 else (1 << len(coefficients) - 1 if offset else 0)
    signs = [2 * (pattern >> b & 1) - 1 for b in range(len(coefficients))]
    return sum(s * k for s, k in zip(signs, coefficients, strict=True)), pattern


@form(products.Rescale)
def rescale(p, i, node):
    """Return integers as floats."""
    z = p.operand(node.inputs[0])
    return f"rescale({z}, {float32(node.unit)}, {p.floats(node.bias)})"


@form(products.Threshold)
def thresholds(p, i, node):
    """Return the codes of integers."""
    limits = to_cpu(node.thresholds).reshape(len(node.increasing), -1)
    signs = np.where(to_cpu(node.increasing), 1, -1).astype(np.int8)
    limits = (limits * signs[:, None]).astype("<i4")
    name = p.constant(f'read_limits({arguments(limits.shape)}, "i")', signs, limits)
    return f"steps({p.operand(node.inputs[0])}, {name}, {p.book(*book_of(node.codebook))})"


@form(products.Quantize)
def quantize(p, i, node):
    """Return the codes of floats."""
    x, book = p.operand(node.inputs[0]), p.book(*book_of(node.codebook))
    return f"steps({x}, {p.edges(node.edges)}, {book})"


@form(products.Unpack)
def unpack(p, i, node):
    """Return packed values as floats."""
    codebook = p.graph.values[node.inputs[0]].codebook
    unit = float32(1.0 if codebook is None else codebook.unit)
    return f"each(multiply, floats({p.operand(node.inputs[0])}), {unit})"


@form(floats.Binary, floats.Unary)
def elementwise(p, i, node):
    """Return an operation on each element; operands with inner axes of size 1 are repeated."""
    if node.kind not in ELEMENTWISE:
        return ""
    return f"each({ELEMENTWISE[node.kind]}, {', '.join(p.operands(i))})"


@form(floats.Compare)
def compare(p, i, node):
    """Return 1 where a comparison holds, otherwise 0."""
    operands, number = p.operands(i), node.number
    if number is not None:
        is_float = p.graph.values[node.inputs[0]].kind in FLOATS
        operands.append(float32(number) if is_float else repr(number))
    return f"compared(lambda a, b: a {COMPARISONS[node.kind]} b, {', '.join(operands)})"


@form(floats.Where)
def where(p, i, node):
    """Return the elements of one operand or the other."""
    return f"each(pick, {', '.join(p.operands(i))})"


@form(floats.Reduce)
def reduce(p, i, node):
    """Return the sum, mean or maximum over axes, which become the first ones."""
    (x,), value = node.inputs, p.graph.values[i]
    shape, is_mean = p.graph.values[x].shape, node.kind == "mean"
    axes = [*node.axes, *(k for k in range(len(shape)) if k not in node.axes)]
    text = p.as_float(x) if is_mean else p.operand(x)
    text = text if axes == sorted(axes) else f"transposed({text}, {arguments(axes)})"
    n = total([shape[axis] for axis in node.axes])
    function = "maximum" if node.kind == "max" else "add"
    more = f", {arguments(value.shape)}" if value.shape else ""
    text = f"reduced({function}, {text}, {n}{more})"
    return f"each(divide, {text}, 1.0 * {n})" if is_mean else text


@form(floats.Affine)
def affine(p, i, node):
    """Return the map of each channel."""
    own = ", ".join(p.floats(array) for array in (node.mean, node.scale, node.shift))
    return f"affine({p.operand(node.inputs[0])}, {own})"


@form(floats.FloatLinear, floats.MixedLinear)
def float_linear(p, i, node):
    """Return a product of floats, with its bias."""
    (weights,) = p.float_weights(i, node.inputs[1])
    return biased(p, node, f"float_linear({p.operand(node.inputs[0])}, {weights})")


def biased(p, node, text):
    """Return a product of floats plus its bias, if there is one."""
    more = node.inputs[2:]
    return f"each(add, {text}, {p.operand(more[0])})" if more else text


@form(floats.FloatConv, floats.MixedConv)
def float_conv(p, i, node):
    """Return a convolution of floats, with its bias."""
    weights = p.float_weights(i, node.inputs[1], node.groups)
    own = f"{window_of(node.window)}, {float(node.window.border)}"
    text = lambda x, g, shape: f"float_conv({x}, {weights[g]}, {shape}, {own})"  # noqa: E731
    return biased(p, node, each_group(p, i, node.inputs[0], node.groups, text))


@form(cells.Cell)
def cell(p, i, node):
    """Return the states of a recurrent cell."""
    z, w, *states = node.inputs
    kind = "relu_rnn" if node.relu else node.kind
    if isinstance(p.graph.nodes[w], sources.Weights):
        (weights,) = p.packed_weights(i, w, 1, False)
        book = p.book(*book_of(node.codebook))
        product = f"linear(steps(h, {p.edges(node.edges)}, {book}), {weights}, {book}"
        product += ", product_of_bits)"
    else:
        product = f"float_linear(h, {p.float_weights(i, w)[0]})"
    more = ", ".join(map(p.operand, states))
    return f"recurrent({kind}, lambda h: {product}, {p.operand(z)}, {float32(node.unit)}, {more})"
