"""Benchmark of the GPU kernels, frozen nets and training, compared with cuBLAS, cuDNN and torch.

    python benchmarks/gpu.py                          all of it, some minutes
    python benchmarks/gpu.py --part products --sizes 8192 4096
    python benchmarks/gpu.py --part mlp --part training

This needs an NVIDIA GPU with CuPy and numba-cuda (extra `cuda12` or `cuda13`).  Opponents in bf16,
tf32 and int8 need a torch that supports the GPU, and are skipped without it.  First, each kernel is
compared with the reference on rows of the timed operands, and all rungs with each other on all
rows.  Then the contestants take turns; times come from events of the device, after a warm-up turn,
on random numbers.  A ratio is the median of the ratios of the turns; T/s counts a multiplication
and an addition as two operations.  "float32, naive" is the papers' baseline, a plain product of
floats.  The last two parts are timed by a clock, from pixels in the processor's memory to classes
or a loss there.  The times of small products include the launch from Python, for all contestants.
A part that fails is named, and the rest runs.
"""

import argparse
import traceback
from functools import partial

import machine
import numpy as np
from gpu_contest import RNG, opponents, ran, rungs, signs, table, those_that_run, torch_on_gpu
from gpu_nets import mlp, training

import bitnet
from bitnet import kernels
from bitnet.arrays import to_cpu
from bitnet.devices import gpu_problem, to_gpu
from bitnet.kernels import reference

CUBLAS = ["cuBLAS float32", "cuBLAS bf16"]
PARTS = ("products", "others", "mlp", "training")


def check_products(x, weight, steps, own):
    """Compare all rungs with the reference on some rows and with each other; return integers."""
    few, some = x[: min(len(x), 9)], weight[: min(len(weight), 300)]
    expected = reference.xnor_gemm(few, some)
    signs_of = kernels.Thresholds(steps.values[: len(some)], steps.increasing[: len(some)])
    there = to_gpu((x, weight, steps))
    first = None
    for name in own:
        z, bits = ran(name, kernels.xnor_gemm, *there[:2]), ran(name, kernels.xnor_sign, *there)
        assert np.array_equal(to_cpu(z[: len(few), : len(some)]), expected), name
        own_bits = to_cpu(bits).signs()[: len(few), : len(some)]
        assert np.array_equal(own_bits, reference.threshold(expected, signs_of).signs()), name
        first = (z, bits) if first is None else first
        assert bool((z == first[0]).all()) and bits == first[1], name
    return first[0]


def products(b, m, n):
    """Time one XNOR product on each rung, as integers and as bits, and products of floats."""
    from gpu_baseline import naive

    x, weight = signs(b, n), signs(m, n)
    steps = kernels.Thresholds(np.zeros(m, np.int32), np.arange(m) % 2 > 0)
    own = list(rungs())
    z = check_products(x, weight, steps, own)
    x, steps, weight = to_gpu(x), to_gpu(steps), kernels.prepare(to_gpu(weight))
    floats = kernels.unpack(x, np.float32), kernels.unpack(weight, np.float32)
    assert bool((naive(*floats) == z).all()), "float32, naive"
    contestants = {"float32, naive": partial(naive, *floats), **opponents(b, m, n)}
    for name in own:
        contestants[f"xnor_gemm, {name}"] = partial(ran, name, kernels.xnor_gemm, x, weight)
        if name in ("registers", "tensor"):
            bits = partial(ran, name, kernels.xnor_sign, x, weight, steps)
            contestants[f"xnor_sign, {name}"] = bits
    kinds = ("float32", "tf32", "bf16", "bf16, w.T", "int8")
    beside = ["float32, naive", "xnor_gemm, naive", *(f"cuBLAS {kind}" for kind in kinds)]
    table(f"{b} x {m} x {n}", 2 * b * m * n, contestants, beside)


def pack(size=8192):
    """Time packing and a copy of the numbers."""
    import cupy

    x = to_gpu(RNG.standard_normal((size, size), np.float32))
    copy, packed = cupy.empty_like(x), kernels.pack(x)
    assert to_cpu(packed[:9]) == reference.pack(to_cpu(x[:9]))
    contestants = {
        "copy": lambda: cupy.copyto(copy, x),
        "pack": lambda: kernels.pack(x),
        "pack_with_mask": lambda: kernels.pack_with_mask(x, 1.0),
        "unpack": lambda: kernels.unpack(packed),
    }
    table(f"pack {size} x {size} float32", x.size, contestants, ["copy"])


def pixels(b=10_000, m=4096, n=784):
    """Time the first layer of an MLP: bytes times signs."""
    x, weight = RNG.integers(0, 256, (b, n), dtype=np.uint8), signs(m, n)
    expected = reference.plane_gemm(x[:3], weight)
    x, weight = to_gpu(x), kernels.prepare(to_gpu(weight))
    assert np.array_equal(to_cpu(kernels.plane_gemm(x, weight)[:3]), expected)
    contestants = opponents(b, m, n)
    contestants["plane_gemm"] = lambda: kernels.plane_gemm(x, weight)
    table(f"pixels {b} x {m} x {n}", 2 * b * m * n, contestants, CUBLAS)


