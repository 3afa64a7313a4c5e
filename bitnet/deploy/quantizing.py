"""Quantizers of a traced model: thresholds of integers, edges of floats, or packed constants.

From the quantizer back to an integer, all operations must be monotone in each channel; then the
codes are steps of the integer, found by evaluating the model's own functions.
"""

import numpy as np

from bitnet.arrays import floats, to_cpu
from bitnet.deploy import products, shapes
from bitnet.deploy.sizes import INTEGERS
from bitnet.deploy.thresholds import are_steps, find_edges, find_thresholds, is_monotone_quantizer
from bitnet.deploy.traced import same
from bitnet.errors import InputError
from bitnet.kernels import Codebook
from bitnet.nn.functional.activations import HardTanh, PReLU, ReLU
from bitnet.nn.functional.arithmetic import (
    Add,
    Divide,
    Exp,
    Multiply,
    Negate,
    Sigmoid,
    Subtract,
    Tanh,
)
from bitnet.nn.functional.embedding import Embedding
from bitnet.nn.functional.norm import Normalize
from bitnet.nn.functional.pooling import Flatten, MaxPool2d
from bitnet.nn.functional.resizing import Upsample
from bitnet.nn.functional.scaled import QuantizeScaled
from bitnet.nn.functional.shapes import Reshape
from bitnet.nn.functional.ste import Sign

PAGE = "docs/own-functions.md"
EXACT = (Normalize, Add, Subtract, Multiply, Divide, Negate, ReLU, HardTanh, PReLU)
ROUNDED = (Exp, Tanh, Sigmoid)  # monotone up to rounding


def quantized(freezer, op):
    """Return the number of the node with the codes of a quantizer's operand.

    Max-pooling, Flatten and the lookup in a table commute with the quantizer, which comes first,
    so that they move bits.
    """
    codes, codebook = _codes_of(op)
    ref, moved = op.inputs[0], []
    while not freezer.is_constant(ref) and isinstance(ref, int) and _commutes(freezer, ref):
        moved.append(freezer.ops[ref])
        ref = moved[-1].inputs[0]
    if freezer.is_constant(ref):
        book = codebook or Codebook.uniform(1)
        planes = book.planes(codes(to_cpu(freezer.data(ref)[0])))
        number = freezer.weights(planes if codebook else planes.bits[0], codebook)
    else:
        number = _thresholds(freezer, ref, codes, codebook)
    if number is None:
        own = op.settings.get("quantizer"), op.settings.get("scale") or 1.0
        found = edges(freezer, *own, freezer.data(ref)[0].dtype)
        node = products.Quantize("quantize", (freezer.operand(ref),), found, codebook)
        number = freezer.add(node)
    for own in reversed(moved):
        if own.function is Embedding:
            operands = number, freezer.operand(own.inputs[1])
            node = shapes.Gather("gather", operands, name=freezer.name_of(own))
        elif own.function is Flatten:
            node = shapes.Flatten("flatten", (number,))
        elif own.function is Reshape:
            node = shapes.Reshape("reshape", (number,), freezer.shape(own))
        elif own.function is Upsample:
            node = shapes.Upsample("upsample", (number,), own.settings["factors"])
        else:
            node = shapes.Pool("maxpool", (number,), own.settings["window"])
        number = freezer.add(node)
    return number


def _commutes(freezer, ref):
    """Return whether an operation moves or compares elements without changing them."""
    if freezer.ops[ref].function is Reshape:
        return _keeps_channels(freezer, ref)
    op = freezer.ops[ref]
    if op.function is Embedding:
        return freezer.is_constant(op.inputs[0])
    is_float = freezer.data(ref)[0].dtype.kind == "f"
    return op.function in (Flatten, Upsample) or (op.function is MaxPool2d and is_float)


