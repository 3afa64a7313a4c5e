"""Energy estimates, by hand from the tables."""

import json

import numpy as np
import pytest

import bitnet
from bitnet import InputError
from bitnet.analysis.energy import ADD_PJ, MEMORIES, MUL_PJ, estimate
from bitnet.analysis.report import summary
from bitnet.nn import (
    BatchNorm,
    BinaryLinear,
    Linear,
    MaxPool2d,
    Module,
    QuantConv2d,
    Quantize,
    QuantLinear,
    ReLU,
    Sequential,
    Sign,
    models,
)
from bitnet.nn.shift import ShiftBatchNorm

RNG = np.random.default_rng(0)


def test_the_tables_of_the_papers():
    assert MUL_PJ == {"int8": 0.2, "int32": 3.1, "fp16": 1.1, "fp32": 3.7}
    assert ADD_PJ == {"int8": 0.03, "int32": 0.1, "fp16": 0.4, "fp32": 0.9}
    assert [m[2:] for m in MEMORIES] == [(10, 10), (20, 20), (100, 100), (1300, 2600)]


def mlp(*sizes):
    """A binary MLP whose last scales are no powers of two, as after a training."""
    model = models.binary_mlp(sizes, rng=RNG)
    model.layers[-1].gamma.edit()[:] = 0.3
    return model


def test_an_mlp_by_hand():
    energy = estimate(mlp(70, 64, 10))
    binary, twin = energy.estimates
    words = 8 * 2 * 64 + 10
    assert binary.arithmetic_pj == pytest.approx(0.5 * words + 0.1 * 64 + 5.5 * 10)
    most = 0.03 * (8 * 70 * 64 + 64 * 10) + 0.1 * 64 + 5.5 * 10
    assert binary.upper_pj == pytest.approx(most)
    assert binary.weight_bytes == 64 * 9 + 64 * 4 + 8 + 10 * 8 + 120
    assert binary.activation_bytes == 70 + 8 + 8 + 40
    assert binary.weights_pj == (binary.weight_bytes / 8 * 10,) * 2
    assert twin.arithmetic_pj == pytest.approx(4.6 * (70 * 64 + 640) + 0.9 * 74)
    assert twin.weight_bytes == 4 * (70 * 64 + 640 + 74)
    assert (binary.weight_memory, twin.weight_memory) == ("8K cache", "32K cache")
    assert twin.activation_bytes == 4 * (70 + 64 + 64 + 10)
    ratio = twin.total_pj[0] / binary.total_pj[0]
    assert energy.ratio == pytest.approx((ratio, ratio))


def test_dram_is_a_range():
    binary, twin = estimate(models.binary_mlp([784, 512, 10], rng=RNG)).estimates
    assert (binary.weight_memory, twin.weight_memory) == ("1M cache", "DRAM")
    assert twin.weights_pj == (twin.weight_bytes / 8 * 1300, twin.weight_bytes / 8 * 2600)
    assert twin.total_pj[1] > twin.total_pj[0]


