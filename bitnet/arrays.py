"""NumPy and CuPy arrays: which library an array belongs to, and copies on the other device.

The array decides the device: a result is computed where its operands are.  This file never imports
CuPy; it looks it up among the modules that are already imported.
"""

import dataclasses
import sys
from typing import Any, TypeVar

import numpy as np

from bitnet.errors import InputError

if int(np.__version__.partition(".")[0]) < 2:
    raise ImportError(f"bitnet needs NumPy 2.0 or newer; this is NumPy {np.__version__}")

Array = Any  # a NumPy or CuPy array
T = TypeVar("T")

REAL = "fiub"  # kinds of dtypes
EXPECTED = "an array, or lists of equal length, of real numbers"
FOREIGN = "__array__", "__array_interface__", "__dlpack__", "__next__", "toarray"
# raised by objects that cannot be read as an array
REFUSED = ValueError, TypeError, BufferError, RuntimeError, AttributeError, OSError, OverflowError


def array_module(*arrays):
    """Return the library of the arrays, `numpy` or `cupy`: the array decides the device."""
    if cupy := sys.modules.get("cupy"):
        kind = getattr(cupy, "ndarray", ())  # () while another thread still imports it
        if any(isinstance(getattr(array, "_held", array), kind) for array in arrays):
            return cupy
    return np


def is_array(x):
    """Return whether `x` is a NumPy or CuPy array."""
    return isinstance(x, (np.ndarray, getattr(sys.modules.get("cupy"), "ndarray", np.ndarray)))


def as_array(x):
    """Return `x` as a plain array, see `plain`; a `Product` is multiplied out."""
    return x.array() if hasattr(x, "_held") and hasattr(x, "array") else plain(x)


def plain(x, name="the input"):
    """Return a caller's numbers as an ndarray in this machine's byte order, or as CuPy's array.

    Only what has one plain form is converted: numbers and nested lists, subclasses of ndarray (a
    masked array without masked elements), and objects with `__array__`, a buffer, or `__dlpack__`
    on the CPU.  Anything else is refused; `name` is for the message.
    """
    if type(x) is np.ndarray and x.dtype.isnative and x.dtype.kind in REAL:
        return x
    if is_array(x) and not isinstance(x, np.ndarray):
        return x
    kind = type(x).__name__
    try:
        found = np.asarray(_readable(x))
    except InputError:
        raise
    except REFUSED as error:
        ragged = isinstance(x, (list, tuple)) and isinstance(error, ValueError)
        reason = "rows of different length" if ragged else " ".join(str(error).split())[:100]
        raise InputError(f"{name}: got {kind} ({reason}); expected {EXPECTED}") from None
    if found.dtype.kind not in REAL:
        values = f"{found.dtype}" if isinstance(x, np.ndarray) else f"{kind} of {found.dtype}"
        raise InputError(f"{name}: got {values} values; expected {EXPECTED}")
    return found.astype(found.dtype.newbyteorder("="), copy=False)


def _readable(x):
    """Return an object that NumPy reads as an array of numbers; refuse others."""
    if isinstance(x, np.ndarray) and isinstance(x, np.ma.MaskedArray):  # 8 ms if it is imported
        if np.ma.is_masked(x):
            raise TypeError("with masked elements; fill them, as in x.filled(0)")
        return x.data
    names = "__array__", "__array_interface__", "__array_struct__"
    if isinstance(x, (list, tuple, range, bool, int, float, complex, str)):
        return x
    if any(hasattr(x, own) for own in names):
        return x
    if hasattr(x, "__dlpack__"):
        if x.__dlpack_device__()[0] != 1:
            raise TypeError("not in CPU memory")
        return np.from_dlpack(x)
    try:
        return memoryview(x)
    except TypeError:
        how = "sparse; pass x.toarray()" if hasattr(x, "toarray") else "not an array of numbers"
        raise TypeError(how) from None


def is_foreign(x):
    """Return whether an object that is no ndarray holds numbers, or yields them."""
    return not isinstance(x, type) and any(hasattr(x, name) for name in FOREIGN)


def as_numpy(x):
    """Return `x` as a NumPy array in CPU memory."""
    return to_cpu(as_array(x))


def like(array, other):
    """Return an array, or an object that holds arrays, on the device of `other`."""
    if "cupy" not in sys.modules:
        return array
    xp = array_module(other)
    if (is_array(array) or hasattr(array, "_held")) and array_module(array) is xp:
        return array  # itself, by which a trace knows it
    return to_cpu(array) if xp is np else moved(array, xp.asarray)


