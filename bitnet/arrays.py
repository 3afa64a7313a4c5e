"""Arrays of NumPy and of CuPy: which library one belongs to, and the same numbers on the other.

The array decides the device: what is computed with an array is computed where it lies.  CuPy is
looked up among the modules that are imported already; this file imports it never.
"""

import dataclasses
import sys
from typing import Any

import numpy as np

from bitnet.errors import InputError

Array = Any  # a NumPy or CuPy array


def array_module(*arrays):
    """The library, `numpy` or `cupy`, that the arrays belong to: the array decides the device."""
    if cupy := sys.modules.get("cupy"):
        kind = getattr(cupy, "ndarray", ())  # () while another thread still imports it
        if any(isinstance(getattr(array, "_held", array), kind) for array in arrays):
            return cupy
    return np


def is_array(x):
    """Whether `x` is an array of NumPy or of CuPy."""
    return isinstance(x, (np.ndarray, getattr(sys.modules.get("cupy"), "ndarray", np.ndarray)))


def as_array(x):
    """Return x as an array of NumPy, unless it is one of CuPy; a `Product` is multiplied."""
    if is_array(x):
        return x
    return x.array() if hasattr(x, "array") else np.asarray(x)


def as_numpy(x):
    """The same in the memory of the processor."""
    return to_cpu(as_array(x))


def like(array, other):
    """An array, or what holds some, on the device of another."""
    if "cupy" not in sys.modules:
        return array
    xp = array_module(other)
    return to_cpu(array) if xp is np else moved(array, xp.asarray)


def moved(x, move):
    """The same with each array in it moved, in new containers."""
    if is_array(x):
        return move(x)
    if isinstance(x, (tuple, list)):
        return (tuple if isinstance(x, tuple) else list)(moved(own, move) for own in x)
    if isinstance(x, dict):
        return {name: moved(own, move) for name, own in x.items()}
    if hasattr(x, "_moved"):
        return x._moved(move)
    if dataclasses.is_dataclass(x):  # as the layers of a frozen net
        fields = {f.name: getattr(x, f.name) for f in dataclasses.fields(x)}
        return dataclasses.replace(x, **moved(fields, move))
    if x is None or isinstance(x, (bool, int, float, str, np.generic)):
        return x
    raise InputError(
        f"to move {type(x).__name__}: expected arrays or what holds them (of a Module, see its "
        "method `to`)"
    )


def to_cpu(x):
    """The same in the memory of the processor, in NumPy's arrays.

    Parameters
    ----------
    x : array, Bits, BitPlanes, Quantized, Thresholds, Tensor, FrozenNet, or a list or dict of them
        NumPy's arrays come back as they are, and not as copies.

    Returns
    -------
    object
        Of the kind of x.

    Raises
    ------
    InputError
        If it is something else.

    Examples
    --------
    >>> to_cpu([np.ones(2)])
    [array([1., 1.])]
    """
    return moved(x, lambda array: array if isinstance(array, np.ndarray) else array.get())


def read_only(array):
    """Have an array refuse to be changed, which CuPy's cannot."""
    if isinstance(array, np.ndarray):
        array.flags.writeable = False
    return array


def is_read_only(array):
    """Whether nobody has made an array writeable since `read_only`; of CuPy's nobody knows."""
    return not (isinstance(array, np.ndarray) and array.flags.writeable)


def check_one_device(name, operands):
    """Refuse operands of which some are on the GPU and some are not."""
    if "cupy" in sys.modules and len({array_module(x) for x in operands}) > 1:
        raise InputError(
            f"{name}: some operands are on the GPU and some are not; expected all on one device, "
            "see bitnet.devices.to_gpu and to_cpu"
        )


def check_on_cpu(name, *arrays):
    """Refuse data on the GPU where it is taken apart by the processor."""
    if array_module(*arrays) is not np:
        raise InputError(
            f"{name}: the data are on the GPU; expected them in the memory of the processor, as "
            "bitnet.to_cpu gives"
        )


def unshared(arrays):
    """The arrays, with a copy of each that shares memory with one before it."""
    own = []
    for array in arrays:
        if is_array(array):
            shares = array_module(array).may_share_memory
            meets = any(is_array(other) and shares(array, other) for other in own)
            array = array.copy() if meets else array
        own.append(array)
    return own
