"""Images per second of the frozen MLP, of float32 in NumPy, and of float32 and int8 in onnxruntime.

    python benchmarks/frozen_mlp.py                 one thread each
    python benchmarks/frozen_mlp.py --threads 2
    python benchmarks/frozen_mlp.py --widths 4096 --batches 100 --bits 1/1 1/2 1/4 2/2 4/4 8/8

onnxruntime (extra `bench`) is skipped if it is not installed.  First, the frozen net is compared
with the reference kernels, integer for integer.  Then all take turns in one process; the table has
medians, and medians of the ratios of the turns.  The int8 net is the faster one of static (signed
weights, unsigned activations) and dynamic quantization.
"""

import os

os.environ.pop("OPENBLAS_CORETYPE", None)  # a forced core type can halve the BLAS

import argparse
import contextlib
import itertools
import pathlib
import re
import tempfile

import machine
import numpy as np
from stopwatch import float_layers, float_predict, interleaved

import bitnet
from bitnet import kernels
from bitnet.nn import models

WIDTHS, BATCHES = (32, 128, 512, 2048, 4096), (1, 8, 100, 10_000)
RNG = np.random.default_rng(0)


def onnx_sessions(layers, threads, floats):
    """Return sessions of the float MLP in float32, in static and in dynamic int8, by name."""
    import onnx
    import onnxruntime
    from onnxruntime import quantization

    onnxruntime.set_default_logger_severity(3)
    nodes, weights, last = [], [], "x"
    for i, (weight, bias) in enumerate(layers):
        for name, array in ((f"w{i}", weight), (f"b{i}", bias)):
            weights.append(onnx.numpy_helper.from_array(array, name))
        nodes.append(onnx.helper.make_node("MatMul", [last, f"w{i}"], [f"p{i}"]))
        nodes.append(onnx.helper.make_node("Add", [f"p{i}", f"b{i}"], [f"z{i}"]))
        last = f"z{i}"
        if i < len(layers) - 1:
            nodes.append(onnx.helper.make_node("Relu", [last], [f"y{i}"]))
            last = f"y{i}"
    number = onnx.TensorProto.FLOAT
    ends = [onnx.helper.make_tensor_value_info("x", number, ["B", 784])]
    ends += [onnx.helper.make_tensor_value_info(last, number, ["B", 10])]
    graph = onnx.helper.make_graph(nodes, "mlp", ends[:1], ends[1:], weights)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    model.ir_version = 10

    class Calibration(quantization.CalibrationDataReader):
        def __init__(self):
            self.left = [{"x": floats[:100]}]

        def get_next(self):
            return self.left.pop() if self.left else None

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if threads > 1 else "0")
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(None):
        names = "float32", "static", "dynamic"
        plain, static, dynamic = (str(pathlib.Path(folder) / f"{name}.onnx") for name in names)
        onnx.save(model, plain)
        signed, unsigned = quantization.QuantType.QInt8, quantization.QuantType.QUInt8
        types = {"activation_type": unsigned, "weight_type": signed}
        quantization.quantize_static(plain, static, Calibration(), **types)
        quantization.quantize_dynamic(plain, dynamic, weight_type=signed)
        session, where = onnxruntime.InferenceSession, ["CPUExecutionProvider"]
        paths = zip(names, (plain, static, dynamic), strict=True)
        return {name: session(path, options, where) for name, path in paths}


def compared(width, batch, bits, threads):
    """Return a table row: images per second of each, and the frozen net's ratio to the others."""
    sizes, (weights, activations) = [784, width, width, width, 10], bits
    model = models.binary_mlp(
        sizes, rng=RNG, weight_quantizer=weights, activation_quantizer=activations
    )
    for norm in model.layers[1::3]:  # so that the codes of activations differ
        norm.running_inv_std[:] = 1 / np.sqrt(width) / (2**weights * 2**activations / 4)
    net, layers = bitnet.freeze(model), float_layers(sizes, RNG)
    layers = [(weight / np.float32(weight.shape[0] ** 0.5), bias) for weight, bias in layers]
    pixels = RNG.integers(0, 256, (batch, 784), dtype=np.uint8)
    floats = bitnet.data.scale_pixels(pixels)
    with kernels.using("reference"):
        expected = net.pre_activations(pixels[:20])
        scores = net.scores(pixels[:20])
    for a, b in zip(expected, net.pre_activations(pixels[:20]), strict=True):
        assert np.array_equal(a, b)
    assert np.array_equal(net.scores(pixels[:20]), scores)
    contestants = [lambda: float_predict(floats, layers)]
    if machine.missing("onnxruntime", "onnx") is None:
        some = bitnet.data.scale_pixels(RNG.integers(0, 256, (100, 784), dtype=np.uint8))
        for session in onnx_sessions(layers, threads, some).values():
            run = lambda s=session: s.run(None, {"x": floats})[0].argmax(axis=1)  # noqa: E731
            contestants.append(run)
    contestants.append(lambda: net.predict(pixels))
    seconds = interleaved(contestants, turns=5, least_s=0.1)
    if seconds.shape[1] == 5:  # the faster int8
        slower = 2 if np.median(seconds[:, 2]) > np.median(seconds[:, 3]) else 3
        seconds = np.delete(seconds, slower, axis=1)
    ratios = np.median(seconds[:, :-1] / seconds[:, -1:], axis=0)
    return batch / np.median(seconds, axis=0), ratios


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add, about = parser.add_argument, "bits of weights/activations, such as 1/2 4/4 (default: 1/1)"
    add("--widths", type=machine.positive, nargs="+", default=WIDTHS)
    add("--batches", type=machine.positive, nargs="+", default=BATCHES)
    add("--bits", type=few, nargs="+", default=[(1, 1)], help=about)
    add("--threads", type=machine.positive, default=1)
    args = parser.parse_args()
    bitnet.set_num_threads(args.threads)
    packages, names = (), ["numpy f32"]
    missing = machine.missing("onnxruntime", "onnx")
    if missing is None:
        packages, names = ("onnxruntime",), [*names, "onnxrt f32", "onnxrt int8"]
    print("\n".join(machine.lines(*packages)))
    if missing:
        print(f"skipped: {missing}")
    print("\nimages per second; then the speedup of the frozen net")
    columns = [*names, "frozen", *(f"over {name}" for name in names)]
    print(f"{'bits':>5} {'width':>6} {'batch':>6} " + " ".join(f"{name:>16}" for name in columns))
    for bits, width, batch in itertools.product(args.bits, args.widths, args.batches):
        speeds, ratios = compared(width, batch, bits, args.threads)
        cells = [*(f"{s:16,.0f}" for s in speeds), *(f"{r:16.1f}" for r in ratios)]
        print(f"{'/'.join(map(str, bits)):>5} {width:6} {batch:6} " + " ".join(cells), flush=True)


def few(text):
    """Parse bits of weights and activations, such as "1/2"."""
    if re.fullmatch("[1-8]/[1-8]", text):
        return tuple(int(bits) for bits in text.split("/"))
    raise argparse.ArgumentTypeError(f"{text!r}; expected WEIGHTS/ACTIVATIONS, 1 to 8 bits each")


if __name__ == "__main__":
    bitnet.cli.run(main)
