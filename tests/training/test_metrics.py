"""Tests of the metrics of models."""

import numpy as np
import pytest

import bitnet
from bitnet import InputError
from bitnet.nn import models

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (2100, 20), dtype=np.uint8)


def test_predict_is_the_largest_score_in_evaluation():
    model = models.binary_mlp([20, 30, 4], rng=RNG, dropout=(0.2, 0.5), stochastic=True)
    model(IMAGES)
    classes = bitnet.training.predict(model, IMAGES)
    assert model.training
    assert np.array_equal(classes, model.eval()(IMAGES).data.argmax(axis=1))
    assert not np.array_equal(classes, np.zeros(2100))
    bitnet.training.predict(model, IMAGES)
    assert not model.training


@pytest.mark.parametrize("count", [199, 200, 1001])
def test_a_convnet_is_evaluated_as_it_is(count, monkeypatch):
    rng = np.random.default_rng(0)
    model = models.binary_convnet((8, 8, 3), [(4,)], [6, 5], rng=rng, stochastic=True)
    images = rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    state = rng.bit_generator.state
    found = bitnet.training.metrics.scores(model, images)
    assert model.training
    assert rng.bit_generator.state == state
    monkeypatch.setattr(bitnet.training.metrics, "freeze", refuse)
    assert np.array_equal(bitnet.training.metrics.scores(model, images), found)


def refuse(*_):
    raise InputError("freeze: refused")


def test_a_module_of_a_user_is_called():
    class Counting(bitnet.nn.Module):
        calls = 0

        def __init__(self, body):
            self.body = body

        def forward(self, x):
            Counting.calls += 1
            return self.body(x)

    model = Counting(models.binary_convnet((8, 8, 3), [(4,)], [6, 5], rng=RNG))
    images = RNG.integers(0, 256, (300, 8, 8, 3), dtype=np.uint8)
    bitnet.training.predict(model, images)
    assert Counting.calls == 3


def test_the_window_of_all_signs_and_of_nothing_else():
    layers = models.binary_convnet((8, 8, 3), [(4,)], [6, 5], rng=RNG).layers
    free = bitnet.nn.Sign(clip_value=None)
    model = bitnet.nn.Sequential(*layers, free)
    pooling, taps = layers[1].window, layers[0].window
    assert bitnet.training.metrics.set_clip_value(model, 1.5) == 2
    assert [layer.clip_value for layer in layers if isinstance(layer, bitnet.nn.Sign)] == [1.5, 1.5]
    assert (layers[0].window, layers[1].window, free.clip_value) == (taps, pooling, None)
    for clip_value in (0, -1.0, float("nan"), None, "2"):
        with pytest.raises(InputError, match="clip_value"):
            bitnet.training.metrics.set_clip_value(model, clip_value)
    assert layers[3].clip_value == 1.5


def test_the_window_of_quantizers():
    names = "uniform:2", "uniform:2:0.5", "sign:inf", "uniform:3:1:inf", "log:3", "approx-sign"
    model = bitnet.nn.Sequential(*map(bitnet.nn.Quantize, names))
    assert bitnet.training.set_clip_value(model, 3.0) == 2
    inf = float("inf")
    assert [layer.clip_value for layer in model.layers] == [3.0, 3.0, inf, inf, None, None]


def test_accuracy_and_evaluate():
    model = models.binary_mlp([20, 30, 4], rng=RNG)
    classes = bitnet.training.predict(model, IMAGES)
    assert bitnet.training.evaluate(model, IMAGES, classes) == 1.0
    classes[:525] = (classes[:525] + 1) % 4
    assert bitnet.training.evaluate(model, IMAGES, classes) == 0.75
    assert bitnet.training.accuracy([1, 2], [1, 3]) == 0.5


def test_flips_are_a_share_of_all_weights():
    model = models.binary_mlp([20, 30, 4], rng=RNG)
    before = bitnet.training.weight_bits(model)
    assert bitnet.training.flip_ratio(before, bitnet.training.weight_bits(model)) == 0
    model[0].weight.data[:15] *= -1
    assert bitnet.training.flip_ratio(before, bitnet.training.weight_bits(model)) == 300 / 720
    model[0].weight.data[15:] *= -1
    model[3].weight.data[:] *= -1
    assert bitnet.training.flip_ratio(before, bitnet.training.weight_bits(model)) == 1
    assert (
        bitnet.training.flip_ratio(
            [], bitnet.training.weight_bits(models.float_mlp([3, 2], rng=RNG))
        )
        == 0
    )


def test_flips_of_balanced_weights_are_of_what_is_multiplied():
    layer = bitnet.nn.QuantLinear(2, 1, rng=RNG, balance=True)
    layer.weight.edit()[:] = [[0.5, 0.25]]
    assert bitnet.training.weight_bits(layer)[0].signs().tolist() == [[1, -1]]


def test_images_per_second_runs_once_to_warm_up_and_five_times():
    calls = []
    assert bitnet.training.images_per_second(lambda x: calls.append(len(x)), IMAGES) > 0
    assert calls == 6 * [2100]


@pytest.mark.parametrize(
    "call",
    [
        lambda: bitnet.training.predict(bitnet.freeze(models.binary_mlp([20, 4], rng=RNG)), IMAGES),
        lambda: bitnet.data.batches(IMAGES, IMAGES[:, 0], 5, 0),
        lambda: bitnet.training.accuracy([], []),
        lambda: bitnet.training.accuracy([1], [1, 2]),
        lambda: bitnet.training.predict(models.binary_mlp([20, 4], rng=RNG), IMAGES[:0]),
        lambda: bitnet.training.predict(models.binary_mlp([21, 4], rng=RNG), IMAGES),
        lambda: bitnet.training.predict(
            models.float_mlp([20, 4], rng=RNG), np.full((3, 20), np.nan)
        ),
    ],
)
def test_what_does_not_fit_is_refused(call):
    with pytest.raises(InputError):
        call()
