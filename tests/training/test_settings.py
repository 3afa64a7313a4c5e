"""Settings of a training, of which those in a file are not trusted."""

import numpy as np
import pytest
from saved import GOOD

from bitnet import InputError
from bitnet.nn import BatchNorm
from bitnet.training.settings import (
    DEFAULTS,
    SETTINGS,
    as_before,
    check_settings,
    complete,
    inputs_of,
    model_of,
    read_data,
    recipe_of,
)


def test_good_ones_pass():
    check_settings(GOOD)
    assert GOOD.keys() == SETTINGS.keys()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("net", 5),
        ("data", "imagenet"),
        ("data", None),
        ("folder", 5),
        ("size", 0),
        ("channels", "3"),
        ("recipe", []),
        ("optimizer", None),
        ("norm", 3),
        ("schedule", []),
        ("float", 1),
        ("epochs", 0),
        ("epochs", True),
        ("epochs", 10**7),
        ("epochs", 2.0),
        ("batch", 1),
        ("lr", 1),
        ("lr", float("nan")),
        ("lr", 0.0),
        ("lr", float("inf")),
        ("seed", -1),
        ("gradient", 8),
        ("rounding", True),
        ("validation", -1),
        ("limit", None),
        ("flip", "yes"),
        ("crop", 65),
        ("prepare", "zca"),
        ("prepare", [5]),
        ("picture", [28, 28]),
        ("picture", [28, 28, 0]),
        ("picture", [28, 28, True]),
        ("picture", [28, 28, 10**9]),
        ("picture", 784),
        ("classes", []),
        ("classes", [1, 2]),
        ("classes", "ab"),
        ("classes", {}),
        ("crc32", -1),
        ("other", 1),
        ("balance", 1),
        ("balance", None),
        ("widen", 0.0),
        ("widen", 2),
        ("widen_after", 1.1),
        ("widen_after", None),
        ("teacher", 5),
        ("teacher_crc32", -1),
        ("temperature", 0.0),
        ("teacher_weight", 1.1),
    ],
)
def test_others_are_refused(name, value):
    with pytest.raises(InputError, match=name):
        check_settings({**GOOD, name: value})


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_a_missing_one_is_named(name):
    with pytest.raises(InputError, match=f"lack {name}"):
        check_settings({key: value for key, value in GOOD.items() if key != name})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("net", "lstm:5"),
        ("recipe", "paper"),
        ("gradient", "int3"),
        ("rounding", "up"),
        ("net", "mlp:9999999,9999999"),
        ("optimizer", "adagrad"),
        ("norm", "layer"),
        ("schedule", "line"),
    ],
)
def test_unknown_names_build_no_model(name, value):
    with pytest.raises(InputError):
        model_of({**GOOD, name: value}, np.random.default_rng(0))


def test_settings_from_before_the_switches_are_completed():
    old = {name: value for name, value in GOOD.items() if name not in DEFAULTS}
    check_settings(complete(old))
    assert complete(old) == GOOD
    assert complete({**GOOD, "balance": True})["balance"]


def test_balanced_layers():
    rng = np.random.default_rng(0)
    assert model_of({**GOOD, "balance": True}, rng).layers[0].balance
    assert model_of({**GOOD, "balance": True, "net": "conv:3/4"}, rng).layers[0].balance
    assert not model_of(GOOD, rng).layers[0].balance


def test_the_model_and_what_it_takes():
    images = np.full((4, 28, 28, 1), 255, np.uint8)
    for changes, shape, dtype in [
        ({}, (4, 784), np.uint8),
        ({"float": True, "gradient": None, "rounding": None}, (4, 784), np.float32),
        ({"net": "conv:3/4"}, (4, 28, 28, 1), np.uint8),
    ]:
        settings = {**GOOD, **changes}
        x = inputs_of(settings)(images)
        assert (x.shape, x.dtype) == (shape, dtype)
        assert model_of(settings, np.random.default_rng(0))(x).shape == (4, 2)
        assert (x == (1 if dtype == np.float32 else 255)).all()


def test_the_recipe_has_the_settings_put_in():
    recipe = recipe_of({**GOOD, "recipe": "theano", "epochs": 5, "batch": 7, "lr": 0.03})
    assert (recipe.epochs, recipe.batch, recipe.start) == (5, 7, 0.03)


@pytest.mark.parametrize(
    ("recipe", "is_float", "optimizer", "fall"),
    [
        ("default", False, "adam", "cosine"),
        ("theano", False, "adam", "exponential"),
        ("torch", False, "adamax", "step"),
        ("torch", True, "adam", "cosine"),
        ("theano", True, "adam", "cosine"),
    ],
)
def test_settings_of_older_files_mean_what_they_meant(recipe, is_float, optimizer, fall):
    new = {"optimizer", "norm", "schedule"}
    old = {k: v for k, v in GOOD.items() if k not in new} | {"recipe": recipe, "float": is_float}
    settings = as_before(old)
    assert [settings[name] for name in ("optimizer", "norm", "schedule")] == [
        optimizer,
        "batch",
        fall,
    ]
    check_settings(settings)
    model = model_of({**settings, "gradient": None, "rounding": None}, np.random.default_rng(0))
    norm = next(layer for layer in model.layers if isinstance(layer, BatchNorm))
    assert (norm.eps, norm.momentum) == ((1e-5, 0.125) if optimizer == "adamax" else (1e-4, 0.1))
    assert norm.gamma.step_scale == (10.0 if recipe == "default" else 1.0)
    assert as_before(GOOD) == GOOD


def test_a_float_twin_has_no_bits_to_flip():
    for name, value in (("optimizer", "bop"), ("norm", "shift"), ("schedule", "flips")):
        with pytest.raises(InputError, match="float twin"):
            recipe_of({**GOOD, "float": True, name: value})


def test_the_last_training_images_are_held_back():
    whole, split = read_data("embedded", limit=50), read_data("embedded", limit=50, validation=20)
    assert np.array_equal(split.train[0], whole.train[0][:30])
    assert np.array_equal(split.validation[1], whole.train[1][30:])
    assert len(split.test[0]) == 50
    assert whole.validation is None
    with pytest.raises(InputError, match="validation is 50"):
        read_data("embedded", limit=50, validation=50)
