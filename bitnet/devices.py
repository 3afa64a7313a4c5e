"""What is there to compute with: the library an array belongs to, threads, and what is missing."""

import contextlib
import importlib.util
import platform

import numpy as np

from bitnet import kernels
from bitnet.arrays import moved, to_cpu
from bitnet.errors import InputError, check_choice
from bitnet.kernels import threads

OPTIONAL = {
    "numba": "the fast kernels (without it: NumPy, slow)",
    "tqdm": "progress bars",
    "threadpoolctl": "setting the threads of the BLAS",
    "scipy": "reading SVHN (extra `mat`)",
    "PIL": "reading pictures (extra `images`)",
    "pooch": "`bitnet data fetch` (extra `data`)",
    "matplotlib": "`bitnet plot` (extra `plot`)",
    "cupy": "a GPU (extras `cuda12`, `cuda13`)",
}
# what the runtimes of CUDA say when an allocation fails beside CuPy's pool
FULL = "cudaErrorMemoryAllocation", "CUDA_ERROR_OUT_OF_MEMORY", "STATUS_ALLOC_FAILED"


def check_generator(what, rng):
    """Refuse a source of randomness that is no `numpy.random.Generator`, as a bare seed."""
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
        Threads, from 1 to 1024; more than the processor runs at once do not help.

    Raises
    ------
    InputError
        If `n` is not such a number, or threadpoolctl is not installed.

    Examples
    --------
    >>> set_num_threads(1)
    """
    before = threads.num_threads()
    threads.set_num_threads(n)
    if importlib.util.find_spec("threadpoolctl") is None:
        threads.set_num_threads(before)
        raise InputError("set_num_threads needs threadpoolctl; run `pip install threadpoolctl`")
    import threadpoolctl

    threadpoolctl.threadpool_limits(int(n))


def blas_threads(n):
    """Return a context in which the BLAS uses `n` threads, where threadpoolctl is installed.

    A BLAS waits for its own threads in a loop.  Where other programs use the processors, a small
    product takes 10 to 20 times as long on two threads as on one.
    """
    if importlib.util.find_spec("threadpoolctl") is None:
        return contextlib.nullcontext()
    import threadpoolctl

    return threadpoolctl.threadpool_limits(n, "blas")


def blas():
    """The libraries that multiply floats for NumPy, each in words: name, version, threads."""
    if importlib.util.find_spec("threadpoolctl") is None:
        return []
    import threadpoolctl

    pools = (pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas")
    return [
        f"{pool['internal_api']} {pool['version']} {pool.get('architecture') or ''}, "
        f"{pool['num_threads']} threads"
        for pool in pools
    ]


def show_versions():
    """Return what this installation has and what it lacks, one fact per line.

    Returns
    -------
    list of (str, str)
        The name of a thing, and its version or why it is missing and what it is for.

    Examples
    --------
    >>> dict(show_versions())["numpy"] == np.__version__
    True
    """
    facts = [
        ("python", platform.python_version()),
        ("processor", f"{platform.machine()}, {platform.system()}"),
        ("numpy", np.__version__),
    ]
    for name, purpose in OPTIONAL.items():
        missing = importlib.util.find_spec(name) is None
        facts.append((name, f"not installed; needed for {purpose}" if missing else _version(name)))
    return [*facts, ("gpu", gpu_problem() or _gpu())]


def gpu_problem():
    """Why there is no GPU to compute on, or None where there is one.

    Imports CuPy, where it is installed.
    """
    extra = (
        "`pip install 'cupy-cuda12x[ctk]' 'numba-cuda[cu12]'`, or the extra `cuda12` (for CUDA 13, "
        "as `nvidia-smi` says: cupy-cuda13x, cu13, `cuda13`)"
    )
    if importlib.util.find_spec("cupy") is None:
        return f"CuPy is not installed; run {extra}"
    try:
        import cupy
    except ImportError as error:  # as of a library of CUDA that is not there
        return f"CuPy cannot be imported ({error}); install it anew: {extra}"
    runtime = cupy.cuda.runtime
    driver, wanted = runtime.driverGetVersion(), runtime.runtimeGetVersion()
    if not driver:
        return "there is no NVIDIA driver; install one, or compute on the processor"
    try:
        count = runtime.getDeviceCount()
    except RuntimeError as error:  # CUDARuntimeError
        if driver < wanted:
            return (
                f"the driver knows CUDA up to {_cuda(driver)} and CuPy needs {_cuda(wanted)}; "
                f"install a newer driver, or a CuPy for the older one: {extra}"
            )
        return f"the driver finds no GPU ({error}); look at what `nvidia-smi` says"
    if not count:
        return "the driver finds no GPU; look at what `nvidia-smi` says"
    try:
        cupy.cuda.cublas.create  # noqa: B018  opens this library, as the first product would
    except ImportError as error:
        reason = " ".join(str(error).split())[:99]
        return f"CuPy finds no cuBLAS ({reason}...); run {extra}"
    if kernels.implementation() != "reference" and importlib.util.find_spec("numba_cuda") is None:
        return f"numba-cuda, which compiles the kernels, is not installed; run {extra}"
    return None


def _cuda(version):
    """A version of CUDA as people write it: 12090 is 12.9."""
    return f"{version // 1000}.{version % 1000 // 10}"


def _gpu():
    """The GPU in use, in words."""
    import cupy

    facts = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.runtime.getDevice())
    name, memory = facts["name"].decode(), facts["totalGlobalMem"] / 2**30
    return (
        f"{name}, compute capability {facts['major']}.{facts['minor']}, {memory:.0f} GiB, "
        f"CUDA {_cuda(cupy.cuda.runtime.driverGetVersion())} of the driver, "
        f"{_cuda(cupy.cuda.runtime.runtimeGetVersion())} of CuPy"
    )


def to_gpu(x):
    """Return the same in the memory of the GPU, in CuPy's arrays.

    Parameters
    ----------
    x : array, Bits, BitPlanes, Quantized, Thresholds, Tensor, FrozenNet, or a list or dict of them
        CuPy's arrays come back as they are, not as copies.  For a Module see its method `to`.

    Returns
    -------
    object
        Of the kind of x.

    Raises
    ------
    InputError
        If there is no GPU, its memory is full, or x is something else.

    Examples
    --------
    >>> if gpu_problem() is None:
    ...     assert to_cpu(to_gpu(np.ones(2))).tolist() == [1, 1]
    """
    if problem := gpu_problem():
        raise InputError(f"no GPU: {problem}")
    import cupy

    with full_memory_named():
        return moved(x, cupy.asarray)


def mover(device):
    """The function that moves to a device: `to_cpu` or `to_gpu`."""
    moves = {"cpu": to_cpu, "gpu": to_gpu}
    check_choice(None, moves, device=device)
    if device == "gpu" and (problem := gpu_problem()):
        raise InputError(f"no GPU: {problem}")
    return moves[device]


@contextlib.contextmanager
def stream():
    """A stream of the GPU: what is begun in the block runs beside other streams, and in order.

    At the end of the block the processor waits for it.
    """
    if problem := gpu_problem():
        raise InputError(f"no GPU: {problem}")
    import cupy

    own = cupy.cuda.Stream(non_blocking=True)
    with own:
        yield own
    own.synchronize()


@contextlib.contextmanager
def full_memory_named():
    """Inside, a memory of the GPU that is full becomes one sentence.

    What was in the GPU's memory before stays there, but for what a program keeps no more.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # CuPy's OutOfMemoryError is a MemoryError, Numba's any Exception
        of_cupy = type(error).__module__.startswith("cupy") and isinstance(error, MemoryError)
        if not of_cupy and not any(word in str(error) for word in FULL):
            raise
        words = " ".join(str(error).split()).rstrip(".")
        raise InputError(
            f"the memory of the GPU is full ({words}); take a smaller batch or net, end other "
            "programs on it, or compute on the processor"
        ) from None


def _version(name):
    """The version of an installed module, without importing it."""
    import importlib.metadata  # takes 15 ms, and nobody else needs it

    distributions = importlib.metadata.packages_distributions().get(name, [name])
    try:
        return importlib.metadata.version(distributions[0])
    except importlib.metadata.PackageNotFoundError:
        return "there, of an unknown version"
