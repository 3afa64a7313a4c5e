"""The products of a recurrent layer's state with its weights, of floats and of a few bits.

Both multiply the state of each step forward, a gradient of each step backward, and, behind the
loop, all gradients with all states at once.
"""

import math

from bitnet import kernels
from bitnet.arrays import array_module
from bitnet.kernels import Bits, Planes
from bitnet.nn.functional.scaled import merged, product, rounded, unit_of


class FloatStates:
    """State and weights as they are; the products are the BLAS'."""

    unit = 1.0

    def __init__(self, weight, batch, dtype):
        self.weight, xp = weight, array_module(weight)
        self.across = xp.ascontiguousarray(weight.T)  # a BLAS multiplies few rows faster so
        self.room = xp.empty((batch, len(weight)), dtype)

    def product(self, h):
        """h @ weight.T; overwritten by the next one."""
        return array_module(h).matmul(h, self.across, out=self.room)

    def start(self, h):
        """Begin the way back over the states h (T, B, H)."""

    def back(self, grad, t):
        """The gradient of the state before step t, from that of its product."""
        return grad @ self.weight

    def gradient(self, grads, h):
        """The gradient of the weights from those of all products (T, B, M) and states."""
        n_rows = math.prod(grads.shape[:2])
        return grads.reshape(n_rows, grads.shape[2]).T @ h.reshape(n_rows, h.shape[2])


class FewBitStates:
    """Weights of a few bits, and a state that is quantized at each step."""

    def __init__(self, weight, quantizer, rule, rng):
        self.weight = weight if weight.layouts else kernels.prepare(weight)
        self.quantizer = quantizer
        self.rule, self.rng = rule, rng
        self.unit = quantizer.levels.unit * unit_of(weight)
        self.codes = []

    def product(self, h):
        """The integers of q(h) times those of weight.T, int32."""
        levels = self.quantizer.levels
        states = levels.planes(self.quantizer.codes(h))
        self.codes.append(states.bits.words)
        return kernels.plane_gemm(states, self.weight)

    def start(self, h):
        """Begin the way back over the states h (T, B, H): what the surrogate lets pass."""
        self.slopes = self.quantizer.slope(h)
        self.slopes *= h.dtype.type(self.weight.unit)

    def back(self, grad, t):
        """The gradient of the state before step t, from that of its product."""
        y = kernels.signed_gemm(rounded(grad, self.rule, self.rng), self.weight)
        y = y.astype(grad.dtype, copy=False)
        y *= self.slopes[t]
        return y

    def gradient(self, grads, h):
        """The gradient of the weights from those of all products (T, B, M) and states."""
        levels, n_rows = self.quantizer.levels, math.prod(grads.shape[:2])
        words = array_module(h).stack(self.codes, axis=1)  # (P, T, B, K)
        bits = Bits(words, (*words.shape[:3], h.shape[2]))
        states = merged(Planes(bits, levels.coefficients, 1.0, levels.offset, levels.unit))
        grad = rounded(grads.reshape(n_rows, grads.shape[2]).T, self.rule, self.rng)
        return product(grad, states)
