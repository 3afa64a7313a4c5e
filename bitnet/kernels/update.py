"""One step of an optimizer, including the new signs of the weights."""

from collections.abc import Sequence

import numpy as np

from bitnet.arrays import Array
from bitnet.errors import unfit
from bitnet.kernels import reference
from bitnet.kernels.bits import words_for
from bitnet.kernels.dispatch import kernel
from bitnet.kernels.products import Product


def update(
    rule: str,
    weight: Array,
    grad: Array | Product,
    state: Sequence[Array],
    constants: Sequence[float],
    clip: float | None = None,
    words: Array | None = None,
    seed: int | None = None,
) -> int | None:
    """Compute one step of an optimizer in place: moments, clipped weights, and their new signs.

    `weight <- clip(weight - rate * direction, -clip, clip)`.  The first constant is the rate.
    This table has the rule, its state, its other constants, and its direction:

    ================= ======== ======================================== ========================
    sgd               velocity momentum, nesterov (0 or 1)              v, or g + momentum v
    adam              m, v     1 - b1, 1 - b2, 1 / sqrt(1 - b2^t), eps, m / (sqrt(v) c + eps) c1
                               c1 = 1 / (1 - b1^t)
    adamax            m, u     1 - b1, b2, eps, c1 = 1 / (1 - b1^t)     m / (u + eps) c1
    shift_adamax      m, v     1 - b1, b2, eps                          m / AP2(v + eps)
    shift_adamax_code m, v     the same; v <- AP2(v) + eps is kept      m / v
    ================= ======== ======================================== ========================

    "bop" only flips weights of +1 and -1 (arXiv 1906.02107).  Its constants are a rate and a
    threshold, its state is m: `m <- m + rate (g - m)`, and `w <- -w where m w > threshold`, that
    is, where m has the sign of w and is large enough.

    Parameters
    ----------
    rule : {"sgd", "adam", "adamax", "shift_adamax", "shift_adamax_code", "bop"}
        The optimizer.
    weight : contiguous float array
        The weights, which are changed in place.
    grad : array or Product of the same shape and type
        The gradient; a Product is computed as it is used, some rows at a time.
    state : sequence of arrays of the same shape and type
        The moments, which are changed in place; or uint16 arrays of this shape that hold the upper
        halves of float32 numbers (bfloat16).  These are widened for the step, and then rounded
        stochastically: `(bits of the float32 + r) >> 16`, with r the upper half of 32 random bits
        for the first moment and the lower half for the second one.
    constants : sequence of float
        The rate, then the constants of the rule.
    clip : float, optional
        The bound of the weights' magnitudes; default: no bound.
    words : uint64 array, optional
        The packed signs (..., K) of weights (..., N), which are replaced by the new ones.
    seed : int, optional
        The seed of the rounding of moments in bfloat16, from 0 to 2^63 - 1; required for these.

    Returns
    -------
    int or None
        The number of signs that changed, 0 without words; None if a weight became NaN, which has
        no sign.  On a GPU, weights without words are not checked, as that would wait for the GPU.

    Examples
    --------
    >>> import numpy as np
    >>> weight, velocity = np.float32([[0.5, -0.5]]), np.zeros((1, 2), np.float32)
    >>> words = np.array([[1]], np.uint64)
    >>> update("sgd", weight, np.float32([[1.0, 1.0]]), [velocity], [1.0, 0.0, 0.0], 1.0, words)
    1
    >>> weight, words
    (array([[-0.5, -1. ]], dtype=float32), array([[0]], dtype=uint64))
    """
    narrow = {moment.dtype for moment in state} == {np.dtype(np.uint16)}
    arrays = [weight, grad, *([] if narrow else state)]
    changed = [weight, *state] if words is None else [weight, *state, words]
    contiguous = all(array.flags.c_contiguous for array in changed)
    if len({(a.shape, a.dtype) for a in arrays}) != 1 or not contiguous:
        raise unfit("update", "contiguous arrays of one shape and type", *arrays)
    if narrow and (
        weight.dtype != np.float32 or seed is None or any(m.shape != weight.shape for m in state)
    ):
        raise unfit("update", "float32 weights, uint16 moments of their shape, and a seed", *arrays)
    fit = weight.ndim > 1 and (*weight.shape[:-1], words_for(weight.shape[-1]))
    if words is not None and words.shape != fit:
        raise unfit("update", "weights (..., N) and their words (..., K)", weight, words)
    return kernel(reference.update)(rule, weight, grad, state, constants, clip, words, seed)
