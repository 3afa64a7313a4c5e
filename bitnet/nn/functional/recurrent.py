"""Recurrent layers over a sequence, with hand-written backpropagation through time.

T steps, a batch of B sequences, N inputs, H units.  One product before the loop multiplies the
inputs of all steps; the loop multiplies one state per step; after the loop, one product each gives
the gradients of both weights and of the inputs.  With k bits all these products use integers; the
gates, the elementwise products and the LSTM's cell stay floats (as in He et al., arXiv 1611.10176;
the second paper does not specify this).
"""

import math
from typing import Any

import numpy as np

from bitnet import kernels
from bitnet.arrays import array_module
from bitnet.autograd import Function, Tensor, TensorLike, as_tensor
from bitnet.autograd.tensor import is_evaluating
from bitnet.errors import InputError, unfit
from bitnet.kernels import GATES, BitPlanes, Bits
from bitnet.nn.functional.linear import GRADIENTS, check_gradient_rule, linear, rounded
from bitnet.nn.functional.products import blas_product, matrix_product
from bitnet.nn.functional.scaled import product, scaled_linear, unit_of
from bitnet.nn.functional.shapes import reshape
from bitnet.quantizers import Quantizer


class FloatStates:
    """Float states and weights."""

    unit = 1.0

    def __init__(self, weight, batch, dtype):
        self.weight, xp = weight, array_module(weight)
        self.across = xp.ascontiguousarray(weight.T)  # few rows are multiplied faster so
        self.room = xp.empty((batch, len(weight)), dtype)

    def product(self, h):
        """h @ weight.T; overwritten by the next one."""
        if is_evaluating():
            return matrix_product(h, self.across)
        return blas_product(h, self.across, out=self.room)

    def start(self, h):
        """Start backpropagation over the states h (T, B, H)."""

    def back(self, grad, t):
        """Return the gradient of the state before step t, from that of its product."""
        return blas_product(grad, self.weight)

    def grad_format(self, grads, h):
        """Return the gradient of the weights from those of all products (T, B, M) and states."""
        n_rows = math.prod(grads.shape[:2])
        rows = grads.reshape(n_rows, grads.shape[2])
        return blas_product(rows.T, h.reshape(n_rows, h.shape[2]))


class FewBitStates:
    """k-bit weights, and a state that is quantized at each step."""

    def __init__(self, weight, quantizer, rule, rng):
        self.weight = weight if weight.layouts else kernels.prepare(weight)
        self.quantizer = quantizer
        self.rule, self.rng = rule, rng
        self.unit = quantizer.codebook.unit * unit_of(weight)
        self.codes = []

    def product(self, h):
        """Return the integers of q(h) times those of weight.T, int32."""
        codebook = self.quantizer.codebook
        states = codebook.planes(self.quantizer.codes(h))
        self.codes.append(states.bits.words)
        return kernels.plane_gemm(states, self.weight)

    def start(self, h):
        """Start backpropagation over the states h (T, B, H): save where gradients pass."""
        self.slopes = self.quantizer.slope(h)
        self.slopes *= h.dtype.type(self.weight.unit)

    def back(self, grad, t):
        """Return the gradient of the state before step t, from that of its product."""
        y = kernels.signed_gemm(rounded(grad, self.rule, self.rng), self.weight)
        y = y.astype(grad.dtype, copy=False)
        y *= self.slopes[t]
        return y

    def grad_format(self, grads, h):
        """Return the gradient of the weights from those of all products (T, B, M) and states."""
        codebook, n_rows = self.quantizer.codebook, math.prod(grads.shape[:2])
        words = array_module(h).stack(self.codes, axis=1)  # (P, T, B, K)
        bits = Bits(words, (*words.shape[:3], h.shape[2]))
        states = kernels.merge_rows(
            BitPlanes(bits, codebook.coefficients, 1.0, codebook.offset, codebook.unit)
        )
        grad = rounded(grads.reshape(n_rows, grads.shape[2]).T, self.rule, self.rng)
        return product(grad, states)