def test_the_smallest_memory_that_holds_all():
    for width, memory in ((8 << 10, "8K cache"), ((8 << 10) + 4, "32K cache")):
        model = Sequential(Linear(width // 4 - 1, 1, rng=RNG))  # and a bias
        (alone,) = estimate(model).estimates
        assert (alone.net, alone.weight_bytes, alone.weight_memory) == ("float", width, memory)


def test_model_and_frozen_net_need_the_same():
    model = models.binary_convnet((8, 8, 3), [(16, 70)], (9, 2), rng=RNG)
    trained = estimate(model)
    frozen = estimate(bitnet.freeze(model))
    assert trained.estimates == frozen.estimates
    assert estimate(summary(model)) == trained
    twin = models.float_convnet((8, 8, 3), [(16, 70)], (9, 2), rng=RNG)
    alone = estimate(twin).estimates[0]
    both = trained.estimates[1]
    assert alone.weight_bytes == both.weight_bytes
    assert alone.total_pj == both.total_pj
    assert trained.ratio[0] > 1


def test_a_mixed_net():
    mixed = Sequential(BinaryLinear(8, 4, rng=RNG), BatchNorm(4), ReLU(), Linear(4, 2, rng=RNG))
    binary, _ = estimate(mixed).estimates
    assert binary.macs == {"1x1": 0, "8x1": 32, "float32": 8}
    steps = 4 * (0.03 + 2 * 0.9)  # a batch norm with scales of 1, whose rectifier is no threshold
    assert binary.arithmetic_pj == pytest.approx(0.5 * 8 * 4 + steps + 4.6 * 8 + 0.9 * 2)
    assert binary.weight_bytes == 4 + 4 * (3 * 4 + 10)


def test_a_shortcut_costs_the_same_in_the_twin():
    class Shortcut(Module):
        def __init__(self):
            self.sign, self.linear, self.norm = Sign(), BinaryLinear(9, 9, rng=RNG), BatchNorm(9)

        def forward(self, x):
            return x + self.norm(self.linear(self.sign(x)))

    binary, twin = estimate(Shortcut(), np.zeros((1, 9), np.float32)).estimates
    norm = 9 * (0.03 + 2 * 0.9)  # with scales of 1
    assert binary.arithmetic_pj == pytest.approx(0.5 * 9 + norm + 9 * 0.1 + 9 * 0.9)
    assert twin.arithmetic_pj == pytest.approx(4.6 * 81 + 0.9 * 9 + 9 * 0.9)
    # floats to signs, signs to floats, and the sum of two
    assert binary.activation_bytes == round((36 + 9 / 8) + (9 / 8 + 36) + (72 + 36))
    assert twin.activation_bytes == 4 * (18 + 18 + 27)


def few_bits(norm=BatchNorm):
    layers = (
        QuantLinear(70, 64, rng=RNG, weight_quantizer=2),
        norm(64),
        Quantize(3),
        QuantLinear(64, 10, rng=RNG, weight_quantizer=4),
    )
    model = Sequential(*layers, norm(10))
    model.layers[-1].gamma.edit()[:] = 0.3
    return model


def test_few_bits_by_hand():
    """BitPlanes of activations times planes of weights, and 2^k - 1 thresholds."""
    own, twin = estimate(few_bits()).estimates
    words = 8 * 2 * 2 * 64 + 3 * 4 * 10
    steps = 0.1 * 64 * 7 + 5.5 * 10
    assert own.net == "quantized"
    assert own.arithmetic_pj == pytest.approx(0.5 * words + steps)
    assert own.upper_pj == pytest.approx(0.03 * (16 * 70 * 64 + 12 * 640) + steps)
    assert own.weight_bytes == 2 * 64 * 9 + 64 * 7 * 4 + 8 + 4 * 10 * 8 + 120
    assert own.activation_bytes == 70 + 2 * 64 * 3 / 8 + 40
    assert twin == estimate(mlp(70, 64, 10)).estimates[1]
    assert "float twin / quantized, pJ" in str(estimate(few_bits()))


def test_the_last_scale_of_a_shift_norm_is_no_multiplication():
    shift, batch = (estimate(few_bits(norm)).estimates[0] for norm in (ShiftBatchNorm, BatchNorm))
    assert shift.arithmetic_pj == pytest.approx(batch.arithmetic_pj - 10 * (3.7 - 0.03))


def test_only_signs_and_pixels_are_binary():
    for weights, activations, name in (
        (1, 1, "binary"),
        (1, 2, "quantized"),
        (2, 1, "quantized"),
        (1, 8, "quantized"),
    ):
        layers = (
            QuantLinear(9, 7, rng=RNG, weight_quantizer=weights),
            BatchNorm(7),
            Quantize(activations),
        )
        model = Sequential(
            *layers, QuantLinear(7, 2, rng=RNG, weight_quantizer=weights), BatchNorm(2)
        )
        assert estimate(model).estimates[0].net == name


def test_few_bits_of_images_frozen_or_not():
    layers = [
        QuantConv2d(3, 5, rng=RNG, weight_quantizer=2, kernel_size=3, padding="same"),
        MaxPool2d(),
        BatchNorm(5),
        Quantize(2),
    ]
    layers += [
        bitnet.nn.Flatten(),
        QuantLinear(4 * 4 * 5, 3, rng=RNG, weight_quantizer="log:3"),
        BatchNorm(3),
    ]
    model = Sequential(*layers)
    pixels = np.zeros((1, 8, 8, 3), np.uint8)
    frozen = estimate(bitnet.freeze(model, pixels))
    assert estimate(model, pixels).estimates == frozen.estimates


def test_what_is_printed_and_what_is_refused():
    energy = estimate(models.binary_mlp([70, 64, 10], rng=RNG))
    text = str(energy)
    parts = energy, *energy.estimates
    assert [repr(own).partition(":")[0] for own in parts] == [
        "Energy(Sequential of 5 layers",
        "Estimate(binary",
        "Estimate(float twin",
    ]
    assert max(len(repr(own)) for own in parts) < 120
    for told in ("assumed", "not counted", "from the tables", "upper bound", "1300 to 2600"):
        assert told in text
    assert json.loads(json.dumps(energy.as_dict()))["estimates"][0]["net"] == "binary"
    assert "float twin /" not in str(estimate(Sequential(Linear(3, 2, rng=RNG))))
    with pytest.raises(InputError, match="no layer that multiplies"):
        estimate(Sequential(ReLU()), np.zeros((1, 3), np.float32))
    with pytest.raises(InputError, match="got int"):
        estimate(3)
    few = {"weight_quantizer": 2, "activation_quantizer": 2}
    with pytest.raises(InputError, match="which takes tokens"):
        estimate(models.language_model(4, rng=RNG, width=2, units=3, **few))
    model = mlp(3, 2)
    model.layers[0].weight.edit()[0, 0] = np.nan
    with pytest.raises(InputError, match=r"cannot be frozen: layers\.0\.weight holds NaN"):
        estimate(model)
