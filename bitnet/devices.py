"""The GPU, CPU threads and installed packages: what this installation computes with."""

import contextlib
import functools
import importlib.util
import platform
import threading

import numpy as np

from bitnet import kernels
from bitnet.arrays import T, moved, to_cpu
from bitnet.errors import InputError, check_choice
from bitnet.kernels import threads

OPTIONAL = {
    "numba": "the fast kernels (without it: NumPy, slow)",
    "tqdm": "progress bars",
    "threadpoolctl": "the number of BLAS threads, and products of floats on our threads",
    "scipy": "reading SVHN (extra `mat`)",
    "PIL": "reading image files (extra `images`)",
    "pooch": "`bitnet data fetch` (extra `data`)",
    "matplotlib": "`bitnet plot` (extra `plot`)",
    "cupy": "a GPU (extras `cuda12`, `cuda13`)",
}
# in the error messages of CUDA libraries for a failed allocation outside CuPy's pool
FULL = "cudaErrorMemoryAllocation", "CUDA_ERROR_OUT_OF_MEMORY", "STATUS_ALLOC_FAILED"

_lock = threading.Lock()
_limited = 0  # blocks of `one_blas_thread` that have not ended
_threads_outside: list[int] = []  # those of each library


def check_generator(what, rng):
    """Raise InputError unless `rng` is a `numpy.random.Generator`; a bare seed is not one."""
    if not isinstance(rng, np.random.Generator):
        raise InputError(
            f"{what}: rng is {rng!r}; expected a numpy.random.Generator, "
            "such as numpy.random.default_rng(0)"
        )


def set_num_threads(n: int) -> None:
    """Set the number of threads of the bit kernels and of the BLAS that NumPy uses.

    By default the kernels use all CPU cores that the process may run on; the default of the BLAS
    depends on its build and its environment variables.

    Parameters
    ----------
    n : int
        Number of threads, from 1 to 1024; more threads than CPU cores do not help.

    Raises
    ------
    InputError
        If `n` is out of range, or threadpoolctl is not installed.

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


@functools.cache
def blas_libraries():
    """Return threadpoolctl's controllers of the BLAS libraries; none where it is not installed."""
    if importlib.util.find_spec("threadpoolctl") is None:
        return []
    import threadpoolctl

    return threadpoolctl.ThreadpoolController().select(user_api="blas").lib_controllers


@contextlib.contextmanager
def one_blas_thread():
    """Let the BLAS use one thread inside the block; blocks of several threads may overlap."""
    global _limited, _threads_outside
    with _lock:
        _limited += 1
        if _limited == 1:
            _threads_outside = [library.get_num_threads() for library in blas_libraries()]
            for library in blas_libraries():
                library.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _limited -= 1
            if not _limited:
                for library, n in zip(blas_libraries(), _threads_outside, strict=True):
                    library.set_num_threads(n)


