"""Launch kernels like `bitnet.kernels.cuda.launch`, compiled to PTX, which `ptx` runs."""

import functools
import struct
import types

import numpy as np
import stand_in
import warps
from ptx import GLOBAL, Lane, Memory, Translator, quotient, signed

CAPABILITY = 9, 0
MEMORY = 1 << 20  # bytes


@functools.cache
def translated(kernel, signature):
    """Return the function of a thread, and its translator, for argument types."""
    from numba import cuda
    from numba.cuda import dispatcher

    device = types.SimpleNamespace(compute_capability=CAPABILITY)
    dispatcher.get_current_device = lambda: device
    ptx, _ = cuda.compile_ptx(kernel.py_func, signature, cc=CAPABILITY)
    translator = Translator(ptx)
    names = {"signed": signed, "quotient": quotient, "single": np.float32, "numpy": np}
    names |= {"pack": struct.pack, "unpack": struct.unpack}
    exec(compile(translator.source(), "<ptx>", "exec"), names)
    return names["thread"], translator


def launch(kernel, blocks, threads, *arguments):
    """Run a GPU kernel on arrays of the stand-in."""
    from numba import typeof
    from numba import types as numba_types

    if 0 in blocks:
        return
    arguments = [x if isinstance(x, tuple) else stand_in.bare(x) for x in arguments]
    signature = tuple(
        numba_types.Array(typeof(x).dtype, 1, "C") if isinstance(x, np.ndarray) else typeof(x)
        for x in arguments
    )
    thread, translator = translated(kernel, signature)
    memory, at, parameters, placed = Memory(GLOBAL, MEMORY), 256, [], []
    for x in arguments:
        if not isinstance(x, np.ndarray):
            numbers = x if isinstance(x, tuple) else [x]
            parameters += [n.item() if hasattr(n, "item") else n for n in numbers]
            continue
        assert x.flags.c_contiguous
        assert x.ndim == 1
        memory.bytes[at : at + x.nbytes] = x.tobytes()
        parameters += [0, 0, x.size, x.itemsize, GLOBAL + at, x.size, x.itemsize]
        placed.append((x, at))
        at += -(-x.nbytes // 256) * 256 + 256
        assert at < MEMORY
    sizes = threads if isinstance(threads, tuple) else (threads,)
    block_dim, grid_dim = (warps.Dim3(*(*size, 1, 1)[:3]) for size in (sizes, tuple(blocks)))
    for place in np.ndindex(*grid_dim):
        shared = Memory(0, (1 << 20) + translator.shared_size)

        def run(shared=shared):
            with np.errstate(all="ignore"):
                thread(Lane(memory, shared, block_dim, grid_dim), parameters)

        warps.Block(run, grid_dim, block_dim, False).run(place)
    for x, begin in placed:
        x[...] = np.frombuffer(memory.bytes, x.dtype, x.size, begin)
