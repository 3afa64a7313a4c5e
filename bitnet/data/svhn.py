"""The cropped digits of SVHN: MATLAB files with images X (32, 32, 3, count) and labels y.

SciPy (extra `mat`) reads them.  The label 10 stands for the digit 0.
"""

import importlib.util
import math
import pathlib

import numpy as np

from bitnet.errors import InputError
from bitnet.files import opened, size_of

MAX_BYTES = 1 << 31  # of pixels; the set "extra" has 1.6 GB


def read_svhn(
    path: pathlib.Path | str, max_bytes: int = MAX_BYTES
) -> tuple[np.ndarray, np.ndarray]:
    """Read `train_32x32.mat`, `test_32x32.mat` or `extra_32x32.mat` of SVHN.

    The size in the file is compared with `max_bytes` before memory is allocated.

    Parameters
    ----------
    path : str or path
        The file.
    max_bytes : int, optional
        The largest array to read (default: 2 GiB).

    Returns
    -------
    images : numpy.ndarray
        uint8 of shape (count, 32, 32, 3).
    labels : numpy.ndarray
        uint8 of shape (count,), the digits 0 to 9.

    Raises
    ------
    InputError
        If SciPy is missing, or the file is damaged, too large or has other contents.

    Examples
    --------
    >>> read_svhn("train_32x32.mat")  # doctest: +SKIP
    """
    if importlib.util.find_spec("scipy") is None:
        raise InputError("read_svhn needs SciPy; run `pip install scipy`, or the extra `mat`")
    import scipy.io

    with opened(path) as file:
        size_of(path, file, max_bytes)
        try:
            stated = {name: (shape, kind) for name, shape, kind in scipy.io.whosmat(file)}
            count = _check_stated(path, stated, max_bytes)
            file.seek(0)
            arrays = scipy.io.loadmat(file, variable_names=["X", "y"])
        except InputError:
            raise
        except Exception as error:  # SciPy raises many classes for damaged files
            what = "not a MATLAB file of the cropped digits of SVHN, or damaged"
            raise InputError(f"{path}: {what} ({error})") from None
    x, y = arrays.get("X"), arrays.get("y")
    if x is None or y is None or x.shape != (32, 32, 3, count) or x.dtype != np.uint8:
        raise InputError(f"{path}: X differs from its header; download the file again")
    labels = y.ravel()
    if labels.size != count or not np.isin(labels, range(11)).all():
        raise InputError(f"{path}: got {labels.size} labels; expected {count}, each from 0 to 10")
    return np.ascontiguousarray(x.transpose(3, 0, 1, 2)), (labels % 10).astype(np.uint8)


def _check_stated(path, stated, max_bytes):
    """Check the stated shapes and types; return the number of images."""
    (shape, kind), (label_shape, label_kind) = (stated.get(name, ((), "")) for name in ("X", "y"))
    if len(shape) != 4 or tuple(shape[:3]) != (32, 32, 3) or kind != "uint8" or shape[3] < 1:
        what = f"{kind or 'missing'} {tuple(shape)}"
        raise InputError(f"{path}: X is {what}; expected uint8 (32, 32, 3, count)")
    if math.prod(label_shape) != shape[3] or label_kind not in ("uint8", "double", "int32"):
        what = f"{label_kind or 'missing'} {tuple(label_shape)}"
        raise InputError(f"{path}: y is {what}; expected {shape[3]} numbers")
    if math.prod(shape) > max_bytes:
        raise InputError(f"{path}: X has {math.prod(shape)} bytes; expected at most {max_bytes}")
    return shape[3]
