"""Benchmark of the kernels against NumPy's float32 products, on one thread unless stated.

    python benchmarks/kernels.py            the whole table, about four minutes
    python benchmarks/kernels.py --level avx2     the products of one level

First, each kernel is compared with the reference on rows of the timed operands.  Then the
contestants take turns in one process; a ratio is the median of the ratios of the turns.  For a
fair opponent at a lower level, start NumPy's BLAS at that level too: with
OPENBLAS_CORETYPE_FOR_THIS=Haswell for avx2, =Prescott for portable.
"""

import os

os.environ.pop("OPENBLAS_CORETYPE", None)  # a forced core type can halve the BLAS
if core := os.environ.get("OPENBLAS_CORETYPE_FOR_THIS"):
    os.environ["OPENBLAS_CORETYPE"] = core

import argparse
import contextlib

import machine
import numpy as np
from stopwatch import interleaved

import bitnet
from bitnet import kernels
from bitnet.kernels import reference, threads

RNG = np.random.default_rng(0)


def signs(*shape):
    """Return random Bits."""
    return kernels.pack(RNG.integers(0, 2, shape, dtype=np.uint8).view(np.bool_))


def floats(*shape):
    return RNG.standard_normal(shape, np.float32)


def row(name, macs, contestants, notes=""):
    """Print a line: milliseconds and rate of the last contestant, and ratios to the others."""
    seconds = interleaved(contestants, least_s=0.1)
    own = seconds[:, -1:]
    ratios = "  ".join(f"{ratio:7.2f}" for ratio in np.median(seconds[:, :-1] / own, axis=0))
    ms, rate = 1e3 * np.median(own), macs / np.median(own) / 1e9
    print(f"{name:44} {ms:9.3f} {rate:9.0f}  {ratios}  {notes}", flush=True)


def xnor(b, m, n):
    """Time one XNOR product, as integers and with thresholds, and the float product."""
    x, weight = signs(b, n), kernels.prepare(signs(m, n))
    steps = kernels.Thresholds(np.zeros(m, np.int32), np.arange(m) % 2 > 0)
    left, right = floats(b, n), floats(n, m)
    few = x[: min(b, 9)]
    expected = reference.xnor_gemm(few, weight)
    assert np.array_equal(kernels.xnor_gemm(x, weight)[: len(few)], expected)
    assert kernels.xnor_sign(x, weight, steps)[: len(few)] == reference.threshold(expected, steps)
    product = lambda: left @ right  # noqa: E731
    row(f"xnor_gemm {b} x {m} x {n}", b * m * n, [product, lambda: kernels.xnor_gemm(x, weight)])
    by_sign = lambda: kernels.xnor_sign(x, weight, steps)  # noqa: E731
    row(f"xnor_sign {b} x {m} x {n}", b * m * n, [product, by_sign])


def peers(b, m, n):
    """Return float32 in NumPy and, where installed, low-precision products of others, by name.

    The factors are (B, N) and (N, M).  onnxruntime multiplies unsigned with signed bytes.
    """
    left, right = floats(b, n), floats(n, m)
    contestants = {"numpy": lambda: left @ right}
    with contextlib.suppress(ImportError):
        import torch

        torch.set_num_threads(1)
        halves = [torch.from_numpy(x).bfloat16() for x in (left, np.ascontiguousarray(right.T))]
        contestants["torch bf16"] = lambda: torch.mm(halves[0], halves[1].T)
        whole = [torch.randint(-127, 128, size, dtype=torch.int8) for size in ((b, n), (m, n))]
        contestants["torch _int_mm"] = lambda: torch._int_mm(whole[0], whole[1].T)
    with contextlib.suppress(ImportError):
        contestants["onnxruntime MatMulInteger"] = matmul_integer(b, m, n)
    return contestants


def matmul_integer(b, m, n):
    """Return onnxruntime's product of bytes as a function."""
    import onnx
    import onnxruntime

    weight = RNG.integers(-127, 128, (n, m)).astype(np.int8)
    node = onnx.helper.make_node("MatMulInteger", ["x", "w"], ["z"])
    ends = [
        onnx.helper.make_tensor_value_info("x", onnx.TensorProto.UINT8, [b, n]),
        onnx.helper.make_tensor_value_info("z", onnx.TensorProto.INT32, [b, m]),
    ]
    weights = [onnx.numpy_helper.from_array(weight, "w")]
    graph = onnx.helper.make_graph([node], "product", ends[:1], ends[1:], weights)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    model.ir_version = 10  # older than the newest, for older versions of onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    where = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=where)
    x = RNG.integers(0, 256, (b, n), dtype=np.uint8)
    return lambda: session.run(None, {"x": x})


