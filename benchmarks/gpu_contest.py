"""Helpers of the GPU benchmarks: rungs, opponents, timers and tables."""

import contextlib
import importlib.util
import itertools
import time

import numpy as np

import bitnet
from bitnet import kernels
from bitnet.devices import to_gpu

RNG = np.random.default_rng(0)
RUNGS = ("naive", "tiled", "registers", "tensor")
LEAST_S, TURNS = 0.02, 7


def signs(*shape):
    """Return random Bits on the host."""
    return kernels.pack(RNG.integers(0, 2, shape, dtype=np.uint8).view(np.bool_))


def by_events(run, calls):
    """Return the seconds between device events before and after some calls."""
    import cupy

    begin, end = cupy.cuda.Event(), cupy.cuda.Event()
    begin.record()
    for _ in range(calls):
        run()
    end.record()
    end.synchronize()
    return cupy.cuda.get_elapsed_time(begin, end) / 1e3


def by_clock(run, calls):
    """Return the seconds of some calls whose result is in the processor's memory."""
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return time.perf_counter() - start


def interleaved_s(contestants, timed=by_events):
    """Return the seconds per call of each function, (turns, contestants)."""
    seconds = np.empty((TURNS + 1, len(contestants)))
    calls = [1] * len(contestants)
    for turn, (i, run) in itertools.product(range(TURNS + 1), enumerate(contestants)):
        if turn == 0:  # compiles, and finds how many calls a turn needs
            run()
        seconds[turn, i] = timed(run, calls[i]) / calls[i]
        if turn == 0:
            calls[i] = max(1, round(LEAST_S / seconds[turn, i]))
    return seconds[1:]


def table(title, operations, contestants, opponents):
    """Print a line for each contestant: ms, T/s, and the speedup over each opponent."""
    seconds = interleaved_s(list(contestants.values()))
    names = list(contestants)
    columns = [names.index(name) for name in opponents if name in names]
    beside = ", ".join(names[i] for i in columns)
    print(f"\n{title:44} {'ms':>9} {'T/s':>8}  speedup over {beside}")
    for i, name in enumerate(names):
        ratios = np.median(seconds[:, columns] / seconds[:, i : i + 1], axis=0)
        median = np.median(seconds[:, i])
        cells = "  ".join(f"{ratio:7.2f}" for ratio in ratios)
        own = f"{1e3 * median:9.4f} {operations / median / 1e12:8.1f}"
        print(f"{name:44} {own}  {cells}", flush=True)


def torch_on_gpu():
    """Return torch if it supports the GPU, else None."""
    if importlib.util.find_spec("torch") is None:
        return None
    import torch

    return torch if torch.cuda.is_available() else None


def on_rung(name):
    """Use the kernels of one rung."""
    from bitnet.kernels import cuda

    return cuda.using_rung(name)


def ran(name, kernel, *operands):
    """Return the result of a kernel on one rung."""
    with on_rung(name):
        return kernel(*operands)


def rungs():
    """Return the rungs that this GPU supports."""
    for name in RUNGS:
        with contextlib.suppress(bitnet.InputError), on_rung(name):
            yield name


def opponents(b, m, n):
    """Return products of the same size by cuBLAS, in float32 and in the types of torch."""
    import cupy

    left, right = (to_gpu(RNG.standard_normal(shape, np.float32)) for shape in ((b, n), (n, m)))
    out = cupy.empty((b, m), np.float32)
    made = {"cuBLAS float32": lambda: cupy.matmul(left, right, out=out)}
    torch = torch_on_gpu()
    if torch is None:
        return made
    floats = [torch.randn(shape, device="cuda") for shape in ((b, n), (n, m))]
    halves = [x.bfloat16() for x in floats]

    def tf32():
        torch.backends.cuda.matmul.allow_tf32 = True
        return floats[0] @ floats[1]

    made["cuBLAS tf32"] = tf32
    made["cuBLAS bf16"] = lambda: halves[0] @ halves[1]
    turned = halves[1].t().contiguous()  # the layout of weights in a linear layer
    made["cuBLAS bf16, w.T"] = lambda: halves[0] @ turned.t()
    if b > 16 and not n % 8 and not m % 8:
        kind = {"dtype": torch.int8, "device": "cuda"}
        x, w = (torch.randint(-127, 128, s, **kind) for s in ((b, n), (m, n)))
        made["cuBLAS int8"] = lambda: torch._int_mm(x, w.t())
    return those_that_run(made)


def those_that_run(contestants):
    """Return the opponents that this GPU and this torch can run, and print the others."""
    able = {}
    for name, run in contestants.items():
        try:
            run()
        except RuntimeError as error:
            print(f"skipped: {name}: {str(error).partition(chr(10))[0]}")
        else:
            able[name] = run
    return able
