"""The kernels of the GPU beside cuBLAS and cuDNN, frozen nets, and training beside torch.

    python benchmarks/gpu.py                          all of it, some minutes
    python benchmarks/gpu.py --part products --sizes 8192 4096
    python benchmarks/gpu.py --part mlp --part training

Needs an NVIDIA GPU with CuPy and numba-cuda (extra `cuda12` or `cuda13`); opponents in bf16, tf32
and int8 need a torch that knows the GPU, and are left out without it.  Each kernel is first held
against the reference on rows of the very operands that are timed, and all rungs of the ladder
against each other on all of them.  Then the contestants take turns; times come from events of the
device, after a turn that does not count, on random numbers.  A ratio is the median of the ratios
of the turns; T/s counts a multiplication and an addition as two.  The last two parts are timed by
a clock, from pixels in the processor's memory to classes or a loss there.  Small products take as
long as Python takes to launch them, which counts for all.  What fails is named, and the rest runs.
"""

import argparse
import contextlib
import importlib.util
import itertools
import time
import traceback
from functools import partial

import machine
import numpy as np

import bitnet
from bitnet import kernels, models
from bitnet.arrays import to_cpu
from bitnet.backend import gpu_problem, to_gpu
from bitnet.kernels import reference

RNG = np.random.default_rng(0)
RUNGS = ("naive", "tiled", "registers", "tensor")
LEAST_S, TURNS = 0.02, 7
CHECKED = 20  # images of a frozen net
PARTS = ("products", "others", "mlp", "training")


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
    print(f"\n{title:44} {'ms':>9} {'T/s':>8}  times as fast as "
          f"{', '.join(names[i] for i in columns)}")  # fmt: skip
    for i, name in enumerate(names):
        ratios = np.median(seconds[:, columns] / seconds[:, i : i + 1], axis=0)
        median = np.median(seconds[:, i])
        cells = "  ".join(f"{ratio:7.2f}" for ratio in ratios)
        print(f"{name:44} {1e3 * median:9.4f} {operations / median / 1e12:8.1f}  {cells}",
              flush=True)  # fmt: skip


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


def check_products(x, weight, steps, own):
    """Hold all rungs against the reference on some rows, and against each other on all."""
    few, some = x[: min(len(x), 9)], weight[: min(len(weight), 300)]
    expected = reference.xnor_gemm(few, some)
    signs_of = kernels.Thresholds(steps.values[: len(some)], steps.rising[: len(some)])
    there = to_gpu((x, weight, steps))
    first = None
    for name in own:
        with on_rung(name):
            z, bits = kernels.xnor_gemm(*there[:2]), kernels.xnor_sign(*there)
        assert np.array_equal(to_cpu(z[: len(few), : len(some)]), expected), name
        own_bits = to_cpu(bits).signs()[: len(few), : len(some)]
        assert np.array_equal(own_bits, reference.threshold(expected, signs_of).signs()), name
        first = (z, bits) if first is None else first
        assert bool((z == first[0]).all()) and bits == first[1], name


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
        x, w = (torch.randint(-127, 128, s, dtype=torch.int8, device="cuda")
                for s in ((b, n), (m, n)))  # fmt: skip
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


def products(b, m, n):
    """One XNOR product on each rung, as integers and as bits, beside cuBLAS."""
    x, weight = signs(b, n), signs(m, n)
    steps = kernels.Thresholds(np.zeros(m, np.int32), np.arange(m) % 2 > 0)
    own = list(rungs())
    check_products(x, weight, steps, own)
    x, steps, weight = to_gpu(x), to_gpu(steps), kernels.prepare(to_gpu(weight))
    contestants = opponents(b, m, n)
    for name in own:
        contestants[f"xnor_gemm, {name}"] = partial(ran, name, kernels.xnor_gemm, x, weight)
        if name in ("registers", "tensor"):
            bits = partial(ran, name, kernels.xnor_sign, x, weight, steps)
            contestants[f"xnor_sign, {name}"] = bits
    beside = ("xnor_gemm, naive", "cuBLAS float32", "cuBLAS tf32", "cuBLAS bf16",
              "cuBLAS bf16, w.T", "cuBLAS int8")  # fmt: skip
    table(f"{b} x {m} x {n}", 2 * b * m * n, contestants, beside)


def pack(size=8192):
    """Packing beside a copy of the numbers."""
    import cupy

    x = to_gpu(RNG.standard_normal((size, size), np.float32))
    copy, packed = cupy.empty_like(x), kernels.pack(x)
    assert to_cpu(packed[:9]) == reference.pack(to_cpu(x[:9]))
    table(f"pack {size} x {size} float32", x.size, {
        "copy": lambda: cupy.copyto(copy, x), "pack": lambda: kernels.pack(x),
        "pack_with_mask": lambda: kernels.pack_with_mask(x, 1.0),
        "unpack": lambda: kernels.unpack(packed),
    }, ["copy"])  # fmt: skip