def tables(b, m, n):
    """Time numbers times signs and pixels: 6- and 8-bit integers, and floats."""
    grad, weight = floats(b, m), signs(m, n)
    factor, others = weight.signs(np.float32), peers(b, n, m)
    names = "over " + ", ".join(others)
    factors = {"": weight, " x pixels": RNG.integers(0, 256, (m, n), dtype=np.uint8)}
    for name, bits in (("", 6), ("", 8), (" x pixels", 8)):
        x, right = kernels.round_gradient(grad, bits), factors[name]
        part = kernels.Quantized(x.values[:5], x.scales[:5], x.largest)
        expected = reference.signed_gemm(part, right)
        assert np.array_equal(kernels.signed_gemm(x, right)[:5], expected)
        runs = [*others.values(), lambda x=x, right=right: kernels.signed_gemm(x, right)]
        row(f"signed_gemm int{bits}{name} {b} x {m} x {n}", b * m * n, runs, names)
    exact = grad[:5].astype(np.float64) @ factor
    both = [lambda: grad @ factor, lambda: kernels.signed_gemm(grad, weight)]
    blas, ours = (abs(product()[:5] - exact).max() for product in both)
    errors = f"largest error {ours:.1e}, BLAS {blas:.1e}"
    row(f"signed_gemm float32 {b} x {m} x {n}", b * m * n, both, errors)


def planes(b, m, n):
    """Time 2-, 3-, 4- and 8-bit inputs times signs, and times weights with as many bits."""
    others = peers(b, m, n)
    names = "over " + ", ".join(others)
    for bits, own in ((2, 1), (3, 1), (4, 1), (8, 1), (2, 2), (3, 3), (4, 4), (8, 8)):
        x, weight = (
            kernels.BitPlanes(signs(k, rows, n), [1 << p for p in range(k)])
            for k, rows in ((bits, b), (own, m))
        )
        weight = kernels.prepare(weight if own > 1 else weight.bits[0])
        expected = reference.plane_gemm(x.with_bits(x.bits[:, :3]), weight)
        assert np.array_equal(kernels.plane_gemm(x, weight)[:3], expected)
        runs = [*others.values(), lambda x=x, w=weight: kernels.plane_gemm(x, w)]
        row(f"plane_gemm {bits} x {own} bits {b} x {m} x {n}", b * m * n, runs, names)
    pixels, weight = RNG.integers(0, 256, (b, n), dtype=np.uint8), kernels.prepare(signs(m, n))
    expected = reference.plane_gemm(pixels[:3], weight)
    assert np.array_equal(kernels.plane_gemm(pixels, weight)[:3], expected)
    runs = [*others.values(), lambda: kernels.plane_gemm(pixels, weight)]
    row(f"plane_gemm pixels {b} x {m} x {n}", b * m * n, runs, names)


def packing(b, n):
    """Time packing from memory, NumPy's packbits, and a copy of the numbers."""
    x, signs_of = floats(b, n), kernels.pack
    copy = np.empty_like(x)
    few = x[:9, : n - 7]
    assert signs_of(few) == reference.pack(few)
    assert signs_of(few.T) == reference.pack(few.T)
    assert kernels.pack_with_mask(few) == reference.pack_with_mask(few, 1.0)
    assert np.array_equal(kernels.unpack(signs_of(few)), signs_of(few).signs(np.float32))
    others = [lambda: np.packbits(x >= 0, axis=-1, bitorder="little"), lambda: np.copyto(copy, x)]
    row(f"pack float32 {b} x {n}", b * n, [*others, lambda: signs_of(x)])
    row(f"pack float32 {b} x {n}, transposed", b * n, [*others, lambda: signs_of(x.T)])
    row(f"pack_with_mask float32 {b} x {n}", b * n, [*others, lambda: kernels.pack_with_mask(x)])
    for dtype in (np.float64, np.int8, np.bool_):
        numbers = (x > 0).astype(dtype)
        target = np.empty_like(numbers)
        assert signs_of(numbers[:9]) == reference.pack(numbers[:9])

        def by_numpy(v=numbers):
            return np.packbits(v if v.dtype == bool else v >= 0, axis=-1, bitorder="little")

        copies = lambda v=numbers, to=target: np.copyto(to, v)  # noqa: E731
        runs = [by_numpy, copies, lambda v=numbers: signs_of(v)]
        row(f"pack {np.dtype(dtype)} {b} x {n}", b * n, runs)
    bits = signs_of(x)

    def unpacked_by_numpy():
        return np.unpackbits(bits.words.view(np.uint8), axis=-1).astype(np.float32)

    copies = lambda: np.copyto(copy, x)  # noqa: E731
    runs = [unpacked_by_numpy, copies, lambda: kernels.unpack(bits)]
    row(f"unpack to float32 {b} x {n}", b * n, runs)


