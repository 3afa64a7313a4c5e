"""Nets, images and command lines for the tests of two devices."""

import numpy as np

from bitnet import nn
from bitnet.nn import Branches, WithHeads, models
from bitnet.optim import Adam, schedules
from bitnet.quantizers import ApproxSign, DoReFa, LinearQuant, LogQuant, SwishSign, Ternary

DRAW = np.random.default_rng(11)
IMAGES = DRAW.integers(0, 256, (24, 6, 6, 1), dtype=np.uint8)
LABELS = DRAW.integers(0, 3, 24)
ROWS = IMAGES.reshape(24, 36)
QUICK = ["train", "--data", "embedded", "--net", "mlp:16", "--limit", "60", "--batch", "20"]
TEXT = ["train", "--net", "gru:8", "--limit", "300", "--epochs", "1", "--steps", "10"]
TEXT += ["--batch", "5", "--quiet", "--weights", "2", "--activations", "3"]


def mlp(rng, **options):
    return models.binary_mlp([36, 20, 17, 3], rng=rng, **options)


def convnet(rng, **options):
    first = (
        nn.BinaryConv2d(1, 8, rng=rng, kernel_size=3, **options, padding="same"),
        nn.MaxPool2d(),
        nn.BatchNorm(8),
    )
    grouped = nn.BinaryConv2d(
        8, 6, rng=rng, groups=2, border=1, balance=True, kernel_size=3, padding="same"
    )
    second = nn.Sign(), grouped, nn.BatchNorm(6)
    third = nn.Sign(clip_value=2.0), nn.MaxPool2d(2, 1), nn.Flatten()
    last = nn.BinaryLinear(24, 3, rng=rng), nn.BatchNorm(3)
    return nn.Sequential(*first, *second, *third, *last)


def few_bits(rng):
    first = (
        nn.QuantConv2d(
            1, 5, rng=rng, weight_quantizer=2, grad_format="log5", kernel_size=3, padding="same"
        ),
        nn.BatchNorm(5),
    )
    second = nn.Quantize(3), nn.AvgPool2d(2), nn.BatchNorm(5)
    third = nn.Quantize(LogQuant(3)), nn.Flatten(), nn.Dropout(0.2, rng=rng)
    fourth = nn.QuantLinear(45, 12, rng=rng, weight_quantizer=Ternary()), nn.BatchNorm(12)
    options = {"weight_quantizer": DoReFa(3), "grad_format": "dorefa6", "rounding": "stochastic"}
    dorefa = nn.QuantLinear(12, 9, rng=rng, **options)
    fifth = nn.Quantize(LinearQuant(2, 0.5)), dorefa, nn.BatchNorm(9)
    last = nn.QuantLinear(9, 3, rng=rng, weight_quantizer=4), nn.BatchNorm(3)
    swish = nn.Quantize(SwishSign())
    return nn.Sequential(*first, *second, *third, *fourth, *fifth, swish, *last)


def shifts(rng, variant):
    first = nn.BinaryLinear(36, 20, rng=rng), nn.ShiftBatchNorm(20, variant)
    signs = nn.Sign(stochastic=True, rng=rng), nn.Dropout(0.5, rng=rng)
    last = (nn.BinaryLinear(20, 3, rng=rng, grad_format="float32"), nn.ShiftBatchNorm(3, variant))
    return nn.Sequential(*first, *signs, *last)


def branches(rng):
    def branch(taps):
        product, norm = (
            nn.BinaryConv2d(4, 3, rng=rng, kernel_size=taps, padding="same"),
            nn.BatchNorm(3),
        )
        return nn.Sequential(product, norm, nn.Quantize(ApproxSign()))

    first = (
        nn.BinaryConv2d(1, 4, rng=rng, kernel_size=3, padding="same"),
        nn.BatchNorm(4),
        nn.Sign(),
    )
    last = nn.AvgPool2d(6), nn.Flatten(), nn.BatchNorm(6)
    head = nn.Sequential(nn.Flatten(), nn.BinaryLinear(144, 6, rng=rng), nn.BatchNorm(6))
    return WithHeads(*first, Branches(branch(1), branch(3)), *last, heads={2: head})


def twin(rng):
    return models.float_mlp([36, 16, 3], rng=rng)


def float_convnet(rng):
    first = (
        nn.Conv2d(1, 4, rng=rng, kernel_size=3, padding="same"),
        nn.ReLU(),
        nn.MaxPool2d(),
        nn.AvgPool2d(3),
    )
    second = nn.Flatten(), nn.Dropout(0.1, rng=rng), nn.BatchNorm(4)
    return nn.Sequential(*first, *second, nn.Linear(4, 3, rng=rng))


def of_few_bits(rng):
    first = (
        nn.QuantConv2d(1, 5, rng=rng, weight_quantizer=2, kernel_size=3, padding="same"),
        nn.AvgPool2d(2),
        nn.BatchNorm(5),
    )
    second = (
        nn.Quantize(3),
        nn.BinaryConv2d(5, 4, rng=rng, kernel_size=3, padding="same"),
        nn.MaxPool2d(2),
    )
    third = nn.ShiftBatchNorm(4), nn.Quantize(2), nn.Flatten()
    last = nn.QuantLinear(4, 3, rng=rng, weight_quantizer=3), nn.BatchNorm(3)
    return nn.Sequential(*first, *second, *third, *last)


def begun(device):
    rng = np.random.default_rng(2)
    model = mlp(rng, rounding="stochastic").to(device)
    return model, Adam(model.parameters(), 1e-2), schedules.Constant(1e-2), rng
