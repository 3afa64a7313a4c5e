"""Nets, images and command lines that the tests of two devices train."""

import numpy as np

import bitnet
from bitnet import Adam, models, schedules
from bitnet.branches import Branches, WithHeads
from bitnet.quantizers import ApproxSign, DoReFa, Linear, Logarithmic, SwishSign, Ternary

DRAW = np.random.default_rng(11)
IMAGES = DRAW.integers(0, 256, (24, 6, 6, 1), dtype=np.uint8)
LABELS = DRAW.integers(0, 3, 24)
ROWS = IMAGES.reshape(24, 36)
QUICK = ["train", "--data", "embedded", "--net", "mlp:16", "--limit", "60", "--batch", "20"]
TEXT = ["train", "--net", "gru:8", "--limit", "300", "--epochs", "1", "--steps", "10"]
TEXT += ["--batch", "5", "--quiet", "--weights", "2", "--activations", "3"]


def mlp(rng, **options):
    return models.binary_mlp([36, 20, 17, 3], rng, **options)


def convnet(rng, **options):
    first = bitnet.BinaryConv2d(1, 8, rng, **options), bitnet.MaxPool2d(), bitnet.BatchNorm(8)
    grouped = bitnet.BinaryConv2d(8, 6, rng, groups=2, border=1, balance=True)
    second = bitnet.Sign(), grouped, bitnet.BatchNorm(6)
    third = bitnet.Sign(window=2.0), bitnet.MaxPool2d(2, 1), bitnet.Flatten()
    last = bitnet.BinaryLinear(24, 3, rng), bitnet.BatchNorm(3)
    return bitnet.Sequential(*first, *second, *third, *last)


def few_bits(rng):
    first = bitnet.QuantConv2d(1, 5, rng, weights=2, gradient="log5"), bitnet.BatchNorm(5)
    second = bitnet.Quantize(3), bitnet.AvgPool2d(2), bitnet.BatchNorm(5)
    third = bitnet.Quantize(Logarithmic(3)), bitnet.Flatten(), bitnet.Dropout(0.2, rng)
    fourth = bitnet.QuantLinear(45, 12, rng, weights=Ternary()), bitnet.BatchNorm(12)
    options = {"weights": DoReFa(3), "gradient": "dorefa6", "rounding": "stochastic"}
    dorefa = bitnet.QuantLinear(12, 9, rng, **options)
    fifth = bitnet.Quantize(Linear(2, 0.5)), dorefa, bitnet.BatchNorm(9)
    last = bitnet.QuantLinear(9, 3, rng, weights=4), bitnet.BatchNorm(3)
    swish = bitnet.Quantize(SwishSign())
    return bitnet.Sequential(*first, *second, *third, *fourth, *fifth, swish, *last)


def shifts(rng, variant):
    first = bitnet.BinaryLinear(36, 20, rng), bitnet.ShiftBatchNorm(20, variant)
    signs = bitnet.Sign(stochastic=True, rng=rng), bitnet.Dropout(0.5, rng)
    last = bitnet.BinaryLinear(20, 3, rng, gradient="float32"), bitnet.ShiftBatchNorm(3, variant)
    return bitnet.Sequential(*first, *signs, *last)


def branches(rng):
    def branch(taps):
        product, norm = bitnet.BinaryConv2d(4, 3, rng, taps), bitnet.BatchNorm(3)
        return bitnet.Sequential(product, norm, bitnet.Quantize(ApproxSign()))

    first = bitnet.BinaryConv2d(1, 4, rng), bitnet.BatchNorm(4), bitnet.Sign()
    last = bitnet.AvgPool2d(6), bitnet.Flatten(), bitnet.BatchNorm(6)
    head = bitnet.Sequential(
        bitnet.Flatten(), bitnet.BinaryLinear(144, 6, rng), bitnet.BatchNorm(6)
    )
    return WithHeads(*first, Branches(branch(1), branch(3)), *last, heads={2: head})


def twin(rng):
    return models.float_mlp([36, 16, 3], rng)


def float_convnet(rng):
    first = bitnet.Conv2d(1, 4, rng), bitnet.ReLU(), bitnet.MaxPool2d(), bitnet.AvgPool2d(3)
    second = bitnet.Flatten(), bitnet.Dropout(0.1, rng), bitnet.BatchNorm(4)
    return bitnet.Sequential(*first, *second, bitnet.Linear(4, 3, rng))


def of_few_bits(rng):
    first = bitnet.QuantConv2d(1, 5, rng, weights=2), bitnet.AvgPool2d(2), bitnet.BatchNorm(5)
    second = bitnet.Quantize(3), bitnet.BinaryConv2d(5, 4, rng), bitnet.MaxPool2d(2)
    third = bitnet.ShiftBatchNorm(4), bitnet.Quantize(2), bitnet.Flatten()
    last = bitnet.QuantLinear(4, 3, rng, weights=3), bitnet.BatchNorm(3)
    return bitnet.Sequential(*first, *second, *third, *last)


def begun(device):
    rng = np.random.default_rng(2)
    model = mlp(rng, rounding="stochastic").to(device)
    return model, Adam(model.parameters(), 1e-2), schedules.Constant(1e-2), rng
