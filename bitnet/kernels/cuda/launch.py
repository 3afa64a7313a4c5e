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
from bitnet.errors import InputError, check_choice

RUNGS = ("tensor", "registers", "tiled", "naive")
SIMULATED = bool(vars(config)["ENABLE_CUDASIM"])

# Numba's own inliner takes half a minute for what LLVM's does in two seconds
AT_ONCE = {"forceinline": True} if importlib.util.find_spec("numba_cuda") else {"inline": "always"}

ALL = np.uint32(0xFFFFFFFF)  # lanes of a warp
STRIP = 8  # halves of words that one warp makes of one row
THREADS = 256  # in a block of one axis
MOST = 1 << 15  # blocks on the second axis of a grid, which has 65 535 at most; then on the third

_rung = None  # a name in RUNGS; None until it is asked for


def inlined(function):
    """Make a function that kernels call, and which becomes a part of them.

    Arrays that it is given may stay in registers.  In the simulator it is the function itself, so
    that a function that asks for threads and its kernel have to be in one file.
    """
    return function if SIMULATED else cuda.jit(device=True, **AT_ONCE)(function)


def launch(kernel, blocks, threads, *arguments):
    """Run a kernel on the stream on which CuPy works just now, without waiting for it.

    `blocks` has one axis or two, and no block runs if one number is 0.  The second axis goes on in
    the third: a block has place `blockIdx.y + MOST * blockIdx.z` there, which may be after the last
    one.  Arrays are CuPy's, of one byte at least; NumPy's only in the simulator.
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


def by_threads(kernel, count, *arguments):
    """Run a kernel on at least so many threads, in blocks of one axis."""
    launch(kernel, (-(-count // THREADS),), THREADS, *arguments)


def by_warps(kernel, count, *arguments):
    """Run a kernel on at least so many warps, in blocks of one axis."""
    by_threads(kernel, 32 * count, *arguments)


@inlined
def place(thread, strips):
    """The lane of a thread, and the row and the strip of its warp, for so many strips in a row."""
    warp = thread // 32
    return thread % 32, warp // strips, warp % strips


def flat(x):
    """The numbers of an array, in order, on one axis."""
    return array_module(x).ascontiguousarray(x).reshape(-1)


def here(xp):
    """Return the device and the stream of CuPy: what is kept is kept for these.

    The stream is its address, 0 for the default one; the simulator has None for both.
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
    """View words in a row of 32-bit halves, as the kernels read them."""
    return flat(words).view(np.uint32)


def in_pieces(words):
    """Return words in order that begin at a multiple of 16 bytes, or a copy of them that does."""
    xp = array_module(words)
    words = xp.ascontiguousarray(words)
    address = words.ctypes.data if xp is np else words.data.ptr
    return words.copy() if address % 16 else words


def missing(name):
    """Return why a rung cannot run on this GPU, or None where it can."""
    if name != "tensor" or SIMULATED:
        return None
    found = cuda.get_current_device().compute_capability
    if found < (8, 0):
        return f"tensor cores for bits came with compute capability 8.0; this GPU has {found}"
    return None


def rung():
    """Return the rung of the ladder of products that runs: see `bitnet.kernels.cuda.xnor`.

    It is "tensor" on GPUs whose tensor cores multiply bits, of compute capability 8.0 to 9.0, and
    "registers" on older ones, and on newer ones, which emulate that instruction.
    """
    global _rung
    if _rung is None:
        found = (8, 0) if SIMULATED else cuda.get_current_device().compute_capability
        _rung = "tensor" if (8, 0) <= tuple(found) < (10, 0) else "registers"
    return _rung


@contextlib.contextmanager
def using_rung(name):
    """Multiply on one rung of RUNGS inside a `with` block, for the whole process.

    Convolutions and planes know the first two rungs, and take the second for the others.
    """
    global _rung
    check_choice("using_rung", RUNGS, name=name)
    if problem := missing(name):
        raise InputError(f"using_rung: {problem}")
    before, _rung = _rung, name
    try:
        yield
    finally:
        _rung = before
