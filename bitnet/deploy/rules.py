"""The frozen form of each Function: what becomes of one operation of a traced model.

A rule takes the freezer and the operation, and returns the number of a frozen node whose value
equals the operation's result.  `freezer.operands` gives the numbers of the frozen operands, and
`freezer.add` appends a node.  Operations on constants alone need no rule: their results are kept.
"""

import numpy as np

from bitnet.deploy import cells, floats, products, shapes
from bitnet.deploy.node import Node
from bitnet.deploy.quantizing import PAGE, quantized
from bitnet.deploy.quantizing import edges as edges_of
from bitnet.errors import InputError
from bitnet.kernels import BitPlanes, Bits
from bitnet.nn.functional.activations import HardTanh, PReLU, ReLU
from bitnet.nn.functional.arithmetic import (
    Abs,
    Add,
    Divide,
    Exp,
    Log,
    MatMul,
    Multiply,
    Negate,
    Power,
    Sigmoid,
    Subtract,
    Tanh,
)
from bitnet.nn.functional.comparisons import Compare
from bitnet.nn.functional.conv import Conv2d, QuantizedConv2d
from bitnet.nn.functional.embedding import Embedding
from bitnet.nn.functional.linear import Linear, QuantizedLinear
from bitnet.nn.functional.mixed import MixedConv2d, MixedLinear
from bitnet.nn.functional.norm import Normalize
from bitnet.nn.functional.pixels import PixelPlanes
from bitnet.nn.functional.pooling import AvgPool2d, Flatten, MaxPool2d, MaxPoolBits
from bitnet.nn.functional.recurrent import GRU, LSTM, RNN
from bitnet.nn.functional.resizing import Upsample
from bitnet.nn.functional.scaled import QuantizeScaled, ScaledLinear, unit_of
from bitnet.nn.functional.selection import Maximum, Minimum, Where
from bitnet.nn.functional.shapes import Concatenate, GetItem, Max, Mean, Reshape, Sum, Transpose
from bitnet.nn.functional.ste import Quantize, Sign, Unpack

ELEMENTWISE = {
    Add: "add",
    Subtract: "subtract",
    Multiply: "multiply",
    Divide: "divide",
    Negate: "negate",
    Abs: "abs",
    Exp: "exp",
    Log: "log",
    Tanh: "tanh",
    Sigmoid: "sigmoid",
    ReLU: "relu",
    HardTanh: "hardtanh",
    PReLU: "prelu",
    MatMul: "matmul",
    Maximum: "maximum",
    Minimum: "minimum",
    Where: "where",
    Concatenate: "concatenate",
    Linear: "float linear",
    MixedLinear: "mixed linear",
    Embedding: "gather",
}
REDUCTIONS = {Sum: "sum", Mean: "mean", Max: "max"}
POOLS = {MaxPool2d: "maxpool", MaxPoolBits: "maxpool", AvgPool2d: "sumpool"}
CELLS = {RNN: "rnn", LSTM: "lstm", GRU: "gru"}
QUANTIZERS = (Sign, Quantize, QuantizeScaled)
CLASSES: dict[str, type[Node]] = floats.KINDS | shapes.KINDS

# of constants alone, or in training only
WITHOUT = {
    "ArgMax": "the class of the largest score, which the net's predict returns",
    "AP2": "it rounds parameters, which are constant",
    "Balance": "it balances latent weights, which are constant",
    "BatchNorm": "only in training",
    "BatchNormSign": "only in training",
    "CodeShiftBatchNorm": "only in training",
    **dict.fromkeys(("BinaryCrossEntropy", "CrossEntropy", "SoftCrossEntropy"), "a loss"),
    **dict.fromkeys(("Huber", "SquaredHinge"), "a loss"),
    "Dropout": "only in training",
    "IntegerBatchNorm": "only in training",
    "ShiftBatchNorm": "only in training",
    "StochasticSign": "only in training",
}