def gradients(b, m, n):
    """Time 8-bit integers times signs, by planes on tensor cores and by cuBLAS in float32."""
    grad, matrix = RNG.standard_normal((b, m), np.float32), signs(m, n)
    x = kernels.round_gradient(grad, 8)
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
    table(f"gradient {b} x {m} x {n}", 2 * b * m * n, contestants, CUBLAS)


def convolution(batch, size, channels):
    """Time a 3 x 3 convolution of packed images, and torch's in bf16, channels last."""
    window = kernels.Window((3, 3), padding=((1, 1), (1, 1)))
    x, weight = signs(batch, size, size, channels), signs(channels, 3, 3, channels)
    expected = reference.xnor_conv(x[:1], weight, window)
    x, weight = to_gpu(x), kernels.prepare(to_gpu(weight))
    contestants = {}
    if torch := torch_on_gpu():
        shapes = (batch, channels, size, size), (channels, channels, 3, 3)
        drawn = [torch.randn(s, device="cuda", dtype=torch.bfloat16) for s in shapes]
        images, filters = (x.to(memory_format=torch.channels_last) for x in drawn)
        torch.backends.cudnn.benchmark = True  # the fastest of its algorithms
        conv = torch.nn.functional.conv2d
        contestants["cuDNN bf16"] = lambda: conv(images, filters, padding=1)
        contestants = those_that_run(contestants)
    for name in (name for name in rungs() if name in ("registers", "tensor")):
        run = partial(ran, name, kernels.xnor_conv, x, weight, window)
        assert np.array_equal(to_cpu(run()[:1]), expected), name
        contestants[f"xnor_conv, {name}"] = run
    operations, beside = (
        2 * batch * size**2 * channels**2 * 9,
        ["cuDNN bf16", "xnor_conv, registers"],
    )
    title = f"{batch} images {size} x {size}, {channels} channels, 3 x 3"
    table(title, operations, contestants, beside)


def update(m, n):
    """Time a step of Adam, of CuPy expressions, and a copy of as many bytes."""
    import cupy

    numbers = [RNG.standard_normal((m, n), np.float32) for _ in range(3)]
    arrays = [*numbers, numbers[0] ** 2]

    def step(words, weight, grad, *state):
        constants = [1e-3, 0.1, 1e-3, 1.0, 1e-8, 1.0]
        kernels.update("adam", weight, grad, [*state], constants, 1.0, words)
        return words, weight, *state

    few = [kernels.pack(arrays[0][:9]).words, *(array[:9].copy() for array in arrays)]
    found = to_cpu(step(*to_gpu(few)))
    with kernels.using("reference"):
        expected = step(*few)
    assert all(map(np.array_equal, found, expected)), "update"
    weight, *others = to_gpu(arrays)
    words, half = kernels.pack(weight).words, cupy.zeros(14 * m * n, np.uint8)

    def expressions():
        with kernels.using("reference"):
            step(words, weight, *others)

    opponents_of_it = {"copy of as many bytes": half.copy, "CuPy's expressions": expressions}
    own = {
        "update, no signs": lambda: step(None, weight, *others),
        "update": lambda: step(words, weight, *others),
    }
    title = f"Adam {m} x {n} float32; T/s are bytes"
    table(title, 28 * m * n, opponents_of_it | own, list(opponents_of_it))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--part", choices=PARTS, action="append", help="default: all")
    number, numbers = {"type": machine.positive}, {"type": machine.positive, "nargs": "+"}
    parser.add_argument(
        "--sizes", **numbers, default=[8192], help="sizes of square products (default: 8192)"
    )
    parser.add_argument(
        "--widths", **numbers, default=[4096], help="widths of the MLPs (default: 4096)"
    )
    parser.add_argument(
        "--images", **number, default=10_000, help="images per batch (default: 10000)"
    )
    batches = "training batches per turn (default: 60; an epoch has 600)"
    parser.add_argument("--batches", **number, default=60, help=batches)
    args = parser.parse_args()
    if problem := gpu_problem():
        raise bitnet.InputError(f"no GPU: {problem}")
    parts = args.part or PARTS
    import cupy

    print("\n".join(machine.lines("numba-cuda")))
    print(f"cupy {cupy.__version__}")
    print(f"gpu {dict(bitnet.show_versions())['gpu']}")
    if torch := torch_on_gpu():
        print(f"torch {torch.__version__}")
    else:
        print("skipped: tf32, bf16 and int8, which need a torch that supports the GPU")
    runs = []
    if "products" in parts:
        runs += [(products, size, size, size) for size in args.sizes]
        for width in args.widths:
            shapes = (args.images, 784), (args.images, width), (100, width)
            runs += [(products, batch, width, n) for batch, n in shapes]
    if "others" in parts:
        runs += [(pack,), (pixels,), (gradients, 1000, 4096, 4096), (convolution, 256, 32, 128)]
        runs += [(update, 4096, 4096)]
    for width in args.widths:
        runs += [(mlp, width, args.images)] * ("mlp" in parts)
        runs += [(training, width, args.batches)] * ("training" in parts)
    failed = []
    for function, *sizes in runs:
        try:
            function(*sizes)
        except Exception:  # the other parts still run
            traceback.print_exc()
            failed.append(f"{function.__name__} {' x '.join(map(str, sizes))}".strip())
    if failed:
        raise bitnet.InputError(f"these parts failed: {', '.join(failed)}")


if __name__ == "__main__":
    bitnet.cli.run(main)
