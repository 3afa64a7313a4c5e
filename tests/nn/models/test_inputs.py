"""What models take: the type and the shape of one input."""

import numpy as np
import pytest

from bitnet import nn
from bitnet.nn import models
from bitnet.nn.models import net_named, takes_of

RNG = np.random.default_rng(0)
IMAGE = (9, 8, 3)
SMALL = {"image": (64, 64), "inflation": 0.1}
FLOAT = {"weight_quantizer": 32, "activation_quantizer": 32}
BUILT = {
    "binary_mlp": (models.binary_mlp([7, 5, 2], rng=RNG), ("uint8", (7,))),
    "planes": (models.binary_mlp([7, 5, 2], rng=RNG, input_planes=2), ("uint8", (7,))),
    "float_mlp": (models.float_mlp([7, 5, 2], rng=RNG), ("float32", (7,))),
    "binary_convnet": (models.binary_convnet(IMAGE, [(4,)], [2], rng=RNG), ("uint8", IMAGE)),
    "float_convnet": (models.float_convnet(IMAGE, [(4,)], [2], rng=RNG), ("float32", IMAGE)),
    "alexnet": (models.alexnet(2, rng=RNG, units=(4, 4), **SMALL), ("uint8", (64, 64, 3))),
    "googlenet": (models.googlenet(2, rng=RNG, input_planes=3, **SMALL), ("uint8", (64, 64, 3))),
    "float googlenet": (models.googlenet(2, rng=RNG, **SMALL, **FLOAT), ("float32", (64, 64, 3))),
    "language_model": (models.language_model(9, rng=RNG, width=4, units=4), ("int64", ())),
    "mlp:5": (net_named("mlp:5").build((4, 2, 1), 2, RNG), ("uint8", (8,))),
    "conv:5/": (net_named("conv:5/").build(IMAGE, 2, RNG), ("uint8", IMAGE)),
    "twin": (net_named("conv:5/").build(IMAGE, 2, RNG, is_float=True), ("uint8", IMAGE)),
    "gru:5": (net_named("gru:5").build(9, 4, RNG), ("int64", ())),
}
LINEAR = nn.BinaryLinear(7, 2, rng=RNG)
CONV = nn.BinaryConv2d(3, 2, 3, rng=RNG)
DROP = nn.Dropout(0.5, rng=RNG)
BITS = {"weight_quantizer": 2, "activation_quantizer": 2}
S = nn.Sequential
PLAIN = [
    (LINEAR, ("uint8", (7,))),
    (S(DROP, S(nn.Flatten(), LINEAR)), ("uint8", (7,))),
    (S(nn.PixelPlanes(3), DROP, LINEAR), ("uint8", (7,))),
    (S(nn.ScalePixels(), nn.Linear(6, 7, rng=RNG)), ("uint8", (6,))),
    (S(nn.Linear(6, 7, rng=RNG), nn.Sign(), LINEAR), ("float32", (6,))),
    (S(nn.ScaledLinear(6, 7, rng=RNG, **BITS), nn.Sign()), ("float32", (6,))),
    (S(nn.Sign(), LINEAR), ("float32", (7,))),
    (S(DROP, nn.Shift(1), nn.Quantize(2), nn.Flatten(), LINEAR), ("float32", (7,))),
    (S(nn.Branches(S(), S(nn.Sign(), LINEAR))), ("float32", (7,))),
    (S(nn.Embedding(9, 3, rng=RNG), nn.GRU(3, 3, rng=RNG)), ("int64", ())),
    (S(BUILT["binary_convnet"][0], LINEAR), ("uint8", IMAGE)),
    (S(CONV, nn.Flatten(), LINEAR), None),
    (S(nn.Sign(), CONV, nn.Flatten(), LINEAR), None),
    (S(nn.Branches(S(nn.Sign()), S(nn.Sign())), LINEAR), None),
    (S(nn.GRU(3, 3, rng=RNG), LINEAR), None),
    (S(nn.MaxPool2d(), nn.Flatten(), LINEAR), None),
    (S(nn.Sign()), None),
    (S(), None),
]


@pytest.mark.parametrize("name", BUILT)
def test_built_models_say_what_they_take(name):
    model, expected = BUILT[name]
    assert model.takes == takes_of(model) == expected
    dtype, shape = expected
    x = np.zeros((3, 2, *shape) if dtype == "int64" else (3, *shape), dtype)
    scores = model.eval()(x)
    assert len(scores[0] if dtype == "int64" else scores) == (6 if dtype == "int64" else 3)
    assert not any(key.startswith("takes") for key in model.state_dict())


@pytest.mark.parametrize(("model", "expected"), PLAIN, ids=[repr(own)[:60] for own, _ in PLAIN])
def test_plain_models(model, expected):
    assert takes_of(model) == expected


def test_subclasses_may_say_it():
    class Net(nn.Module):
        takes = ("float32", (4, 4, 1))

    class Other(nn.Sequential):
        def forward(self, x):
            return super().forward(x[:, :7])

    assert takes_of(nn.Sequential(Net(), LINEAR)) == Net.takes
    assert takes_of(Other(LINEAR)) is None
