"""Launches of kernels on CuPy's arrays, without copies, on its current stream and device.

In Numba's simulator, where tests run the kernels without a GPU, the arrays are NumPy arrays.
"""

import contextlib
import functools
import importlib.util
import types
import warnings
from collections.abc import Iterator

import numpy as np

if not hasattr(np, "row_stack"):  # numba-cuda 0.30 needs it at import, and NumPy 2.5 removed it
    np.row_stack = np.vstack
    with contextlib.suppress(ImportError):  # Numba's own CUDA lacks this module
        from numba.cuda.np import arrayobj  # noqa: F401
    del np.row_stack

from numba import config, cuda

from bitnet.arrays import array_module
from bitnet.errors import InputError, check_choice

RUNGS = ("tensor", "registers", "tiled", "naive")
SIMULATED = bool(vars(config)["ENABLE_CUDASIM"])

# Numba's own inliner takes half a minute, LLVM's two seconds
AT_ONCE = {"forceinline": True} if importlib.util.find_spec("numba_cuda") else {"inline": "always"}

ALL = np.uint32(0xFFFFFFFF)  # all lanes of a warp
STRIP = 8  # halves of words per row and warp
THREADS = 256  # per block with one axis
MOST = 1 << 15  # blocks on the second axis of a grid, whose limit is 65 535; more use the third

_rung = None  # a name in RUNGS; None until the first use


def inlined(function):
    """Make a function that is inlined into the kernels that call it.

    Its array arguments may stay in registers.  In the simulator it is the function itself, so a
    function that uses threads must be in the same file as its kernel.
    """
    return function if SIMULATED else cuda.jit(device=True, **AT_ONCE)(function)


def launch(kernel, blocks, threads, *arguments):
    """Run a kernel on CuPy's current stream, without waiting for it.

    `blocks` has one axis or two, and no block runs if one number is 0.  The second axis continues
    in the third: a block has number `blockIdx.y + MOST * blockIdx.z`, which may be after the last
    one.  Arrays are CuPy arrays with at least one byte; NumPy arrays only in the simulator.
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
        raise InputError("a CUDA kernel got NumPy arrays; expected CuPy arrays (bitnet.to_gpu)")
    device, stream = here(xp)
    given = (_handed(x, device) if isinstance(x, xp.ndarray) else x for x in arguments)
    _configured(kernel, blocks, threads, stream)(*given)


def by_threads(kernel, count, *arguments):
    """Run a kernel on at least `count` threads, in blocks with one axis."""
    launch(kernel, (-(-count // THREADS),), THREADS, *arguments)


def by_warps(kernel, count, *arguments):
    """Run a kernel on at least `count` warps, in blocks with one axis."""
    by_threads(kernel, 32 * count, *arguments)


@inlined
def place(thread, strips):
    """Return the lane of a thread, and the row and strip of its warp, with `strips` per row."""
    warp = thread // 32
    return thread % 32, warp // strips, warp % strips


def flat(x):
    """Flatten an array."""
    return array_module(x).ascontiguousarray(x).reshape(-1)


def here(xp):
    """Return CuPy's current device and stream, which are part of the keys of caches.

    The stream is an address, 0 for the default stream; in the simulator both are None.
    """
    if SIMULATED:
        return None
    return xp.cuda.runtime.getDevice(), xp.cuda.get_current_stream().ptr


@functools.lru_cache(maxsize=1024)
def _configured(kernel, blocks, threads, stream):
    """Return a kernel configured with grid, block and CuPy's stream."""
    with warnings.catch_warnings():  # about small grids, which are normal for small batches
        warnings.simplefilter("ignore")
        return kernel[blocks, threads, cuda.external_stream(stream) if stream else 0]


def _handed(array, device):
    """Return a Numba view of the memory of a CuPy array."""
    if not array.flags.c_contiguous:
        return cuda.as_cuda_array(array, sync=False)
    return _described(device, array.data.ptr, array.shape, array.dtype)


@functools.lru_cache(maxsize=4096)
def _described(device, address, shape, dtype):
    """Return Numba's description of an array, which is cached, as it takes 20 us to make.

    It names no stream, for which Numba would wait: the stream is that of the kernel.
    """
    known = {"data": (address, False), "shape": shape, "typestr": dtype.str, "version": 3}
    described = types.SimpleNamespace(__cuda_array_interface__={**known, "strides": None})
    return cuda.as_cuda_array(described, sync=False)


def row_of_halves(words):
    """View words as a flat array of 32-bit halves, as the kernels read them."""
    return flat(words).view(np.uint32)


def in_pieces(words):
    """Return contiguous words at a multiple of 16 bytes, copied if necessary."""
    xp = array_module(words)
    words = xp.ascontiguousarray(words)
    address = words.ctypes.data if xp is np else words.data.ptr
    return words.copy() if address % 16 else words


def missing(name):
    """Return why a rung cannot run on this GPU, or None if it can."""
    if name != "tensor" or SIMULATED:
        return None
    found = cuda.get_current_device().compute_capability
    if found < (8, 0):
        return f"binary tensor cores need compute capability 8.0; this GPU has {found}"
    return None


def rung() -> str:
    """Return the rung of the products in use, see `bitnet.kernels.cuda.xnor`.

    It is "tensor" on GPUs whose tensor cores multiply bits, of compute capability 8.0 to 9.0, and
    "registers" on older ones, and on newer ones, which emulate that instruction.
    """
    global _rung
    if _rung is None:
        found = (8, 0) if SIMULATED else cuda.get_current_device().compute_capability
        _rung = "tensor" if (8, 0) <= tuple(found) < (10, 0) else "registers"
    return _rung


@contextlib.contextmanager
def using_rung(name: str) -> Iterator[None]:
    """Use one rung of RUNGS inside a `with` block, for the whole process.

    Convolutions and planes have only the first two rungs, and use the second for the others.
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
