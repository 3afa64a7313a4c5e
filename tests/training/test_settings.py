"""Tests of the settings of a training, which are not trusted if they come from a file."""

import numpy as np
import pytest
from saved import GOOD, TEXT

from bitnet import InputError, kernels
from bitnet.optim import SGD, Adam
from bitnet.optim.schedules import Constant, Cosine, Delayed, Plateau
from bitnet.training import texts
from bitnet.training.building import complete, model_of, recipe_of
from bitnet.training.settings import check_settings, settings_of, task_of
from bitnet.training.sources import inputs_of, read_data


def test_good_ones_pass():
    check_settings(GOOD)
    assert GOOD.keys() == settings_of("images").keys()
    check_settings(TEXT)
    assert TEXT.keys() == settings_of("texts").keys()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("net", 5),
        ("net", "mlp:8"),
        ("data", "mnist"),
        ("unit", "letters"),
        ("vocabulary", 2),
        ("width", 0),
        ("dropout", 1.0),
        ("recipe", "torch"),
        ("optimizer", "bop"),
        ("schedule", "step"),
        ("batch", 0),
        ("steps", "25"),
        ("clip", 0.0),
        ("weights", "99"),
        ("grad_format", "int3"),
        ("tokens", 0),
        ("crop", 2),
    ],
)
def test_others_are_refused_of_a_text(name, value):
    with pytest.raises(InputError, match=name):
        check_settings({**TEXT, name: value})


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
        ("grad_format", 8),
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
        ("input", "words"),
        ("columns", [1]),
        ("target", "ranking"),
        ("label", "a"),
        ("label", [None]),
        ("drop", [3]),
        ("loss", "squared_hinge"),
        ("loss", "huber"),
        ("class_weights", "1,x"),
        ("class_weights", "1,-1"),
        ("class_weights", [1, 2]),
        ("label_smoothing", 1.0),
        ("label_smoothing", 0.1),
        ("data", "a/b.csv"),
        ("data", "../b.npz"),
        ("data", f"{'x' * 255}.npz"),
        ("warmup", -0.5),
        ("warmup", 1),
        ("weight_decay", -0.1),
        ("weight_decay", float("nan")),
        ("accumulate", 0),
        ("accumulate", None),
        ("patience", 0),
        ("patience", 1.0),
        ("init", 5),
        ("init_crc32", -1),
    ],
)
def test_others_are_refused(name, value):
    with pytest.raises(InputError, match=name):
        check_settings({**GOOD, name: value})


def test_a_net_of_the_other_task_is_refused():
    for settings in ({**GOOD, "net": "lstm:5"}, {**TEXT, "net": "mlp:5"}):
        with pytest.raises(InputError):
            check_settings(settings)


@pytest.mark.parametrize("settings", [GOOD, TEXT], ids=["images", "texts"])
def test_a_missing_one_is_named(settings):
    for name in settings:
        with pytest.raises(InputError, match=f"lack {name}"):
            check_settings({key: value for key, value in settings.items() if key != name})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("recipe", "paper"),
        ("grad_format", "int3"),
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


def test_what_is_left_out_is_completed():
    found = ("picture", "input", "classes", "columns", "target", "loss", "crc32")
    given = {"net": "mlp:8", "data": "mnist", "epochs": 2, "batch": 50, "grad_format": "int8"}
    assert complete(given) == {k: v for k, v in GOOD.items() if k not in found}
    assert complete({**given, "balance": True})["balance"]
    assert complete({})["net"] == "mlp:512,512"
    assert complete({"data": "cifar10", "recipe": "torch"})["prepare"] == ["zca"]
    assert complete({"float": True})["grad_format"] is complete({"float": True})["rounding"] is None
    with pytest.raises(InputError, match="epochs is 0"):
        complete({"epochs": 0})


def test_gradients_are_float32_by_default_where_that_is_faster():
    """The NumPy kernels multiply floats faster than int8."""
    numba = dict.fromkeys(("nearest", "stochastic"), "int8")
    numpy = {"nearest": "float32", "stochastic": "int8"}
    for name, expected in (("numba", numba), ("reference", numpy)):
        if name == "numba" and kernels.dispatch.numba_problem():
            continue
        with kernels.using(name):
            for rounding, grad_format in expected.items():
                assert complete({"rounding": rounding})["grad_format"] == grad_format
            assert complete({"grad_format": "int4"})["grad_format"] == "int4"
            assert complete({"float": True})["grad_format"] is None
            assert complete({"net": "gru:8"})["grad_format"] == "float32"