class _Recurrent(Function):
    """The base of the recurrent operations: state products, numbers of gates and states."""

    _takes_bits = True
    n_states = 1

    def __init__(self, *few_bits):
        self.few_bits = few_bits

    def begin(self, z, weight, h, more=0):
        """Return the states (T + 1 + more, B, H), of which the first one is h."""
        n_steps, batch, _ = z.shape
        if isinstance(weight, BitPlanes):
            self.states = FewBitStates(weight, *self.few_bits)
        else:
            self.states = FloatStates(weight, batch, z.dtype)
        self.h = array_module(z).empty((n_steps + 1 + more, *h.shape), z.dtype)
        self.h[0] = h
        return self.h

    def back(self, grad, t):
        """Return the gradient of the state before step t; for t = 0 only if it is needed."""
        return self.states.back(grad, t) if t or self.needs_grad[2] else 0


class RNN(_Recurrent):
    """h = f(z + q(h) @ weight.T) for each z; overwrites z."""

    def __init__(self, *few_bits, relu):
        super().__init__(*few_bits)
        self.relu = relu

    def forward(self, z, weight, h):  # (T, B, H), (H, H), (B, H)
        h = self.begin(z, weight, h)
        for t in range(len(z)):
            product = self.states.product(h[t])
            kernels.cells.rnn_step(z[t], product, self.states.unit, self.relu, h[t + 1])
        return h[1:]

    def backward(self, grad_y):
        h, n_steps, xp = self.h, len(grad_y), array_module(grad_y)
        grad_y = xp.ascontiguousarray(grad_y)
        self.states.start(h[:n_steps])
        grad_z, grad_h = xp.empty_like(h[1:]), 0
        for t in reversed(range(n_steps)):
            kernels.cells.rnn_back(h[t + 1], grad_h + grad_y[t], self.relu, grad_z[t])
            grad_h = self.back(grad_z[t], t)
        return grad_z, self.states.grad_format(grad_z, h[:n_steps]), grad_h


class LSTM(_Recurrent):
    """Gates from z + q(h) @ weight.T, stored in z; the states of all steps and the last cell."""

    n_states = 2

    def forward(self, z, weight, before, cell):  # (T, B, 4H), (4H, H), (B, H), (B, H)
        h, n_steps = self.begin(z, weight, before, more=1), len(z)
        self.gates, self.c = z, array_module(z).empty((n_steps + 1, *cell.shape), z.dtype)
        c = self.c
        c[0] = cell
        for t in range(n_steps):
            product = self.states.product(h[t])
            kernels.cells.lstm_step(z[t], product, self.states.unit, c[t], c[t + 1], h[t + 1])
        h[-1] = c[-1]
        return h[1:]

    def backward(self, grad_y):
        h, c, n_steps = self.h, self.c, len(self.gates)
        self.states.start(h[:n_steps])
        xp = array_module(h)
        grad_y = xp.ascontiguousarray(grad_y)
        grad_z, grad_c, grad_h = xp.empty_like(self.gates), grad_y[-1].copy(), 0
        for t in reversed(range(n_steps)):
            grad_h = grad_h + grad_y[t]
            kernels.cells.lstm_back(self.gates[t], c[t], c[t + 1], grad_h, grad_c, grad_z[t])
            grad_h = self.back(grad_z[t], t)
        return grad_z, self.states.grad_format(grad_z, h[:n_steps]), grad_h, grad_c


class GRU(_Recurrent):
    """Gates from z and q(h) @ weight.T, stored in z; the states of all steps."""

    def forward(self, z, weight, before):  # (T, B, 3H), (3H, H), (B, H)
        h = self.begin(z, weight, before)
        self.gates, self.inner = z, array_module(h).empty_like(h[1:])
        for t in range(len(z)):
            product = self.states.product(h[t])
            kernels.cells.gru_step(z[t], product, self.states.unit, h[t], self.inner[t], h[t + 1])
        return h[1:]

    def backward(self, grad_y):
        h, n_steps, xp = self.h, len(grad_y), array_module(grad_y)
        grad_y = xp.ascontiguousarray(grad_y)
        self.states.start(h[:n_steps])
        grad_z, grad_p, grad_h = xp.empty_like(self.gates), xp.empty_like(self.gates), 0
        for t in reversed(range(n_steps)):
            grad_h = grad_h + grad_y[t]
            own = self.gates[t], self.inner[t], h[t], grad_h
            kernels.cells.gru_back(*own, grad_z[t], grad_p[t])
            grad_h += self.back(grad_p[t], t)
        return grad_z, self.states.grad_format(grad_p, h[:n_steps]), grad_h