def blas():
    """Return a line for each BLAS library that NumPy uses: name, version and threads."""
    if importlib.util.find_spec("threadpoolctl") is None:
        return []
    import threadpoolctl

    pools = (pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas")
    return [
        f"{pool['internal_api']} {pool['version']} {pool.get('architecture') or ''}, "
        f"{pool['num_threads']} threads"
        for pool in pools
    ]


def show_versions() -> list[tuple[str, str]]:
    """Return the versions of installed packages and devices, and what is missing.

    Returns
    -------
    list of (str, str)
        A name, and its version, or why it is missing and what it is needed for.

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
    """Return why there is no usable GPU, or None if there is one.

    Imports CuPy if it is installed.
    """
    extra = (
        "`pip install 'cupy-cuda12x[ctk]' 'numba-cuda[cu12]'`, or the extra `cuda12` (if "
        "`nvidia-smi` shows CUDA 13: cupy-cuda13x, cu13, `cuda13`)"
    )
    if importlib.util.find_spec("cupy") is None:
        return f"CuPy is not installed; run {extra}"
    try:
        import cupy
    except ImportError as error:  # such as a missing CUDA library
        return f"CuPy cannot be imported ({error}); reinstall it: {extra}"
    runtime = cupy.cuda.runtime
    driver, wanted = runtime.driverGetVersion(), runtime.runtimeGetVersion()
    if not driver:
        return "there is no NVIDIA driver; install one, or compute on the CPU"
    try:
        count = runtime.getDeviceCount()
    except RuntimeError as error:  # CUDARuntimeError
        if driver < wanted:
            return (
                f"the driver supports CUDA up to {_cuda(driver)}, and CuPy needs {_cuda(wanted)}; "
                f"install a newer driver, or a CuPy for the older one: {extra}"
            )
        return f"the driver finds no GPU ({error}); check the output of `nvidia-smi`"
    if not count:
        return "the driver finds no GPU; check the output of `nvidia-smi`"
    try:
        cupy.cuda.cublas.create  # noqa: B018  loads this library, like the first product
    except ImportError as error:
        reason = " ".join(str(error).split())[:99]
        return f"CuPy finds no cuBLAS ({reason}...); run {extra}"
    if kernels.implementation() != "reference" and importlib.util.find_spec("numba_cuda") is None:
        return f"numba-cuda, which compiles the kernels, is not installed; run {extra}"
    return None


def _cuda(version):
    """Return a CUDA version in the usual form: 12.9 for 12090."""
    return f"{version // 1000}.{version % 1000 // 10}"


def _gpu():
    """Return a description of the GPU in use."""
    import cupy

    facts = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.runtime.getDevice())
    name, memory = facts["name"].decode(), facts["totalGlobalMem"] / 2**30
    return (
        f"{name}, compute capability {facts['major']}.{facts['minor']}, {memory:.0f} GiB, "
        f"CUDA {_cuda(cupy.cuda.runtime.driverGetVersion())} (driver), "
        f"{_cuda(cupy.cuda.runtime.runtimeGetVersion())} (CuPy)"
    )


def to_gpu(x: T) -> T:
    """Return `x` with its arrays moved to GPU memory, as CuPy arrays.

    Parameters
    ----------
    x : array, Bits, BitPlanes, Quantized, Thresholds, Tensor, FrozenNet, or a list or dict of them
        CuPy arrays are returned as they are, not copied.  For a Module, call its method `to`.

    Returns
    -------
    object
        An object of the same kind.

    Raises
    ------
    InputError
        If there is no GPU, its memory is full, or `x` is anything else.

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
    """Return the function that moves arrays to a device: `to_cpu` or `to_gpu`."""
    moves = {"cpu": to_cpu, "gpu": to_gpu}
    check_choice(None, moves, device=device)
    if device == "gpu" and (problem := gpu_problem()):
        raise InputError(f"no GPU: {problem}")
    return moves[device]


@contextlib.contextmanager
def stream():
    """Run the block on a GPU stream of its own, in order and in parallel with other streams.

    The CPU waits for the stream at the end of the block.
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
    """Turn out-of-memory errors of the GPU into an InputError of one sentence.

    Arrays that the program still refers to stay in GPU memory.
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
            f"the memory of the GPU is full ({words}); use a smaller batch or net, stop other "
            "programs on the GPU, or compute on the CPU"
        ) from None


def _version(name):
    """Return the version of an installed module without importing it."""
    import importlib.metadata as metadata  # takes 15 ms and is needed only here

    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version(name)
    # of another name, such as PIL of pillow; this reads the lists of files of all packages
    for distribution in metadata.packages_distributions().get(name, ()):
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(distribution)
    return "installed, version unknown"


@contextlib.contextmanager
def on_cpu(model):
    """Move a model to the CPU inside a `with` block, and then back to its device."""
    before = model.device
    if before == "cpu":
        yield model
        return
    model.to("cpu")
    try:
        yield model
    finally:
        model.to(before)