def pixels(b=10_000, m=4096, n=784):
    """The first layer of an MLP: bytes times signs."""
    x, weight = RNG.integers(0, 256, (b, n), dtype=np.uint8), signs(m, n)
    expected = reference.plane_gemm(x[:3], weight)
    x, weight = to_gpu(x), kernels.prepare(to_gpu(weight))
    assert np.array_equal(to_cpu(kernels.plane_gemm(x, weight)[:3]), expected)
    contestants = opponents(b, m, n)
    contestants["plane_gemm"] = lambda: kernels.plane_gemm(x, weight)
    table(f"pixels {b} x {m} x {n}", 2 * b * m * n, contestants,
          ["cuBLAS float32", "cuBLAS bf16"])  # fmt: skip


def gradients(b, m, n):
    """Integers of 8 bits times signs: by planes on tensor cores, and by cuBLAS in float32."""
    grad, matrix = RNG.standard_normal((b, m), np.float32), signs(m, n)
    x = kernels.quantize(grad, 8)
    few = kernels.Quantized(x.values[:3], x.scales[:3], x.largest)
    expected = reference.signed_gemm(few, matrix)
    x, matrix, floats = to_gpu((x, matrix, grad))
    contestants = opponents(b, n, m)
    for name in (name for name in rungs() if name in ("registers", "tensor")):
        run = partial(ran, name, kernels.signed_gemm, x, matrix)
        assert np.array_equal(to_cpu(run()[:3]), expected), name
        way = "planes" if name == "tensor" else "cuBLAS on unpacked signs"
        contestants[f"signed_gemm int8, {way}"] = run
    from bitnet.kernels.cuda import signed_floats

    contestants["signed_gemm float32, cuBLAS"] = lambda: kernels.signed_gemm(floats, matrix)
    contestants["signed_gemm float32, by hand"] = lambda: signed_floats(floats, matrix)
    table(f"gradient {b} x {m} x {n}", 2 * b * m * n, contestants,
          ["cuBLAS float32", "cuBLAS bf16"])  # fmt: skip


def convolution(batch, size, channels):
    """A 3 x 3 convolution of packed images beside torch's in bf16, channels last."""
    window = kernels.Window((3, 3), padding=((1, 1), (1, 1)))
    x, weight = signs(batch, size, size, channels), signs(channels, 3, 3, channels)
    expected = reference.xnor_conv(x[:1], weight, window)
    x, weight = to_gpu(x), kernels.prepare(to_gpu(weight))
    contestants = {}
    if torch := torch_on_gpu():
        shapes = (batch, channels, size, size), (channels, channels, 3, 3)
        images, filters = (
            torch.randn(s, device="cuda", dtype=torch.bfloat16).to(
                memory_format=torch.channels_last) for s in shapes)  # fmt: skip
        torch.backends.cudnn.benchmark = True  # the quickest of its algorithms
        conv = torch.nn.functional.conv2d
        contestants["cuDNN bf16"] = lambda: conv(images, filters, padding=1)
        contestants = those_that_run(contestants)
    for name in (name for name in rungs() if name in ("registers", "tensor")):
        run = partial(ran, name, kernels.xnor_conv, x, weight, window)
        assert np.array_equal(to_cpu(run()[:1]), expected), name
        contestants[f"xnor_conv, {name}"] = run
    operations = 2 * batch * size**2 * channels**2 * 9
    table(f"{batch} images {size} x {size}, {channels} channels, 3 x 3", operations, contestants,
          ["cuDNN bf16", "xnor_conv, registers"])  # fmt: skip


def frozen_net(width):
    """A frozen MLP of random weights, whose integers are held against the reference's."""
    net = bitnet.freeze(models.binary_mlp([784, width, width, width, 10], RNG))
    pixels = RNG.integers(0, 256, (CHECKED, 784), dtype=np.uint8)
    with kernels.using("reference"):
        expected, scores = net.pre_activations(pixels), net.scores(pixels)
    net.to("gpu")
    for name in rungs():
        with on_rung(name):
            own = to_cpu(net.pre_activations(to_gpu(pixels)))
            for a, b in zip(expected, own, strict=True):
                assert np.array_equal(a, b), name
            assert np.array_equal(to_cpu(net.scores(to_gpu(pixels))), scores), name
    return net


