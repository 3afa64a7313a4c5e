"""The highest bits of pixels, as packed planes."""

import numpy as np

from bitnet import kernels
from bitnet.autograd import Function, Tensor, TensorLike, as_tensor
from bitnet.errors import InputError, check_count
from bitnet.kernels import BitPlanes


class PixelPlanes(Function):
    """The highest bits of pixels; integers have no gradient."""

    def __init__(self, planes):
        self.planes = planes

    def forward(self, x):  # (..., N) uint8
        bits = kernels.split_planes(x).bits[8 - self.planes :]
        return bits[0] if self.planes == 1 else BitPlanes(bits, [1 << b for b in range(len(bits))])


def pixel_planes(x: TensorLike, planes: int) -> Tensor:
    """Return the `planes` highest bits of 8-bit pixels, packed in planes of ±1.

    A pixel p counts as `2 * (p >> (8 - planes)) - (2**planes - 1)`, an odd number: with 8 planes
    as `2p - 255`, which is what a product makes of pixels, and with one plane as the sign of it.
    A product with fewer planes has fewer XORs in the same proportion (equation 8 of the papers
    has one XNOR product for each bit of the pixels).

    Parameters
    ----------
    x : Tensor or array
        uint8 pixels of shape (..., N).
    planes : int
        The number of bits, from 1 to 8.

    Returns
    -------
    Tensor
        BitPlanes of the same shape with coefficients 1, 2, 4, ...; Bits for one plane.

    Examples
    --------
    >>> pixel_planes(np.array([0, 63, 64, 255], np.uint8), 2).data.values()
    array([-3., -3., -1.,  3.], dtype=float32)
    """
    x = as_tensor(x)
    check_count("pixel_planes", planes=planes, most=8)
    kind = getattr(x.data, "dtype", type(x.data).__name__)
    if kind != np.uint8 or not x.ndim:
        raise InputError(
            f"pixel_planes: got {kind} of shape {x.shape}; expected uint8 pixels (..., N)"
        )
    return PixelPlanes(int(planes))(x)
