"""Eight small frozen nets with inputs, their integers and outputs, for readers of the file.

    python tests/conformance/make.py [FOLDER]

Weights are multiples of a power of two, so that no sum is rounded on the way to the files and every
machine makes the same ones.  In the .json, floats are in C99's hexadecimal form.
"""

import json
import pathlib
import sys

import numpy as np

import bitnet
from bitnet import nn
from bitnet.nn import functional
from bitnet.nn.models import language_model
from bitnet.quantizers import LinearQuant

HERE = pathlib.Path(__file__).parent
COUNT = 3  # inputs per net


def filled(model, rng):
    """Fill a model with coarse numbers; batch norm gets slopes of both signs and a slope of 0."""
    for name, parameter in model.named_parameters():
        least, most, unit = (-4, 12, 32) if name.endswith("slope") else (-32, 32, 32)
        unit = 2 if "biases" in name else unit  # the gates of cells reach 9
        numbers = rng.integers(least, most + 1, parameter.shape)
        parameter.assign(numbers.astype(np.float32) / unit)
    for norm in (layer for layer in model.modules() if isinstance(layer, nn.BatchNorm)):
        norm.running_mean[:] = rng.integers(-24, 25, norm.num_features) / 4
        norm.running_inv_std[:] = rng.integers(3, 20, norm.num_features) / 96
        norm.gamma.edit()[-1] = 0
    return model.eval()


def mlp(rng):
    """Pixels, ±1 weights and signs; widths that are no multiple of 8."""
    layers = [nn.BinaryLinear(60, 21, rng=rng), nn.BatchNorm(21), nn.Sign()]
    layers += [nn.BinaryLinear(21, 13, rng=rng), nn.BatchNorm(13), nn.Sign()]
    layers += [nn.BinaryLinear(13, 4, rng=rng), nn.BatchNorm(4)]
    return nn.Sequential(*layers), rng.integers(0, 256, (COUNT, 60), np.uint8)


def mlp_low_bit(rng):
    """The top 3 planes of pixels, 2-bit weights, and unsigned 4-bit codes whose steps repeat."""
    layers = [nn.PixelPlanes(3), nn.QuantLinear(24, 19, weight_quantizer=2, rng=rng)]
    layers += [nn.BatchNorm(19), nn.Quantize(LinearQuant(4, 0.0625, signed=False))]
    layers += [nn.QuantLinear(19, 11, weight_quantizer="ternary", rng=rng), nn.BatchNorm(11)]
    layers += [nn.Quantize(LinearQuant(4, 0.5)), nn.QuantLinear(11, 5, weight_quantizer=2, rng=rng)]
    return nn.Sequential(*layers, nn.BatchNorm(5)), rng.integers(0, 256, (COUNT, 24), np.uint8)


def convnet(rng):
    """Strides, groups, each border, max-pooling of integers and of codes, and sums of windows."""
    two, four = {"weight_quantizer": 2, "rng": rng}, nn.Quantize(LinearQuant(2, 0.25, signed=False))
    layers = [nn.BinaryConv2d(2, 6, 3, stride=(1, 2), padding=1, rng=rng)]
    layers += [nn.MaxPool2d(3, stride=2, padding=1), nn.BatchNorm(6), nn.Sign()]
    layers += [nn.BinaryConv2d(6, 8, 2, padding="same", groups=2, border=1, rng=rng)]
    layers += [nn.BatchNorm(8), four, nn.MaxPool2d(2, stride=1)]
    layers += [nn.QuantConv2d(8, 6, 3, padding=2, border=-1, **two), nn.BatchNorm(6), nn.Sign()]
    layers += [nn.QuantConv2d(6, 6, 3, padding=1, groups=3, **two), nn.AvgPool2d(2)]
    layers += [nn.BatchNorm(6), nn.Sign(), nn.Flatten(), nn.BinaryLinear(24, 3, rng=rng)]
    return nn.Sequential(*layers, nn.BatchNorm(3)), rng.integers(0, 256, (COUNT, 8, 9, 2), np.uint8)


class Residual(nn.Module):
    """Blocks with a shortcut of floats around signs and a convolution of ±1."""

    def __init__(self, rng):
        self.stem, self.norm = nn.BinaryConv2d(1, 5, 3, stride=2, rng=rng), nn.BatchNorm(5)
        self.conv = nn.BinaryConv2d(5, 5, 3, padding=1, rng=rng)
        self.after, self.slope = nn.BatchNorm(5), nn.PReLU(5)
        self.last = nn.BinaryConv2d(5, 10, 3, stride=2, padding=1, border=-1, rng=rng)
        self.pool, self.out = nn.AvgPool2d(3, stride=2, padding=1), nn.BatchNorm(10)
        self.flat = nn.Flatten()
        self.wide = nn.Conv2d(5, 10, 1, rng=rng)
        self.decoder = nn.Linear(10, 4, rng=rng)

    def forward(self, x):
        x = self.norm(self.stem(x))
        x = self.slope(x + self.after(self.conv(functional.sign(x))))
        x = functional.relu(self.out(self.last(functional.sign(x))) + self.wide(self.pool(x)))
        return self.decoder(self.flat(self.pool(x)))


def residual(rng):
    """Floats between the products of bits: add, affine, PReLU, ReLU and average pooling."""
    return Residual(rng), rng.integers(0, 256, (COUNT, 9, 9, 1), np.uint8)


