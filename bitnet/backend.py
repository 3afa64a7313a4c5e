"""What is there to compute with: the library an array belongs to, threads, and what is missing."""

import importlib.util
import platform
import sys

import numpy as np

from bitnet import kernels
from bitnet.errors import InputError

__all__ = ["array_module", "blas", "check_generator", "set_num_threads", "status"]

OPTIONAL = {
    "numba": "the fast kernels (without it: NumPy, slow)",
    "tqdm": "progress bars",
    "threadpoolctl": "setting the threads of the BLAS",
    "scipy": "reading SVHN (extra `mat`)",
    "PIL": "reading pictures (extra `images`)",
    "pooch": "`bitnet data fetch` (extra `data`)",
    "matplotlib": "`bitnet plot` (extra `plot`)",
    "cupy": "a GPU, which is to come (extras `cuda12`, `cuda13`)",
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


def check_generator(what, rng):
    """Refuse a source of randomness that is no `numpy.random.Generator`, as a bare seed.

    Parameters
    ----------
    what : str
        Who draws, for the message.
    rng : numpy.random.Generator
        What came.

    Raises
    ------
    InputError
        If it is something else.

    Examples
    --------
    >>> check_generator("Dropout", np.random.default_rng(0))
    """
    if not isinstance(rng, np.random.Generator):
        raise InputError(
            f"{what}: rng is {rng!r}; expected a numpy.random.Generator, "
            "as numpy.random.default_rng(0)"
        )


def set_num_threads(n):
    """Let the kernels on bits and the BLAS of NumPy use `n` threads each.

    By default the kernels use all processors that the process may run on, and the BLAS what it
    was built or told to.

    Parameters
    ----------
    n : int
        Threads, from 1 to 1024; more than the processor runs at once are of no use.

    Raises
    ------
    InputError
        If `n` is no such number, or threadpoolctl is not installed.

    Examples
    --------
    >>> set_num_threads(1)
    """
    before = kernels.num_threads()
    kernels.set_num_threads(n)
    if importlib.util.find_spec("threadpoolctl") is None:
        kernels.set_num_threads(before)
        raise InputError("set_num_threads needs threadpoolctl; run `pip install threadpoolctl`")
    import threadpoolctl

    threadpoolctl.threadpool_limits(int(n))


def blas():
    """The libraries that multiply floats for NumPy, each in words: name, version, threads.

    Returns
    -------
    list of str
        Empty without threadpoolctl.

    Examples
    --------
    >>> all("threads" in words for words in blas())
    True
    """
    if importlib.util.find_spec("threadpoolctl") is None:
        return []
    import threadpoolctl

    pools = (pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas")
    return [
        f"{pool['internal_api']} {pool['version']} {pool.get('architecture') or ''}, "
        f"{pool['num_threads']} threads"
        for pool in pools
    ]


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
    import importlib.metadata  # takes 15 ms, and nobody else needs it

    distributions = importlib.metadata.packages_distributions().get(name, [name])
    try:
        return importlib.metadata.version(distributions[0])
    except importlib.metadata.PackageNotFoundError:
        return "there, of an unknown version"