def moved(x, move):
    """Return `x` with `move` applied to each array in it, in new containers."""
    if is_array(x):
        return move(x)
    if isinstance(x, (tuple, list)):
        return (tuple if isinstance(x, tuple) else list)(moved(own, move) for own in x)
    if isinstance(x, dict):
        return {name: moved(own, move) for name, own in x.items()}
    if hasattr(x, "_moved"):
        return x._moved(move)
    if dataclasses.is_dataclass(x):  # such as the layers of a frozen net
        fields = {f.name: getattr(x, f.name) for f in dataclasses.fields(x)}
        return dataclasses.replace(x, **moved(fields, move))
    if x is None or isinstance(x, (bool, int, float, str, slice, type(...), np.generic)):
        return x
    raise InputError(
        f"cannot move {type(x).__name__}: expected arrays, or objects that hold them; for a "
        "Module, call its method `to`"
    )


def to_cpu(x: T) -> T:
    """Return `x` with its arrays moved to CPU memory, as NumPy arrays.

    Parameters
    ----------
    x : array, Bits, BitPlanes, Quantized, Thresholds, Tensor, FrozenNet, or a list or dict of them
        NumPy arrays are returned as they are, not copied.

    Returns
    -------
    object
        An object of the same kind.

    Raises
    ------
    InputError
        If `x` is anything else.

    Examples
    --------
    >>> to_cpu([np.ones(2)])
    [array([1., 1.])]
    """
    return moved(x, lambda array: array if isinstance(array, np.ndarray) else array.get())


def read_only(array):
    """Make an array read-only if it is a NumPy array, and return it; CuPy arrays stay writeable."""
    if isinstance(array, np.ndarray):
        array.flags.writeable = False
    return array


def is_read_only(array):
    """Return whether a NumPy array is read-only; always True for a CuPy array."""
    return not (isinstance(array, np.ndarray) and array.flags.writeable)


def floats(x):
    """Return floats as they are, and integers as float32."""
    return x if x.dtype.kind == "f" else x.astype(np.float32)


def nested(x, change):
    """Return nested tuples and lists with `change` applied to what is inside; None stays.

    A list of numbers counts as an array.
    """
    if isinstance(x, tuple) or (isinstance(x, list) and not _has_numbers(x)):
        return type(x)(nested(own, change) for own in x)
    return x if x is None else change(x)


def _has_numbers(x):
    """Return whether a list holds numbers, or lists of numbers, alone."""
    return all(isinstance(n, (int, float)) or (isinstance(n, list) and _has_numbers(n)) for n in x)


def is_wide(kind):
    """Return whether the integers of a type need int64, as those of int32 do not hold them."""
    return (kind.kind in "iu" and kind.itemsize > 4) or kind == np.uint32


def promoted(*arrays):
    """Return arrays of one type: the float type of the first float array, int32 or int64."""
    types = [x.dtype for x in arrays]
    if all(kind == types[0] and kind.kind == "f" for kind in types):
        return arrays
    floats = [kind for kind in types if kind.kind == "f"]
    if floats:
        dtype = np.result_type(*floats)
    else:
        dtype = np.dtype(np.int64 if any(map(is_wide, types)) else np.int32)
        for x in arrays:
            if x.dtype == np.uint64 and x.size and x.max() >= 2**63:
                raise InputError(f"got {x.max()} in uint64; expected at most 2^63 - 1, or floats")
    return tuple(x.astype(dtype, copy=False) for x in arrays)


def check_one_device(name, operands):
    """Raise InputError if some operands are on the GPU and some are not."""
    if "cupy" in sys.modules and len({array_module(x) for x in operands}) > 1:
        raise InputError(
            f"{name}: some operands are on the GPU and some are not; expected all on one device; "
            "move them with bitnet.to_gpu or bitnet.to_cpu"
        )


def check_on_cpu(name, *arrays):
    """Raise InputError if arrays that only the CPU processes are on the GPU."""
    if array_module(*arrays) is not np:
        raise InputError(
            f"{name}: the data are on the GPU; expected NumPy arrays, such as bitnet.to_cpu gives"
        )


def shares(x, array, depth=4):
    """Return whether an array in x, in nested containers and attributes, has memory of `array`."""
    if is_array(x):
        xp = array_module(x)
        return xp is array_module(array) and xp.may_share_memory(x, array)
    inside = x if isinstance(x, (tuple, list, dict)) else getattr(x, "__dict__", ())
    inside = inside.values() if hasattr(inside, "values") else inside
    return depth > 0 and any(shares(own, array, depth - 1) for own in inside)


def unshared(arrays):
    """Return the arrays, with a copy in place of each that shares memory with an earlier one."""
    own = []
    for array in arrays:
        if is_array(array):
            shares = array_module(array).may_share_memory
            meets = any(is_array(other) and shares(array, other) for other in own)
            array = array.copy() if meets else array
        own.append(array)
    return own