def rnn(
    x: TensorLike,
    weight: TensorLike,
    state_weight: TensorLike,
    bias: TensorLike,
    state: Any = None,
    activation: str = "tanh",
    quantizer: Quantizer | None = None,
    grad_format: str = "float32",
    rng: np.random.Generator | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run a plain recurrent layer: `h_t = f(x_t @ weight.T + h_{t-1} @ state_weight.T + bias)`.

    If the weights are BitPlanes, the state is quantized before each product, `q(h_{t-1})`, with the
    surrogate of q in the backward pass; the products are exact integers, and the states stay
    floats.

    Parameters
    ----------
    x : Tensor or array
        The inputs of all steps, floats (T, B, N); if the weights are BitPlanes, Bits or BitPlanes.
    weight, state_weight, bias : Tensor or array
        Shapes (H, N), (H, H) and (H,); the first two are floats, or BitPlanes from
        `quantize_scaled`.
    state : tuple of Tensor, optional
        (h_0,), of shape (B, H); zeros by default.
    activation : {"tanh", "relu"}, optional
        The function f.
    quantizer : Quantizer, optional
        The quantizer q of the state, if the weights are BitPlanes.
    grad_format, rng : optional
        As for `quantized_linear`, if the weights are BitPlanes.

    Returns
    -------
    y : Tensor
        All h_t, shape (T, B, H).
    state : tuple of Tensor
        (h_T,), through which gradients flow; `detach` stops them.

    Examples
    --------
    >>> import numpy as np
    >>> y, (h,) = rnn(np.ones((2, 1, 1)), [[1.0]], [[2.0]], [0.0], activation="relu")
    >>> y.data.ravel(), h.data
    (array([1., 3.]), array([[3.]]))
    """
    if activation not in ("tanh", "relu"):
        raise InputError(f"rnn: activation is {activation!r}; expected 'tanh' or 'relu'")
    operands = x, weight, state_weight, bias, state
    y = _run(RNN, operands, quantizer, grad_format, rng, relu=activation == "relu")
    return y, (y[-1],)


def lstm(
    x: TensorLike,
    weight: TensorLike,
    state_weight: TensorLike,
    bias: TensorLike,
    state: Any = None,
    quantizer: Quantizer | None = None,
    grad_format: str = "float32",
    rng: np.random.Generator | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run an LSTM over a sequence: four gates, a float cell, and the state.

    `i, f, g, o = x_t @ weight.T + h_{t-1} @ state_weight.T + bias`,
    `c_t = s(f) c_{t-1} + s(i) tanh(g)`, `h_t = s(o) tanh(c_t)`, where s is the logistic function
    (section 4.5 of the second paper).  If the weights are BitPlanes, the state is quantized before
    each product, but the cell is not, as in He et al. (arXiv 1611.10176, 3.4).

    Parameters
    ----------
    x, weight, state_weight, bias : Tensor or array
        As for `rnn`, but the weights and the bias have 4H rows, in the order i, f, g, o.
    state : tuple of Tensor, optional
        (h_0, c_0), each of shape (B, H); zeros by default.
    quantizer, grad_format, rng : optional
        As for `rnn`.

    Returns
    -------
    y : Tensor
        All h_t, shape (T, B, H).
    state : tuple of Tensor
        (h_T, c_T), through which gradients flow; `detach` stops them.

    Examples
    --------
    >>> import numpy as np
    >>> y, (h, c) = lstm(np.zeros((3, 2, 5)), np.ones((4, 5)), np.ones((4, 1)), np.zeros(4))
    >>> y.shape, h.shape, c.shape
    ((3, 2, 1), (2, 1), (2, 1))
    """
    y = _run(LSTM, (x, weight, state_weight, bias, state), quantizer, grad_format, rng)
    return y[:-1], (y[-2], y[-1])


def gru(
    x: TensorLike,
    weight: TensorLike,
    state_weight: TensorLike,
    bias: TensorLike,
    state: Any = None,
    quantizer: Quantizer | None = None,
    grad_format: str = "float32",
    rng: np.random.Generator | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run a GRU over a sequence: two gates, and the state.

    With `r, u, n = x_t @ weight.T + bias` and `p = h_{t-1} @ state_weight.T`, split the same way:
    `h_t = (1 - u) n' + u h_{t-1}`, `n' = tanh(n + s(r) p_n)`, u = s(u + p_u) and r = s(r + p_r).
    This follows Cho et al. (arXiv 1406.1078), but applies the reset after the product.  If the
    weights are BitPlanes, the product uses q(h), while the h in `u h_{t-1}` stays a float.

    Parameters
    ----------
    x, weight, state_weight, bias : Tensor or array
        As for `rnn`, but the weights and the bias have 3H rows, in the order r, u, n.
    state, quantizer, grad_format, rng : optional
        As for `rnn`.

    Returns
    -------
    y : Tensor
        All h_t, shape (T, B, H).
    state : tuple of Tensor
        (h_T,), through which gradients flow; `detach` stops them.

    Examples
    --------
    >>> import numpy as np
    >>> y, (h,) = gru(np.zeros((3, 2, 5)), np.ones((3, 5)), np.ones((3, 1)), np.zeros(3))
    >>> y.shape, h.shape
    ((3, 2, 1), (2, 1))
    """
    y = _run(GRU, (x, weight, state_weight, bias, state), quantizer, grad_format, rng)
    return y, (y[-1],)


def _run(kind, operands, quantizer, grad_format, rng, **options):
    """Check the operands and run a layer over all steps."""
    name, n_states = kind.__name__.lower(), kind.n_states
    gates = GATES[name]
    *tensors, state = operands
    x, weight, state_weight, bias = map(as_tensor, tensors)
    units = state_weight.shape[-1] if state_weight.ndim else 0
    few = isinstance(state_weight.data, BitPlanes)
    kinds = {few, isinstance(weight.data, BitPlanes), isinstance(x.data, (Bits, BitPlanes))}
    if len(kinds) > 1 or few != isinstance(quantizer, Quantizer):
        raise InputError(
            f"{name}: x is {x.data!r:.40}, the weights are {weight.data!r:.40} and "
            f"{state_weight.data!r:.40}, the quantizer is {quantizer!r}; expected floats and no "
            "quantizer, or Bits or BitPlanes, weights in BitPlanes and the quantizer of the state"
        )
    shapes = weight.shape, state_weight.shape, bias.shape
    height = gates * units
    fits = x.ndim == 3 and shapes == ((height, x.shape[2]), (height, units), (height,))
    if not fits or not len(x):
        expected = f"(T, B, N) with T of 1 or more, ({gates}H, N), ({gates}H, H) and ({gates}H,)"
        raise unfit(name, expected, x, weight, state_weight, bias)
    check_gradient_rule(name, grad_format, rng)
    batch = x.shape[1]
    if state is None:
        zeros = array_module(bias).zeros((batch, units), bias.data.dtype)
        state = [Tensor(zeros)] * n_states
    state = [as_tensor(own) for own in state] if isinstance(state, (tuple, list)) else []
    packed = any(isinstance(own.data, (Bits, BitPlanes)) for own in state)
    if packed or [own.shape for own in state] != [(batch, units)] * n_states:
        expected = f"a tuple of {n_states} states, floats ({batch}, {units})"
        raise unfit(name, expected, *state)
    if few:
        z = scaled_linear(x, weight, bias, grad_format, rng)
    else:
        flat = reshape(x, math.prod(x.shape[:2]), x.shape[2])
        z = reshape(linear(flat, weight, bias), *x.shape[:2], height)
    y = kind(quantizer, GRADIENTS[grad_format], rng, **options)(z, state_weight, *state)
    if y.size and math.isnan(y.data.min()):  # a quantizer could not tell them from others
        raise InputError(
            f"{name}: the states hold NaN; check the data, or lower the learning rate or clip the "
            "gradients"
        )
    return y