def _thresholds(freezer, ref, codes, codebook):
    """Return the number of a node of thresholds, or None if the codes are no steps of integers."""
    chain, kinds, shape = [], set(), freezer.data(ref)[0].shape
    while (kind := str(freezer.data(ref)[0].dtype)) not in INTEGERS:
        found = _monotone(freezer, ref, shape)
        if found is None:
            return None
        op, position, _ = found
        chain.append(found)
        kinds.add(op.function)
        ref = op.inputs[position]
    refused = isinstance(freezer.places.get(ref), InputError) or kind == "bool"
    if refused or freezer.data(ref)[0].shape != shape:
        return None
    shape = freezer.shape(ref)
    while isinstance(ref, int) and _keeps_channels(freezer, ref):
        ref = freezer.ops[ref].inputs[0]
    z = freezer.operand(ref)
    m, largest = freezer.values[z].shape[-1], freezer.values[z].largest
    if not isinstance(m, int) or largest >= 2**31 - 1:
        return None

    wide = np.int64 if kind == "int64" else np.int32

    def codes_of(x):
        x = x.astype(wide)
        for op, position, others in reversed(chain):
            x = op.applied(x, position, others)
        return codes(floats(x))

    ends = np.repeat(np.array([[-largest], [0], [largest]], wide), m, axis=1)
    for op, position, others in reversed(chain):
        ends = op.applied(ends, position, others)
        if np.isnan(ends).any():
            return None
    count = 1 if codebook is None else len(codebook) - 1
    steps, increasing = find_thresholds(codes_of, m, largest, count)
    if kinds - {*EXACT}:
        every = bool(kinds & {*ROUNDED})  # of a user's own function some integers must do
        if not are_steps(codes_of, m, largest, steps, increasing, every):
            return None
    steps = steps if codebook is None else steps.reshape(m, -1)
    name = next(filter(None, (freezer.name_of(op) for op, *_ in chain)), "")
    node = products.Threshold("thresholds", (z,), steps, increasing, codebook, name=name)
    number = freezer.add(node)
    if freezer.values[number].shape == shape:
        return number
    return freezer.add(shapes.Reshape("reshape", (number,), shape))


def _keeps_channels(freezer, ref):
    """Return whether an operation is a reshape that keeps the last axis."""
    op = freezer.ops[ref]
    if op.function is not Reshape or freezer.is_constant(ref):
        return False
    return freezer.shape(ref)[-1:] == freezer.shape(op.inputs[0])[-1:]


def _monotone(freezer, ref, shape):
    """Return a monotone operation, the position of its operand and the others; or None."""
    if not isinstance(ref, int) or freezer.data(ref)[0].shape != shape:
        return None
    op = freezer.ops[ref]
    known = op.function in EXACT + ROUNDED or getattr(op.function, "monotone", False)
    varying = [i for i, own in enumerate(op.inputs) if not freezer.is_constant(own)]
    if not known or len(varying) != 1 or (op.function is Divide and varying == [1]):
        return None
    others = []
    for i, own in enumerate(op.inputs):
        array = freezer.data(own)[0]
        if i in varying:
            continue
        if not same(*freezer.data(own)) or any(n > 1 for n in array.shape[:-1]):
            return None  # not one number for each channel
        others.append(to_cpu(array).reshape(array.shape[-1:]))
    if op.function is PReLU and (others[0] < 0).any():
        return None
    return op, varying[0], others


def edges(freezer, quantizer, scale, dtype):
    """Return the edges of a quantizer of floats; None stands for the sign."""
    if quantizer is None:
        return np.zeros(1, dtype)
    if dtype.kind != "f":
        came = f"the codes of {quantizer!r:.60} of {dtype}, whose range is not known"
        raise InputError(f"freeze: got {came}; expected floats, or int32 within its range")
    key = type(quantizer), quantizer.name, scale, str(dtype)
    if key not in freezer.known:
        steps, codes = len(quantizer.codebook) - 1, _scaled_codes(quantizer, scale)
        found = find_edges(codes, steps, dtype.type)
        fits = quantizer.elementwise and is_monotone_quantizer(codes, found, dtype.type)
        if not fits:
            came = f"{quantizer!r:.80}, whose codes are no increasing function of each number"
            raise InputError(f"freeze: got {came}; see {PAGE}")
        freezer.known[key] = found
    return freezer.known[key]


def _codes_of(op):
    """Return the function from floats to codes of an operation, and its codebook or None."""
    if op.function is Sign:
        return (lambda x: (x >= 0).astype(np.uint8)), None
    quantizer, scale = op.settings["quantizer"], op.settings.get("scale") or 1.0
    book = quantizer.codebook
    if op.function is QuantizeScaled:
        book = Codebook(book.patterns, book.coefficients, book.unit * scale, book.offset)
    return _scaled_codes(quantizer, scale), (None if book.is_sign else book)


def _scaled_codes(quantizer, scale):
    """Return the function from floats to the codes of x / scale."""
    if scale == 1.0:
        return quantizer.codes
    return lambda x: quantizer.codes(x / x.dtype.type(scale))