def frozen(freezer, op):
    """Return the number of the frozen node with the result of an operation."""
    if op.function in RULES:
        return RULES[op.function](freezer, op)
    if op.function in ELEMENTWISE:
        kind = ELEMENTWISE[op.function]
        return freezer.add(CLASSES[kind](kind, freezer.operands(op), name=freezer.name_of(op)))
    reason = WITHOUT.get(op.name)
    why = f"which has no frozen form: {reason}" if reason else "which has no frozen form"
    raise InputError(
        f"freeze: the model computes {op.name} of {freezer.described(op)}, {why}; compute it "
        f"with functions of bitnet.nn.functional, or see {PAGE}"
    )


def _product(freezer, op):
    z = products.Linear("linear", freezer.operands(op), name=freezer.name_of(op))
    return freezer.add(z)


def _convolution(freezer, op):
    own = op.settings["window"], op.settings["groups"]
    kind, node = "conv", products.Conv
    if op.function is not QuantizedConv2d:
        names = {Conv2d: "float conv", MixedConv2d: "mixed conv"}
        kind, node = names[op.function], CLASSES[names[op.function]]
    return freezer.add(node(kind, freezer.operands(op), *own, name=freezer.name_of(op)))


def _scaled_product(freezer, op):
    x, weight, bias = op.inputs
    name, bias = freezer.name_of(op), freezer.fixed(op, bias)
    unit = unit_of(freezer.data(x)[0]) * unit_of(freezer.data(weight)[0])
    operands = freezer.operand(x), freezer.operand(weight)
    z = freezer.add(products.Linear("linear", operands, name=name))
    y = freezer.add(products.Rescale("rescale", (z,), unit, bias, name=name))
    shape = freezer.shape(op)
    return y if len(shape) == 2 else freezer.add(shapes.Reshape("reshape", (y,), shape))


def _normalize(freezer, op):
    x, gamma, beta = op.inputs
    gamma, beta = freezer.fixed(op, gamma), freezer.fixed(op, beta)
    arrays = freezer.copied(op.settings["mean"]), gamma * freezer.copied(op.settings["inv_std"])
    operands = (freezer.operand(x),)
    return freezer.add(floats.Affine("affine", operands, *arrays, beta, name=freezer.name_of(op)))


def _reduce(freezer, op):
    axis, n = op.settings["axis"], len(freezer.shape(op.inputs[0]))
    axes = range(n) if axis is None else np.atleast_1d(axis).tolist()
    axes = tuple(sorted(own % n for own in axes))
    own = axes, bool(op.settings["keepdims"])
    return freezer.add(floats.Reduce(REDUCTIONS[op.function], freezer.operands(op), *own))


def _pool(freezer, op):
    (x,), kind = freezer.operands(op), POOLS[op.function]
    if kind == "sumpool" and freezer.values[x].is_float:
        kind = "avgpool"
    return freezer.add(shapes.Pool(kind, (x,), op.settings["window"]))


def _flatten(freezer, op):
    operands = freezer.operands(op)
    if len(freezer.shape(op.inputs[0])) == 2:
        return operands[0]
    return freezer.add(shapes.Flatten("flatten", operands))


def _reshape(freezer, op):
    """A reshape; several in a row are one, and none if the first shape comes back."""
    (x,), shape = freezer.operands(op), freezer.shape(op)
    while isinstance(freezer.nodes[x], shapes.Reshape):
        (x,) = freezer.nodes[x].inputs
    if freezer.values[x].shape == shape:
        return x
    return freezer.add(shapes.Reshape("reshape", (x,), shape))


def _upsample(freezer, op):
    return freezer.add(shapes.Upsample("upsample", freezer.operands(op), op.settings["factors"]))


def _transpose(freezer, op):
    axes, n = op.settings["axes"], len(freezer.shape(op))
    axes = tuple(int(axis) for axis in axes) or tuple(reversed(range(n)))
    return freezer.add(shapes.Transpose("transpose", freezer.operands(op), axes))


def _power(freezer, op):
    operands = freezer.operands(op)
    return freezer.add(floats.Power("power", operands, op.settings["exponent"]))


