"""Names of language models, and the settings that recipes stand for."""

import pytest

from bitnet import InputError
from bitnet.nn.models.language_names import is_language_net, language_net_named
from bitnet.optim import SGD, Adam
from bitnet.optim.schedules import Constant, Cosine, Delayed, Plateau
from bitnet.training.language.settings import (
    LANGUAGE_RECIPES,
    check_language_settings,
    language_defaults,
    language_model_of,
    optimizer_of,
    schedule_of,
)


@pytest.mark.parametrize("name", ["rnn:7", "lstm:5", "gru:6,6", "lstm:4,4,4"])
def test_the_weights_of_a_net_are_counted_as_they_are(name, rng):
    net = language_net_named(name)
    model = net.build(11, 3, rng)
    matrices = [p.data.size for p in model.parameters() if p.ndim == 2]
    assert net.weights(11, 3) == sum(matrices)
    assert model.recurrent.layers == net.layers
    assert is_language_net(name)


@pytest.fixture
def rng():
    import numpy as np

    return np.random.default_rng(0)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "lstm",
        "lstm:",
        "lstm:0",
        "lstm:03",
        "lstm:5,",
        "lstm:5,6",
        "mlp:5",
        "lstm:5;6",
        None,
        "lstm:" + ",".join(["5"] * 21),
        "lstm:9999999",
        "LSTM:5",
        "lstm:٣",
    ],
)
def test_other_names_are_refused(name):
    with pytest.raises(InputError, match="net "):
        language_net_named(name)


def test_a_net_that_no_memory_holds_is_refused(rng):
    with pytest.raises(InputError, match="expected at most 536870912"):
        language_net_named("lstm:99999").build(10, 300, rng)


@pytest.mark.parametrize("recipe", LANGUAGE_RECIPES)
def test_recipes_are_complete(recipe):
    settings = {**language_defaults({"recipe": recipe}), "crc32": 0}
    check_language_settings(settings)
    expected = Delayed if recipe.startswith("zaremba") else Plateau
    assert type(schedule_of(settings)) is expected
    assert settings["dropout"] == {"zaremba-medium": 0.5, "zaremba-large": 0.65}.get(recipe, 0)


def test_a_recipe_names_its_net_and_what_is_given_goes_before_it():
    settings = language_defaults({"recipe": "zaremba-small"})
    assert (settings["net"], settings["width"]) == ("lstm:200,200", 200)
    assert (settings["optimizer"], settings["lr"], settings["steps"]) == ("sgd", 1.0, 20)
    changed = {"net": "gru:9", "lr": 0.5, "steps": 3, "float": True}
    settings = language_defaults({"recipe": "zaremba-small", **changed})
    assert {name: settings[name] for name in changed} == changed
    assert settings["gradient"] is settings["rounding"] is None
    assert schedule_of(settings) == Delayed(0.5, 0.5, 4)


def test_the_parts_of_a_training(rng):
    settings = language_defaults({"net": "rnn:6", "weights": "log:3", "activations": "2"})
    model = language_model_of(settings, 9, rng)
    assert repr(model.recurrent.quantizer).startswith("Logarithmic(bits=3")
    assert model.recurrent.activation == "relu"
    assert type(optimizer_of(settings, model)) is Adam
    assert type(optimizer_of({**settings, "optimizer": "sgd"}, model)) is SGD
    schedules = {"cosine": Cosine(1e-3, 20), "constant": Constant(1e-3), "plateau": Plateau(1e-3)}
    for name, schedule in schedules.items():
        assert schedule_of({**settings, "schedule": name}) == schedule
    floats = language_model_of(language_defaults({"net": "rnn:6", "float": True}), 9, rng)
    assert floats.recurrent.quantizer is None


def test_the_rate_of_sgd_is_the_regimes():
    """Adam's, a few thousandths, would not move a net in an epoch."""
    assert language_defaults({"optimizer": "sgd"})["lr"] == 1.0
    assert language_defaults({"optimizer": "sgd", "lr": 0.5})["lr"] == 0.5
    assert language_defaults({"optimizer": "adam", "unit": "characters"})["lr"] == 1e-3
