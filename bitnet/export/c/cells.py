"""Recurrent cells in C: all steps of an RNN, LSTM or GRU."""

import numpy as np

from bitnet.deploy.cells import Cell
from bitnet.export.c.forms import forms_of, matrix_of
from bitnet.export.c.numbers import element, kind_of
from bitnet.export.c.printer import Place, need, printer
from bitnet.export.c.text import number
from bitnet.kernels import GATES

STEP = {
    "rnn": ["float z = own[k] + h_of[k];", "y[k] = F(z);"],
    "lstm": [
        "float i = net_logistic(own[k] + h_of[k]), f = net_logistic(own[k + M] + h_of[k + M]);",
        "float g = net_tanh(own[k + 2 * M] + h_of[k + 2 * M]);",
        "float o = net_logistic(own[k + 3 * M] + h_of[k + 3 * M]);",
        "float kept = f * c[k], added = i * g;",
        "c[k] = kept + added;",
        "y[k] = o * net_tanh(c[k]);",
    ],
    "gru": [
        "float r = net_logistic(own[k] + h_of[k]), u = net_logistic(own[k + M] + h_of[k + M]);",
        "float inner = r * h_of[k + 2 * M];",
        "float n = net_tanh(own[k + 2 * M] + inner), change = u * (h[k] - n);",
        "y[k] = n + change;",
    ],
}


@printer(Cell)
def cell(p, i, node):
    """Print the loop over the steps."""
    z, *states = [p.operand(j) for j in (node.inputs[0], *node.inputs[2:])]
    weights, y = p.graph.nodes[node.inputs[1]], p.result(i)
    need(kind_of(z) == y.kind == "float32", f"cells of {z.kind}")
    (steps, batch, _), units = p.shape(node.inputs[0]), y.shape[-1]
    gates = GATES[node.kind] * units
    p.use("tanh")
    product, c = p.scratch("floats", gates), p.scratch("floats", units)
    lines = ["int b, t, k;", f"for (b = 0; b < {batch}; b++) {{"]
    if node.kind == "lstm":
        lines += [f"for (k = 0; k < {units}; k++)", f"    {c}[k] = {_at(states[1], units)};"]
    first = p.scratch("floats", units)
    lines += [f"for (k = 0; k < {units}; k++)", f"    {first}[k] = {_at(states[0], units)};"]
    own = f"{z.at} + (t * {batch} + b) * {gates}"
    before = f"t ? {y.at} + ((t - 1) * {batch} + b) * {units} : {first}"
    lines += [f"for (t = 0; t < {steps}; t++) {{", f"const float *own = {own};"]
    lines += [f"const float *h = {before};", f"float *y = {y.at} + (t * {batch} + b) * {units};"]
    lines += [f"float *h_of = {product}, *c = {c};", "(void)c;"]
    lines += _product(p, i, node, weights, units, gates)
    function = "z > 0 ? z : 0" if node.relu else "net_tanh(z)"
    body = [own.replace("M]", f"{units}]").replace("F(z)", function) for own in STEP[node.kind]]
    lines += [f"for (k = 0; k < {units}; k++) {{", *body, "}", "}"]
    if node.kind == "lstm":
        last = f"({y.at})[({steps * batch} + b) * {units} + k] = {c}[k];"
        lines += [f"for (k = 0; k < {units}; k++)", f"    {last}"]
    p.add("{", *lines, "}", "}")
    return y


def _at(state, units):
    """Return the expression of unit k of the first state of sequence b."""
    return element(state, f"b * {units} + k" if state.shape[0] > 1 else "k")


def _product(p, i, node, weights, units, gates):
    """Return the statements of the product of the state, floats."""
    packed = getattr(weights, "packed", None)
    if packed is None:
        name = p.constant(f"net_w{i}", weights.array)
        p.use("float_rows")
        scaled = f"    h_of[k] = h_of[k] * {number(np.float32(node.unit))};"
        scaled = [] if node.unit == 1.0 else [f"for (k = 0; k < {gates}; k++)", scaled]
        return [f"net_float_rows(h, {units}, {name}, 0, {gates}, h_of);", *scaled]
    matrix, book = matrix_of(weights), node.codebook
    coefficients = ((1,), 0) if book is None else (book.coefficients, book.offset)
    x = Place("", "bits" if book is None else "planes", (1, units), *coefficients)
    memory = p.scratch("words", x.step)
    edges = p.constant(f"net_edges{i}", node.edges) if len(node.edges) else "0"
    patterns = "0"
    if book is not None:
        patterns = p.constant(f"net_patterns{i}", book.patterns.astype(np.uint32))
    p.use("quantize")
    (form,) = forms_of(p, x, matrix, False)
    weight, base = p.constant(f"net_w{i}", matrix.packed()), form.base.astype(np.int32)
    base = p.constant(f"net_b{i}", base)
    extra = ["int32_t extra;"] if matrix.offset else []
    value = f"(float)(NET_READ32S({base} + k) - {-form.factor} * v)"
    return [
        f"const uint32_t *x = {memory}, *weight = {weight};",
        *extra,
        f"net_quantize(h, {units}, {edges}, {len(node.edges)}, {patterns}, {x.planes}, {memory});",
        *form.setup,
        f"for (k = 0; k < {gates}; k++, weight += {matrix.planes * matrix.words}) {{",
        f"const int words = {matrix.words};",
        f"int32_t v = {form.row};",
        f"h_of[k] = {value} * {number(np.float32(node.unit))};",
        "}",
    ]
