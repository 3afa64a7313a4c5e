"""Dropout of floats, signs and pixels; signs and pixels stay packed."""

import numpy as np

from bitnet import kernels
from bitnet.arrays import array_module, is_array, like
from bitnet.autograd import Function, Tensor, TensorLike
from bitnet.devices import check_generator
from bitnet.errors import InputError
from bitnet.kernels import BitPlanes, Bits


class Dropout(Function):
    """x / (1 - p) where kept, 0 where dropped."""

    _takes_bits = True

    def __init__(self, p, rng):
        self.p, self.rng = p, rng

    def forward(self, x):
        drawn = self.rng.random(x.shape, dtype=np.float32)
        self.keep = like(kernels.pack(drawn >= self.p), x)
        if is_array(x) and x.dtype.kind == "f":
            return kernels.where(self.keep, x) / x.dtype.type(1 - self.p)
        return _drop(x, self.keep, 1 / (1 - self.p))

    def backward(self, grad_y):
        return kernels.where(self.keep, grad_y) / grad_y.dtype.type(1 - self.p)


def _drop(x, keep, scale):
    """keep * x * scale on planes: s * keep = (s + s') / 2 with s' = s kept, -s dropped."""
    if isinstance(x, Bits):
        x = BitPlanes(Bits(x.words[None], (1, *x.shape)), [1])
    elif not isinstance(x, BitPlanes):
        x = kernels.split_planes(x)
    xp = array_module(x)
    dropped = kernels.pack(xp.zeros(x.shape[-1], np.float32)).words ^ keep.words  # padding stays 0
    planes, coefficients = [x.bits.words, x.bits.words ^ dropped], x.coefficients * 2
    offset = 2 * x.offset
    if offset:  # offset * keep = (2 offset + offset k - offset) / 2 with k = +1 kept, -1 dropped
        kept = keep.words[None]
        planes = [*planes, kept, kept | dropped]  # the last one +1, so that a border of -1 is kept
        coefficients = *coefficients, x.offset, -x.offset
    words = xp.concatenate(planes)
    bits = Bits(words, (len(words), *x.shape))
    return BitPlanes(bits, coefficients, x.scale * scale / 2, offset, x.unit)


def dropout(x: TensorLike, p: float, rng: np.random.Generator) -> Tensor:
    """Set each element to zero with probability `p`, and scale the others by `1 / (1 - p)`.

    Signs and pixels stay packed: a dropped sign is half the sum of +1 and -1, so a plane s
    becomes two planes, s and s', where s' is -s at the dropped elements.

    Parameters
    ----------
    x : Tensor
        Floats, Bits, BitPlanes or uint8 pixels (which count as `2p - 255`), shape (..., N).
    p : float
        The probability of dropping, from 0 to below 1.
    rng : numpy.random.Generator
        The random number generator.

    Returns
    -------
    Tensor
        Floats or BitPlanes of the same shape.

    Examples
    --------
    >>> from bitnet.nn.functional import sign
    >>> dropout(sign([1.0, 1.0, -1.0, -1.0]), 0.5, np.random.default_rng(1)).data.values()
    array([ 0.,  2., -2., -2.], dtype=float32)
    """
    if not 0 <= p < 1:
        raise InputError(f"dropout: p is {p!r}; expected a probability from 0 to below 1")
    check_generator("dropout", rng)
    return Dropout(p, rng=rng)(x)