def layer_step(b, width):
    """Time the forward and both backward products of a hidden layer, with their preparation.

    For bits this is the layout of the weights, the packing of the inputs, and the rounding of both
    forms of the gradient; the operands of torch bf16 are prepared before.
    """
    x, weight, grad = floats(b, width), signs(width, width), floats(b, width)
    factor = weight.signs(np.float32)

    def three_products():
        return x @ factor.T, grad @ factor, grad.T @ x

    def on_bits(bits, x=x, grad=grad):
        inputs, weights = kernels.pack(x), kernels.Bits(weight.words, weight.shape)
        z = kernels.xnor_gemm(inputs, weights)
        rows = kernels.round_gradient(grad, bits) if bits else grad
        columns = kernels.round_gradient(grad.T, bits) if bits else grad.T
        return z, kernels.signed_gemm(rows, weights), kernels.signed_gemm(columns, inputs)

    for bits in (6, 8):
        with kernels.using("reference"):
            expected = on_bits(bits, x[:9], grad[:9])
        assert all(map(np.array_equal, on_bits(bits, x[:9], grad[:9]), expected))
    contestants, names = [three_products], ["numpy"]
    with contextlib.suppress(ImportError):
        import torch

        torch.set_num_threads(1)
        tx, tw, tg = (torch.from_numpy(a) for a in (x, factor, grad))
        hx, hw, hg = (own.to(torch.bfloat16) for own in (tx, tw, tg))
        contestants.append(lambda: (tx @ tw.T, tg @ tw, tg.T @ tx))
        contestants.append(lambda: (hx @ hw.T, hg @ hw, hg.T @ hx))
        names += ["torch", "torch bf16"]
    for bits in (6, 8, None):
        name = f"int{bits}" if bits else "float32"
        title, macs = f"layer step {name}, batch {b}, {width} wide", 3 * b * width * width
        runs = [*contestants, lambda bits=bits: on_bits(bits)]
        row(title, macs, runs, "over " + ", ".join(names))


def two_threads():
    """Time xnor_gemm on two threads and on one."""
    x, weight = signs(4096, 4096), kernels.prepare(signs(4096, 4096))

    def on(n):
        threads.set_num_threads(n)
        kernels.xnor_gemm(x, weight)

    both, title = [lambda: on(1), lambda: on(2)], "xnor_gemm 4096 x 4096 x 4096, 2 threads"
    row(title, 4096**3, both, "over one thread")
    threads.set_num_threads(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--level", choices=("amx", "avx512", "avx2", "portable"), help="level of the kernels"
    )
    args = parser.parse_args()
    bitnet.set_num_threads(1)
    with contextlib.ExitStack() as stack:
        if args.level:
            stack.enter_context(kernels.using("numba"))  # raises an error if Numba is missing
            from bitnet.kernels.cpu import using_level

            stack.enter_context(using_level(args.level))
        print("\n".join(machine.lines("torch", "onnxruntime")))
        print(f"\n{'':44} {'ms':>9} {'GMAC/s':>9}  speedup over float32 in NumPy")
        for b, n in ((4096, 4096), (1000, 784), (1000, 4096), (100, 4096), (1, 4096)):
            xnor(b, 4096, n)
        if args.level == "portable":
            return
        tables(1000, 4096, 4096)
        planes(1000, 4096, 4096)
        planes(100, 4096, 784)
        if args.level:
            return
        for width in (2048, 4096):
            for batch in (100, 1000):
                layer_step(batch, width)
        print(f"\n{'':44} {'ms':>9} {'G/s':>9}  speedup over np.packbits, np.copyto")
        packing(8192, 4096)
        two_threads()


if __name__ == "__main__":
    bitnet.cli.run(main)