def _unpack(freezer, op):
    dtype = str(np.dtype(op.settings["dtype"]))
    return freezer.add(products.Unpack("unpack", freezer.operands(op), dtype))


def _planes(freezer, op):
    return freezer.add(products.TopPlanes("planes", freezer.operands(op), op.settings["planes"]))


def _compare(freezer, op):
    number, operands = op.settings["number"], freezer.operands(op)
    number = None if number is None else np.asarray(number).item()
    return freezer.add(floats.Compare(op.settings["comparison"], operands, number))


def _get_item(freezer, op):
    """Slices and integers; rows at constant indices; or one step of each sequence."""
    index, x = op.settings["index"], op.inputs[0]
    index = index if isinstance(index, tuple) else (index,)
    if any(op.settings["tensors"]) or freezer.is_arange(op, 1):
        if op.settings["tensors"] in ((True, False), (True,)) and freezer.is_arange(op, 1):
            return freezer.add(shapes.Take("take", freezer.operands(op)))
        expected = "x[steps, numpy.arange(B)] of x (T, B, N)"
        raise InputError(f"freeze: an index that depends on the inputs; expected {expected}")
    arrays = [i for i, part in enumerate(index) if isinstance(part, (np.ndarray, list))]
    if not arrays:
        parts = tuple(int(p) if isinstance(p, (int, np.integer)) else p for p in index)
        return freezer.add(shapes.Slice("slice", (freezer.operand(x),), parts))
    n = len(freezer.shape(x))
    if ... in index:  # the axes that ... stands for
        where = index.index(...)
        index = (*index[:where], *[slice(None)] * (n - len(index) + 1), *index[where + 1 :])
        arrays = [i for i, part in enumerate(index) if isinstance(part, (np.ndarray, list))]
    at = np.asarray(index[arrays[0]])
    rest = [part for i, part in enumerate(index) if i != arrays[0]]
    if len(arrays) > 1 or at.ndim != 1 or any(part != slice(None) for part in rest):
        came = f"the index {op.settings['index']!r:.80}"
        raise InputError(f"freeze: got {came}; expected slices, or one list among full slices")
    if at.dtype == np.bool_:
        at = np.flatnonzero(at)
    ids = at.astype(np.int64) % np.int64(max(freezer.data(x)[0].shape[arrays[0]], 1))
    return freezer.add(shapes.Select("select", (freezer.operand(x),), arrays[0], ids))


def _cell(freezer, op):
    kind, (z, weight, *states) = CELLS[op.function], op.inputs
    quantizer, packed = op.settings["few_bits"][0], freezer.data(weight)[0]
    dtype = freezer.data(z)[0].dtype
    unit, edges, codebook = 1.0, np.zeros(0, dtype), None
    if isinstance(packed, (Bits, BitPlanes)):
        unit = quantizer.codebook.unit * unit_of(packed)
        codebook = None if quantizer.codebook.is_sign else quantizer.codebook
        edges = edges_of(freezer, quantizer, 1.0, dtype)
    operands = [freezer.operand(ref) for ref in (z, weight, *states)]
    own = bool(op.settings.get("relu", False)), float(unit), edges, codebook
    return freezer.add(cells.Cell(kind, tuple(operands), *own, name=freezer.name_of(op)))


RULES = dict.fromkeys(QUANTIZERS, quantized) | dict.fromkeys(REDUCTIONS, _reduce)
RULES |= dict.fromkeys(POOLS, _pool) | dict.fromkeys(CELLS, _cell)
RULES |= {QuantizedLinear: _product, ScaledLinear: _scaled_product}
RULES |= dict.fromkeys((QuantizedConv2d, Conv2d, MixedConv2d), _convolution)
RULES |= {Normalize: _normalize, Power: _power, Unpack: _unpack}
RULES |= {Reshape: _reshape, Transpose: _transpose, GetItem: _get_item}
RULES |= {Flatten: _flatten, Upsample: _upsample, Compare: _compare, PixelPlanes: _planes}
