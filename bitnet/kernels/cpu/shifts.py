"""AP2 on the bits of a float: half an octave more, and the fraction off."""

import numpy as np

from bitnet.kernels import reference
from bitnet.kernels.cpu.jit import inner, jit
from bitnet.kernels.threads import shared

NUMBERS_PER_NS = 3.0  # one thread, about
MAGNITUDE = 0x7FFFFFFF  # all bits but the sign
INFINITY = 0x7F800000  # and all bits of the exponent
NORMAL = 0x00800000  # the least number that is not subnormal
TO_NEXT = 0x00800000 - 0x003504F4  # from the first float above sqrt(2) to 2


@inner
def nearest_power(x):
    """AP2 of a float32."""
    v = np.float32(x)
    subnormal = v.view(np.int32) & np.int32(MAGNITUDE) < np.int32(NORMAL)
    bits = np.float32(v * np.float32(2**24) if subnormal else v).view(np.int32)
    magnitude = min(bits & np.int32(MAGNITUDE), np.int32(INFINITY))
    power = np.int32((magnitude + np.int32(TO_NEXT)) & np.int32(INFINITY)).view(np.float32)
    power = np.float32(power * np.float32(2**-24) if subnormal else power)
    power = -power if bits < 0 else power
    return power if v == v else v


@jit
def _ap2(x, y):
    """y = AP2(x), both (N,)."""
    for i in range(len(x)):
        y[i] = nearest_power(x[i])


def ap2(x):
    """See `bitnet.kernels.ap2`."""
    if x.dtype != np.float32:
        return reference.ap2(x)
    flat, y = np.ascontiguousarray(x).reshape(-1), np.empty(x.size, np.float32)

    def run(i, j):
        with np.errstate(all="ignore"):  # where Numba does not compile, NumPy would warn
            _ap2(flat[i:j], y[i:j])

    shared(run, len(flat), 64, x.size / NUMBERS_PER_NS)
    return y.reshape(x.shape)
