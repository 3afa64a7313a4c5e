"""AP2: a number by its nearest power of two, so that to multiply with it is to shift."""

from bitnet.kernels.dispatch import check_numbers, kernel

__all__ = ["ap2"]


def ap2(x):
    """The power of two that is nearest on a logarithmic scale, with the sign of x.

    `AP2(x) = sign(x) * 2**round(log2 |x|)`, of shift-based batch norm and AdaMax (Algorithms 2
    and 3 of arXiv 1602.02830, version 2, and of arXiv 1609.07061).  The exponent is rounded: it
    rises where |x| passes sqrt(2) times a power of two, which no float equals, so that there are
    no ties.  (The papers' footnote takes the index of the first bit, which rounds down.)

    Parameters
    ----------
    x : numpy.ndarray
        Floats of any shape.

    Returns
    -------
    numpy.ndarray
        Of the same shape and type.  Zeros, infinity and NaN stay; subnormal numbers are rounded
        as the others; what is above sqrt(2) times the largest power of two becomes infinite.

    Raises
    ------
    InputError
        If these are no floats, or a single number.

    Examples
    --------
    >>> import numpy as np
    >>> ap2(np.float32([-3.0, 1.4142135, 1.4142137, 0.0]))
    array([-4.,  1.,  2.,  0.], dtype=float32)
    """
    check_numbers("ap2", x, "f", "floats")
    return kernel("ap2")(x)