def float_stem(rng):
    """Numbers as inputs, a float convolution with groups, signs, and a float layer at the end."""
    layers = [nn.Conv2d(2, 6, 3, padding=1, groups=2, rng=rng), nn.BatchNorm(6)]
    layers += [nn.Quantize(2), nn.BinaryConv2d(6, 7, 3, stride=2, rng=rng), nn.BatchNorm(7)]
    layers += [nn.ReLU(), nn.MaxPool2d(2, stride=1), nn.Flatten(), nn.Linear(28, 3, rng=rng)]
    images = rng.integers(-64, 65, (COUNT, 7, 7, 2)).astype(np.float32) / 48
    return nn.Sequential(*layers), images


def decoder(rng):
    """Taps apart, upsampled codes, and floats times packed weights, with groups and k bits."""
    layers = [nn.BinaryConv2d(2, 6, 3, padding="same", dilation=(1, 2), rng=rng), nn.BatchNorm(6)]
    layers += [nn.Quantize(2), nn.Upsample((1, 2))]
    layers += [nn.BinaryConv2d(6, 6, 2, stride=2, dilation=2, border=1, rng=rng), nn.BatchNorm(6)]
    layers += [nn.BinaryConv2d(6, 4, 3, padding=((0, 1), (2, 0)), groups=2, rng=rng), nn.ReLU()]
    layers += [nn.Upsample(2), nn.Flatten(), nn.QuantLinear(48, 3, weight_quantizer=3, rng=rng)]
    return nn.Sequential(*layers, nn.BatchNorm(3)), rng.integers(0, 256, (COUNT, 5, 4, 2), np.uint8)


def lstm(rng):
    """A language model with ternary weights and 4-bit states: ids (T, B), and two states (B, H)."""
    bits = {"weight_quantizer": "ternary", "activation_quantizer": 4}
    model = language_model(7, rng=rng, width=6, units=9, **bits)
    states = (rng.integers(-32, 33, (2, 9)).astype(np.float32) / 32 for _ in range(2))
    return model, (rng.integers(0, 7, (5, 2)), *states)


class Sequences(nn.Module):
    """A GRU with few bits, an RNN of floats, and most kinds of nodes that the other nets lack."""

    def __init__(self, rng):
        bits = {"weight_quantizer": "ternary", "activation_quantizer": 4}
        self.gru, self.rnn = nn.GRU(4, 5, rng=rng, **bits), nn.RNN(5, 6, rng=rng)
        self.relu = nn.RNN(6, 3, rng=rng, activation="relu")

    def forward(self, x, steps):
        x, _ = self.rnn(self.gru(x)[0])  # (T, B, 6)
        signs = functional.unpack(functional.sign(x))
        both = functional.concatenate(functional.hardtanh(x * 2), signs - x)  # (T, B, 12)
        y, state = self.relu(both[..., [7, 0, 3, 11, 2, 5]])
        last = both[steps, np.arange(x.shape[1])]  # (B, 12)
        means = abs(both).mean(axis=(0, 2)) / (1 + both.max(axis=2).sum(axis=0))  # (B,)
        scores = last @ last.transpose() + (last[:, 1:2] > means[:, None])
        few = functional.where(means > 0.125, functional.minimum(means, 0.75), -means)
        return scores, y.transpose(1, 0, 2)[..., ::2], state, functional.maximum(few, -0.5)


def sequences(rng):
    """Numbers (T, B, 4), and for each sequence the step to take."""
    numbers = rng.integers(-64, 65, (5, COUNT, 4)).astype(np.float32) / 32
    return Sequences(rng), (numbers, np.array([4, 0, 2]))


NETS = mlp, mlp_low_bit, convnet, residual, float_stem, decoder, lstm, sequences


def frozen(make):
    """Return the frozen net and the inputs of one of `NETS`."""
    rng = np.random.default_rng(sum(make.__name__.encode()))
    model, inputs = make(rng)
    filled(model, rng)
    if make is lstm:
        vocabulary = bitnet.data.Vocabulary(["<unk>", "\n", *"abcde"], "characters")
        return bitnet.freeze(model, vocabulary=vocabulary), inputs
    if make is sequences:
        return bitnet.freeze(model, inputs, axes=["TB", "B"]), inputs
    net = bitnet.freeze(model, inputs[:1])
    net.data, net.classes = make.__name__, ["zero", "one", "two", "three", "four"][: net_size(net)]
    return net, (inputs,)


def net_size(net):
    """Return the number of classes."""
    return net.graph.values[net.graph.outputs[0]].shape[-1]


def stored(array):
    """Return an array in the form of JSON: type, shape and the elements in C order."""
    array = np.asarray(array)
    flat = array.ravel().tolist()
    values = [x.hex() for x in flat] if array.dtype.kind == "f" else flat
    return {"type": str(array.dtype), "shape": list(array.shape), "values": values}


def expected(net, inputs):
    """Return inputs, all integers by the number of their node, and outputs."""
    graph = net.graph
    values = zip(graph.values, graph.run_all(*net.check_inputs(*inputs)), strict=True)
    integers = {str(i): stored(z) for i, (own, z) in enumerate(values) if own.kind == "int32"}
    outputs = [stored(y) for y in net.run(*inputs)]
    return {"inputs": [stored(x) for x in inputs], "integers": integers, "outputs": outputs}


def main(folder):
    """Write the files of all nets."""
    for make in NETS:
        net, inputs = frozen(make)
        net.save(folder / f"{make.__name__}.npz")
        text = json.dumps(expected(net, inputs))
        (folder / f"{make.__name__}.json").write_text(text + "\n")


if __name__ == "__main__":
    main(pathlib.Path(*sys.argv[1:2] or [HERE]))
