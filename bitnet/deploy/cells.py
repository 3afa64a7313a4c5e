"""Nodes of recurrent cells: all steps of an RNN, LSTM or GRU over a sequence (T, B, ...)."""

import dataclasses

from bitnet import kernels
from bitnet.arrays import array_module, is_array
from bitnet.deploy.floats import across
from bitnet.deploy.node import MACS, Book, Flag, FloatArray, Node, Number
from bitnet.deploy.products import check_edges, quantized
from bitnet.deploy.sizes import Value, elements
from bitnet.errors import InputError
from bitnet.kernels import GATES


@dataclasses.dataclass(frozen=True)
class Cell(Node):
    """The states of all steps; of an LSTM also the last cell, after them.

    Operands: the products of the inputs (T, B, G H), the weights of the states (G H, H), the first
    state (B, H), and for an LSTM the first cell.  With packed weights the state is quantized before
    each product.
    """

    relu: Flag = False  # of an RNN; otherwise tanh
    unit: Number = 1.0  # the value of the integer 1 in a product of the states
    edges: FloatArray = None  # of the quantizer of the states; empty with float weights
    codebook: Book = None

    arity = (3, 4)

    def value(self, z, weight, *states):
        units = states[0].shape[-1]
        height = GATES[self.kind] * units if isinstance(units, int) else None
        first = (z.shape[1], units) if len(z.shape) == 3 else None
        fits = z.is_float and [own.shape for own in states] == [first] * len(states)
        fits = fits and {own.kind for own in states} == {z.kind}
        if not fits or len(states) != 1 + (self.kind == "lstm") or z.shape[2] != height:
            expected = f"floats (T, B, {GATES[self.kind]}H), weights and states (B, H)"
            raise self.unlike(expected, z, weight, *states)
        packed = weight.is_packed
        if weight.shape != (height, units) or (not packed and weight.kind != z.kind):
            raise self.unlike(f"weights ({height}, {units})", z, weight, *states)
        check_edges(self.edges, self.codebook)
        if str(self.edges.dtype) != z.kind or (len(self.edges) and not packed):
            came = f"edges {self.edges.dtype} of shape {self.edges.shape}"
            raise InputError(f"{came}; expected {z.kind}, and none with float weights")
        if packed:
            largest = 1 if self.codebook is None else self.codebook.largest
            Value((1,), "int32", units * largest * weight.largest)
        steps = z.shape[0]
        if self.kind == "lstm":  # the last cell follows the states
            steps = steps + 1
        return Value((steps, *first), z.kind, by_row=False)

    def work(self, value, z, weight, *states):
        return elements(z.shape) + elements(weight.shape) // MACS

    def laid(self, weight):
        """Return float weights in the order of the product."""
        return across(weight) if is_array(weight) else weight

    def run(self, sizes, z, weight, h, *cell):
        """Return the states, floats (T, B, H) or (T + 1, B, H)."""
        xp, n_steps = array_module(z), len(z)
        z, is_lstm = z.copy(), self.kind == "lstm"  # the cells write the gates into z
        states = xp.empty((n_steps + 1 + is_lstm, *h.shape), z.dtype)
        states[0] = h
        c = cell[0].copy() if is_lstm else xp.empty_like(states[0])
        for t in range(n_steps):
            own = z[t], self._product(states[t], weight), self.unit
            if is_lstm:
                kernels.cells.lstm_step(*own, c, c, states[t + 1])
            elif self.kind == "gru":
                kernels.cells.gru_step(*own, states[t], c, states[t + 1])
            else:
                kernels.cells.rnn_step(*own, self.relu, states[t + 1])
        if is_lstm:
            states[-1] = c
        return states[1:]

    def _product(self, h, weight):
        """Return the product of a state with the weights."""
        if hasattr(weight, "layouts"):
            return kernels.plane_gemm(quantized(h, self.edges, self.codebook), weight)
        return kernels.ordered_gemm(h, weight, None)


KINDS = dict.fromkeys(GATES, Cell)
