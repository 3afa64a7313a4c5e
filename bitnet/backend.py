"""What is there to compute with: the library an array belongs to, threads, and what is missing."""

import importlib.metadata
import importlib.util
import platform
import sys

import numpy as np

from bitnet.errors import InputError

__all__ = ["array_module", "set_num_threads", "status"]

OPTIONAL = {
    "numba": "the fast kernels (without it: NumPy, slow)",
    "tqdm": "progress bars",
    "threadpoolctl": "setting the threads of the BLAS",
    "matplotlib": "plots: pip install 'bitnet-engine[plot]'",
    "cupy": "a GPU: pip install 'bitnet-engine[cuda12]' or '[cuda13]'",
}


def array_module(*arrays):
    """The library, `numpy` or `cupy`, that the arrays belong to: the array decides the device.

    Parameters
    ----------
    *arrays : array
        Arrays of one library, or Python numbers, which belong to any.

    Returns
    -------
    module
        `cupy` if one of the arrays is CuPy's, otherwise `numpy`.

    Examples
    --------
    >>> import numpy as np
    >>> array_module(np.zeros(3)).__name__
    'numpy'
    """
    for array in arrays:
        if type(array).__module__.partition(".")[0] == "cupy":
            return sys.modules["cupy"]
    return np


def set_num_threads(n):
    """Let the Numba kernels and the BLAS of NumPy use `n` threads each.

    Parameters
    ----------
    n : int
        Threads, 1 or more; at most as many as the processor runs are useful.

    Raises
    ------
    InputError
        If `n` is not a whole number of 1 or more.

    Examples
    --------
    >>> set_num_threads(1)
    """
    if not isinstance(n, (int, np.integer)) or isinstance(n, bool) or n < 1:
        raise InputError(f"set_num_threads: n is {n!r}; expected a whole number of 1 or more")
    if importlib.util.find_spec("threadpoolctl"):
        import threadpoolctl

        threadpoolctl.threadpool_limits(int(n))
    if importlib.util.find_spec("numba"):
        import numba

        numba.set_num_threads(min(int(n), numba.config.NUMBA_NUM_THREADS))


def status():
    """What this installation has and what it lacks, one fact a line.

    Returns
    -------
    list of (str, str)
        The name of a thing, and its version or why it is missing and what it is for.

    Examples
    --------
    >>> dict(status())["numpy"] == np.__version__
    True
    """
    facts = [
        ("python", platform.python_version()),
        ("processor", f"{platform.machine()}, {platform.system()}"),
        ("numpy", np.__version__),
    ]
    for name, purpose in OPTIONAL.items():
        if importlib.util.find_spec(name) is None:
            facts.append((name, f"not installed; needed for {purpose}"))
        else:
            facts.append((name, _version(name)))
    return facts


def _version(name):
    """The version of an installed module, without importing it."""
    distributions = importlib.metadata.packages_distributions().get(name, [name])
    return importlib.metadata.version(distributions[0])
