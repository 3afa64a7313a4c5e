"""How a kernel gets to the GPU: CuPy's arrays without a copy, its current stream, its device.

In Numba's simulator, where the tests run these kernels without a GPU, the arrays are NumPy's.
"""

import contextlib
import functools
import importlib.util
import types
import warnings

import numpy as np

if not hasattr(np, "row_stack"):  # NumPy 2.5 has none, and numba-cuda 0.30 asks for it as it loads
    np.row_stack = np.vstack
    with contextlib.suppress(ImportError):  # the CUDA of Numba itself has another one
        from numba.cuda.np import arrayobj  # noqa: F401
    del np.row_stack

from numba import config, cuda

from bitnet.arrays import array_module
from bitnet.errors import InputError

__all__ = [
    "RUNGS",
    "here",
    "in_pieces",
    "inlined",
    "launch",
    "missing",
    "row_of_halves",
    "rung",
    "using_rung",
]

RUNGS = ("tensor", "registers", "tiled", "naive")
SIMULATED = bool(config.ENABLE_CUDASIM)

# Numba's own inliner takes half a minute for what LLVM's does in two seconds
AT_ONCE = {"forceinline": True} if importlib.util.find_spec("numba_cuda") else {"inline": "always"}

MOST = 1 << 15  # blocks on the second axis of a grid, which has 65 535 at most; then on the third

_rung = None  # a name in RUNGS; None until it is asked for


def inlined(function):
    """A function for kernels to call, which becomes a part of them.

    Parameters
    ----------
    function : callable
        In the part of Python that Numba knows.

    Returns
    -------
    callable
        For kernels; arrays that it is given may stay in registers.  In the simulator the function
        itself, so that it and the kernels that know of threads have to be in one file.

    Examples
    --------
    >>> callable(inlined(lambda x: x + 1))
    True
    """
    return function if SIMULATED else cuda.jit(device=True, **AT_ONCE)(function)