def test_the_net_the_data_or_the_recipe_say_what_is_learned():
    assert task_of({}) == task_of(GOOD) == task_of({"net": "conv:3/4"}) == "images"
    for given in ({"net": "rnn:8"}, {"data": "ptb"}, {"recipe": "zaremba-small"}, TEXT):
        assert task_of(given) == "texts"
    for given in ({"net": "mlp:8", "data": "ptb"}, {"net": "rnn:8", "data": "mnist"}):
        with pytest.raises(InputError, match="for texts"):
            complete(given)


def test_balanced_layers():
    rng = np.random.default_rng(0)
    assert model_of({**GOOD, "balance": True}, rng).layers[0].balance
    assert model_of({**GOOD, "balance": True, "net": "conv:3/4"}, rng).layers[0].balance
    assert not model_of(GOOD, rng).layers[0].balance


def test_the_highest_planes_of_the_pixels():
    for net in ("mlp:8", "conv:3/4"):
        settings = {**GOOD, "net": net, "input_planes": 2}
        assert repr(model_of(settings, np.random.default_rng(0)).layers[0]) == "PixelPlanes(2)"
    with pytest.raises(InputError, match="input_planes is 9; expected a whole number from 1 to 8"):
        check_settings({**GOOD, "input_planes": 9})


def test_the_model_and_what_it_takes():
    images = np.full((4, 28, 28, 1), 255, np.uint8)
    for changes, shape in [
        ({}, (4, 784)),
        ({"float": True, "grad_format": None, "rounding": None}, (4, 784)),
        ({"net": "conv:3/4"}, (4, 28, 28, 1)),
        ({"input_planes": 3}, (4, 784)),
        ({"net": "conv:3/4", "input_planes": 1}, (4, 28, 28, 1)),
    ]:
        model = model_of({**GOOD, **changes}, np.random.default_rng(0))
        x = inputs_of(model)(images)
        assert (x.shape, model.takes) == (shape, ("uint8", shape[1:]))
        assert model(x).shape == (4, 2)


def test_the_recipe_has_the_settings_put_in():
    recipe = recipe_of({**GOOD, "recipe": "theano", "epochs": 5, "batch": 7, "lr": 0.03})
    assert (recipe.epochs, recipe.batch, recipe.start) == (5, 7, 0.03)


def test_a_float_twin_has_no_bits_to_flip():
    for name, value in (("optimizer", "bop"), ("norm", "shift")):
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


@pytest.mark.parametrize("recipe", texts.RECIPES)
def test_recipes_are_complete(recipe):
    settings = complete({"data": "embedded-text", "recipe": recipe})
    check_settings({**settings, "crc32": 0, "tokens": 9})
    expected = Delayed if recipe.startswith("zaremba") else Plateau
    assert type(texts.schedule_of(settings)) is expected
    assert settings["dropout"] == {"zaremba-medium": 0.5, "zaremba-large": 0.65}.get(recipe, 0)


def test_a_recipe_names_its_net_and_what_is_given_goes_before_it():
    settings = complete({"recipe": "zaremba-small"})
    assert (settings["net"], settings["width"]) == ("lstm:200,200", 200)
    assert (settings["optimizer"], settings["lr"], settings["steps"]) == ("sgd", 1.0, 20)
    changed = {"net": "gru:9", "lr": 0.5, "steps": 3, "float": True}
    settings = complete({"recipe": "zaremba-small", **changed})
    assert {name: settings[name] for name in changed} == changed
    assert settings["grad_format"] is settings["rounding"] is None
    assert texts.schedule_of(settings) == Delayed(0.5, 0.5, 4)


def test_the_parts_of_a_training_on_a_text():
    rng = np.random.default_rng(0)
    settings = complete({"net": "rnn:6", "weights": "log:3", "activations": "2"})
    model = model_of({**settings, "tokens": 9}, rng)
    assert repr(model.recurrent.weight_quantizer).startswith("LogQuant(bits=3")
    assert model.recurrent.activation == "relu"
    assert (settings["optimizer"], texts.OPTIMIZERS) == ("adam", {"adam": Adam, "sgd": SGD})
    schedules = {"cosine": Cosine(1e-3, 20), "constant": Constant(1e-3), "plateau": Plateau(1e-3)}
    for name, schedule in schedules.items():
        assert texts.schedule_of({**settings, "schedule": name}) == schedule
    floats = model_of({**complete({"net": "rnn:6", "float": True}), "tokens": 9}, rng)
    assert floats.recurrent.weight_quantizer is None


def test_the_rate_of_sgd_is_the_regimes():
    """The rates of Adam are too small for SGD."""
    assert complete({"net": "lstm:8", "optimizer": "sgd"})["lr"] == 1.0
    assert complete({"net": "lstm:8", "optimizer": "sgd", "lr": 0.5})["lr"] == 0.5
    assert complete({"net": "lstm:8", "optimizer": "adam", "unit": "characters"})["lr"] == 1e-3
