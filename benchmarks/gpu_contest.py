"""What the benchmarks of the GPU share: rungs, opponents, stopwatches and tables."""

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
    """Random Bits, on the host."""
    return kernels.pack(RNG.integers(0, 2, shape, dtype=np.uint8).view(np.bool_))


def by_events(run, calls):
    """Seconds from an event of the device before some calls to one behind them."""
    import cupy

    begin, end = cupy.cuda.Event(), cupy.cuda.Event()
    begin.record()
    for _ in range(calls):
        run()
    end.record()
    end.synchronize()
    return cupy.cuda.get_elapsed_time(begin, end) / 1e3


def by_clock(run, calls):
    """Seconds of some calls that end with a result in the processor's memory."""
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return time.perf_counter() - start


def interleaved_s(contestants, timed=by_events):
    """Seconds a call of each function, (turns, contestants)."""
    seconds = np.empty((TURNS + 1, len(contestants)))
    calls = [1] * len(contestants)
    for turn, (i, run) in itertools.product(range(TURNS + 1), enumerate(contestants)):
        if turn == 0:  # compile, and see how often it has to be called
            run()
        seconds[turn, i] = timed(run, calls[i]) / calls[i]
        if turn == 0:
            calls[i] = max(1, round(LEAST_S / seconds[turn, i]))
    return seconds[1:]


def table(title, operations, contestants, opponents):
    """Print a line for each contestant: ms, T/s, and how many times as fast as each opponent."""
    seconds = interleaved_s(list(contestants.values()))
    names = list(contestants)
    columns = [names.index(name) for name in opponents if name in names]
    beside = ", ".join(names[i] for i in columns)
    print(f"\n{title:44} {'ms':>9} {'T/s':>8}  times as fast as {beside}")
    for i, name in enumerate(names):
        ratios = np.median(seconds[:, columns] / seconds[:, i : i + 1], axis=0)
        median = np.median(seconds[:, i])
        cells = "  ".join(f"{ratio:7.2f}" for ratio in ratios)
        own = f"{1e3 * median:9.4f} {operations / median / 1e12:8.1f}"
        print(f"{name:44} {own}  {cells}", flush=True)


def torch_on_gpu():
    """torch where it sees the GPU, else None."""
    if importlib.util.find_spec("torch") is None:
        return None
    import torch

    return torch if torch.cuda.is_available() else None


def on_rung(name):
    """The kernels of one rung."""
    from bitnet.kernels import cuda

    return cuda.using_rung(name)


def ran(name, kernel, *operands):
    """The result of a kernel on one rung."""
    with on_rung(name):
        return kernel(*operands)


def rungs():
    """Those that this GPU has."""
    for name in RUNGS:
        with contextlib.suppress(bitnet.InputError), on_rung(name):
            yield name


def opponents(b, m, n):
    """Products of as many numbers by cuBLAS: float32, and what torch knows."""
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
    turned = halves[1].t().contiguous()  # as a linear layer keeps its weights
    made["cuBLAS bf16, w.T"] = lambda: halves[0] @ turned.t()
    if b > 16 and not n % 8 and not m % 8:
        kind = {"dtype": torch.int8, "device": "cuda"}
        x, w = (torch.randint(-127, 128, s, **kind) for s in ((b, n), (m, n)))
        made["cuBLAS int8"] = lambda: torch._int_mm(x, w.t())
    return those_that_run(made)


def those_that_run(contestants):
    """The opponents that this GPU and this torch can run; the others are named."""
    able = {}
    for name, run in contestants.items():
        try:
            run()
        except RuntimeError as error:
            print(f"left out: {name}: {str(error).partition(chr(10))[0]}")
        else:
            able[name] = run
    return able