def launch(kernel, blocks, threads, *arguments):
    """Run a kernel on the stream on which CuPy works just now; nothing is waited for.

    Parameters
    ----------
    kernel : callable
        What `numba.cuda.jit` made.
    blocks : tuple of int
        Blocks of the grid, of one axis or two; none are run if one number is 0.  The second axis
        goes on in the third: a block has place `blockIdx.y + MOST * blockIdx.z` there, which may
        be behind the last one.
    threads : int
        In a block.
    *arguments : array, int, float or tuple
        What the kernel takes; arrays are CuPy's, of one byte at least.

    Raises
    ------
    InputError
        If the arrays are NumPy's, and this is not the simulator.

    Examples
    --------
    >>> launch(None, (0, 3), 32)
    """
    if 0 in blocks:
        return
    if len(blocks) == 2:
        blocks = blocks[0], min(blocks[1], MOST), -(-blocks[1] // MOST)
    if SIMULATED:
        kernel[blocks, threads](*map(_handed, arguments))
        return
    xp = array_module(*arguments)
    if xp is np:
        raise InputError("a CUDA kernel got NumPy arrays; expected CuPy's, as bitnet.to_gpu gives")
    device, stream = here(xp)
    given = (_handed(x, device) if isinstance(x, xp.ndarray) else x for x in arguments)
    _configured(kernel, blocks, threads, stream)(*given)


def here(xp):
    """The device and the stream on which CuPy works just now: what is kept is kept for these.

    Parameters
    ----------
    xp : module
        CuPy.

    Returns
    -------
    tuple of int or None
        The device's number and the stream's address, which is 0 for the default one; None in the
        simulator.

    Examples
    --------
    >>> import types
    >>> runtime = types.SimpleNamespace(getDevice=lambda: 1)
    >>> stream = types.SimpleNamespace(ptr=0)
    >>> here(types.SimpleNamespace(cuda=types.SimpleNamespace(
    ...     runtime=runtime, get_current_stream=lambda: stream)))
    (1, 0)
    """
    if SIMULATED:
        return None
    return xp.cuda.runtime.getDevice(), xp.cuda.get_current_stream().ptr


@functools.lru_cache(maxsize=1024)
def _configured(kernel, blocks, threads, stream):
    """A kernel with its grid, its block and CuPy's stream."""
    with warnings.catch_warnings():  # Numba warns of small grids, which small batches have
        warnings.simplefilter("ignore")
        return kernel[blocks, threads, cuda.external_stream(stream) if stream else 0]


def _handed(array, device):
    """The memory of a CuPy array as Numba takes it."""
    if not array.flags.c_contiguous:
        return cuda.as_cuda_array(array, sync=False)
    return _described(device, array.data.ptr, array.shape, array.dtype)


@functools.lru_cache(maxsize=4096)
def _described(device, address, shape, dtype):
    """What Numba has to know of an array, whichever that is just now: to make it takes 20 us.

    Numba would wait for the stream of an array; here none is named, as it is the kernel's own.
    """
    known = {"data": (address, False), "shape": shape, "typestr": dtype.str, "version": 3}
    described = types.SimpleNamespace(__cuda_array_interface__={**known, "strides": None})
    return cuda.as_cuda_array(described, sync=False)


def row_of_halves(words):
    """Words in a row of 32-bit halves, as the kernels read them: the same layout and memory.

    Parameters
    ----------
    words : array
        uint64, of any shape and of one word at least.

    Returns
    -------
    array
        uint32 of one axis.

    Examples
    --------
    >>> row_of_halves(np.array([[1 + (2 << 32)]], np.uint64))
    array([1, 2], dtype=uint32)
    """
    return array_module(words).ascontiguousarray(words).reshape(-1).view(np.uint32)


def in_pieces(words):
    """Words in order, from a multiple of 16 bytes on: those that are, or a copy.

    Parameters
    ----------
    words : array
        uint64, of any shape.

    Returns
    -------
    array

    Examples
    --------
    >>> words = np.arange(3, dtype=np.uint64)
    >>> in_pieces(words) is words or bool(words.ctypes.data % 16)
    True
    """
    xp = array_module(words)
    words = xp.ascontiguousarray(words)
    address = words.ctypes.data if xp is np else words.data.ptr
    return words.copy() if address % 16 else words


def missing(name):
    """Why a rung cannot run on this GPU, or None where it can.

    Parameters
    ----------
    name : str
        In RUNGS.

    Returns
    -------
    str or None

    Examples
    --------
    >>> missing("naive")
    """
    if name != "tensor" or SIMULATED:
        return None
    found = cuda.get_current_device().compute_capability
    if found < (8, 0):
        return f"tensor cores for bits came with compute capability 8.0; this GPU has {found}"
    return None


def rung():
    """The rung of the ladder of products that runs: see `bitnet.kernels.cuda.xnor`.

    Returns
    -------
    str
        "tensor" on GPUs whose tensor cores multiply bits, of compute capability 8.0 to 9.0;
        "registers" on older ones, and on newer ones, which emulate that instruction.

    Examples
    --------
    >>> with using_rung("registers"):
    ...     rung()
    'registers'
    """
    global _rung
    if _rung is None:
        found = (8, 0) if SIMULATED else cuda.get_current_device().compute_capability
        _rung = "tensor" if (8, 0) <= tuple(found) < (10, 0) else "registers"
    return _rung


@contextlib.contextmanager
def using_rung(name):
    """Multiply on one rung inside a `with` block, for the whole process.

    Parameters
    ----------
    name : {"tensor", "registers", "tiled", "naive"}
        The rung; convolutions and planes know the first two, and take the second for others.

    Raises
    ------
    InputError
        If there is no such rung, or not on this GPU.

    Examples
    --------
    >>> with using_rung("naive"):
    ...     rung()
    'naive'
    """
    global _rung
    if name not in RUNGS:
        raise InputError(f"using_rung: no rung {name!r}; there are {list(RUNGS)}")
    if problem := missing(name):
        raise InputError(f"using_rung: {problem}")
    before, _rung = _rung, name
    try:
        yield
    finally:
        _rung = before