def mlp(width, batch):
    """Images a second of the frozen MNIST MLP on each rung, beside a float MLP in torch."""
    net = frozen_net(width)
    pixels = RNG.integers(0, 256, (batch, 784), dtype=np.uint8)
    contestants = {}
    for name in rungs():
        predict = partial(ran, name, lambda: to_cpu(net.predict(to_gpu(pixels))))
        contestants[f"frozen, {name}"] = predict
    if torch := torch_on_gpu():
        torch.backends.cuda.matmul.allow_tf32 = False
        for dtype in (torch.float32, torch.bfloat16):
            sizes = [784, width, width, width, 10]
            layers = [torch.randn(s, device="cuda", dtype=dtype) for s in itertools.pairwise(sizes)]

            def run(layers=layers, dtype=dtype):
                x = torch.from_numpy(pixels).cuda().to(dtype) * (2 / 255) - 1
                for weight in layers[:-1]:
                    x = (x @ weight).relu()
                return (x @ layers[-1]).argmax(dim=1).cpu()

            contestants[f"torch {dtype}".replace("torch.", "")] = run
    seconds, names = interleaved_s(list(contestants.values()), by_clock), list(contestants)
    print(f"\nMLP 3 x {width}, {batch} images: images a second; times as many as frozen, naive")
    for i, name in enumerate(names):
        ratio = np.median(seconds[:, 0] / seconds[:, i])
        print(f"{name:44} {batch / np.median(seconds[:, i]):14,.0f}  {ratio:7.2f}", flush=True)


def training(width, batches):
    """Seconds an epoch of the MLP of the papers, beside the same net in torch on this GPU."""
    from training import EPOCH, InBits, InTorch, data

    class OnGpu(InBits):
        def __init__(self, width, gradient):
            super().__init__(width, gradient)
            self.model.to("gpu")

        def step(self, pixels, labels):
            return super().step(*to_gpu((pixels, labels)))

    nets = {"bitnet": OnGpu(width, {}), "bitnet, float32 gradient": OnGpu(
        width, {"gradient": "float32"})}  # fmt: skip
    if torch_on_gpu():
        nets["torch"] = InTorch(width, "highest", "cuda")
        nets["torch, tf32"] = InTorch(width, "high", "cuda")
    seconds = {name: [] for name in nets}
    for turn in range(TURNS):
        for name, net in nets.items():
            rng = np.random.default_rng(turn)
            some = [data(rng) for _ in range(10)]
            start = time.perf_counter()
            losses = [net.step(*some[i % 10]) for i in range(batches)]
            if turn:
                seconds[name].append((time.perf_counter() - start) / batches * EPOCH)
            else:
                print(f"  {name}: the first losses {', '.join(f'{v:.3f}' for v in losses[:4])}")
    print(f"\ntraining 3 x {width}, batch 100: seconds an epoch; times as fast as the last")
    last = np.array(list(seconds.values())[-1])
    for name, own in seconds.items():
        print(f"{name:44} {np.median(own):9.2f}  {np.median(last / own):7.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--part", choices=PARTS, action="append", help="all of them by default")
    parser.add_argument("--sizes", type=machine.positive, nargs="+", default=[8192],
                        help="of square products (8192)")  # fmt: skip
    parser.add_argument("--widths", type=machine.positive, nargs="+", default=[4096],
                        help="of the MLPs (4096)")  # fmt: skip
    parser.add_argument("--images", type=machine.positive, default=10_000, help="at once (10000)")
    parser.add_argument("--batches", type=machine.positive, default=60,
                        help="of training in a turn (60; an epoch is 600)")  # fmt: skip
    args = parser.parse_args()
    if problem := gpu_problem():
        raise bitnet.InputError(f"no GPU: {problem}")
    parts = args.part or PARTS
    import cupy

    print("\n".join(machine.lines("numba-cuda")))
    print(f"cupy {cupy.__version__}")
    print(f"gpu {dict(bitnet.status())['gpu']}")
    if torch := torch_on_gpu():
        print(f"torch {torch.__version__}")
    else:
        print("left out: tf32, bf16 and int8, which need a torch that sees the GPU")
    runs = []
    if "products" in parts:
        runs += [(products, size, size, size) for size in args.sizes]
        for width in args.widths:
            shapes = (args.images, 784), (args.images, width), (100, width)
            runs += [(products, batch, width, n) for batch, n in shapes]
    if "others" in parts:
        runs += [(pack,), (pixels,), (gradients, 1000, 4096, 4096), (convolution, 256, 32, 128)]
    for width in args.widths:
        runs += [(mlp, width, args.images)] * ("mlp" in parts)
        runs += [(training, width, args.batches)] * ("training" in parts)
    failed = []
    for function, *sizes in runs:
        try:
            function(*sizes)
        except Exception:  # a later part may be all that somebody wanted
            traceback.print_exc()
            failed.append(f"{function.__name__} {' x '.join(map(str, sizes))}".strip())
    if failed:
        raise bitnet.InputError(f"what is above failed: {', '.join(failed)}")


if __name__ == "__main__":
    bitnet.run(main)
