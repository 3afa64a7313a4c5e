"""Tests of the recipes: the numbers of the papers (section 2), and the models they build."""

import math

import numpy as np
import pytest

from bitnet import InputError
from bitnet.nn import BatchNorm, Dropout, ReLU, ShiftBatchNorm, Sign, functional
from bitnet.nn.models.names import net_named
from bitnet.optim import SGD, Adam, AdaMax, Bop, ShiftAdaMax
from bitnet.training.recipes import RECIPES, SCHEDULES, recipe_for


@pytest.mark.parametrize(
    ("data", "first", "last", "epochs", "batch"),
    [
        ("mnist", 3e-3, 3e-7, 1000, 100),
        ("cifar10", 1e-3, 3e-7, 500, 50),
        ("svhn", 1e-3, 1e-6, 200, 50),
    ],
)
def test_the_theano_recipes(data, first, last, epochs, batch):
    recipe = recipe_for("theano", data)
    schedule = recipe.schedule()
    assert [schedule(0), schedule(epochs)] == pytest.approx([first, last])
    assert (recipe.epochs, recipe.batch, recipe.stochastic) == (epochs, batch, False)
    assert recipe.dropout == ((0.2, 0.5) if data == "mnist" else (0, 0))
    assert (recipe.eps, recipe.momentum, recipe.prepare) == (1e-4, 0.1, ())


@pytest.mark.parametrize(
    ("data", "first", "every", "epochs", "batch", "prepare"),
    [
        ("mnist", 1 / 64, 10, 100, 100, ()),
        ("cifar10", 1 / 64, 50, 500, 200, ("zca",)),
        ("svhn", 1 / 128, 20, 200, 200, ("gcn", "lcn")),
    ],
)
def test_the_torch_recipes(data, first, every, epochs, batch, prepare):
    recipe = recipe_for("torch", data)
    rates = [recipe.schedule()(epoch) for epoch in (0, every - 0.1, every, 2 * every)]
    assert rates == [first, first, first / 2, first / 4]
    assert (recipe.epochs, recipe.batch, recipe.prepare) == (epochs, batch, prepare)
    assert (recipe.eps, recipe.momentum) == (1e-5, 0.125)
    assert "shift-based" in recipe.notes[0]


def test_what_a_recipe_builds():
    rng = np.random.default_rng(0)
    net = net_named("mlp:6,5")
    model = recipe_for("torch", "mnist").model(net, (4, 4, 1), 3, rng)
    norms = [layer for layer in model.layers if isinstance(layer, BatchNorm)]
    assert [(norm.eps, norm.momentum, norm.gamma.lr_scale) for norm in norms] == [
        (1e-5, 0.125, math.sqrt(n / 1.5)) for n in (6, 5, 3)
    ]
    assert {norm.beta.lr_scale for norm in norms} == {1}
    assert all(layer.stochastic for layer in model.layers if isinstance(layer, Sign))
    assert [(type(norm), norm.variant) for norm in norms] == 3 * [(ShiftBatchNorm, "code")]
    optimizer = recipe_for("torch", "mnist").optimizer_of(model)
    assert (type(optimizer), optimizer.variant) == (ShiftAdaMax, "code")
    model = recipe_for("theano", "mnist").model(net, (4, 4, 1), 3, rng, grad_format="int4")
    assert [layer.p for layer in model.layers if isinstance(layer, Dropout)] == [0.2, 0.5, 0.5]
    assert model.layers[1].grad_format == "int4"
    recipe = recipe_for("default", "mnist")
    model = recipe.model(net, (4, 4, 1), 3, rng)
    assert {layer.beta.lr_scale for layer in model.layers if isinstance(layer, BatchNorm)} == {10}
    assert type(recipe.optimizer_of(model)) is Adam
    assert recipe.loss_of is functional.squared_hinge


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("data", ["embedded", "cifar100", "svhn-extra"])
def test_the_float_twin_has_the_same_sizes_and_epochs(name, data):
    binary, twin = (recipe_for(name, data, is_float=is_float) for is_float in (False, True))
    assert (binary.epochs, binary.batch, binary.prepare) == (twin.epochs, twin.batch, twin.prepare)
    assert twin.loss_of is functional.cross_entropy
    assert twin.schedule().start == 1e-3
    model = twin.model(net_named("conv:3/4"), (4, 4, 1), 3, np.random.default_rng(0))
    assert any(isinstance(layer, ReLU) for layer in model.layers)


def test_other_epochs_and_rates():
    recipe = recipe_for("theano", "mnist").changed(epochs=10, batch=7, lr=3e-2)
    assert (recipe.schedule()(0), recipe.batch) == (3e-2, 7)
    assert recipe.schedule()(10) == pytest.approx(3e-6)


def test_large_convnets_have_small_batches():
    assert recipe_for("default", "cifar10", net_named("cifar10")).batch == 50
    assert recipe_for("default", "cifar10", net_named("conv:8/8")).batch == 100


def test_a_convnet_has_no_dropout_and_says_so():
    recipe = recipe_for("theano", "mnist", net_named("conv:8/8"))
    assert recipe.dropout == (0, 0)
    assert "dropout" in recipe.notes[0]


@pytest.mark.parametrize(("data", "held"), [("mnist", 10000), ("cifar10", 5000), ("svhn", 6000)])
def test_the_papers_choose_the_epoch_on_images_held_back(data, held):
    for name in ("theano", "torch"):
        assert f"--validation {held}" in recipe_for(name, data).notes[-1]
    assert recipe_for("default", data).notes == ()


@pytest.mark.parametrize(("name", "data"), [("paper", "mnist"), ("theano", "folder"), (3, "mnist")])
def test_other_recipes_are_refused(name, data):
    with pytest.raises(InputError, match="recipe"):
        recipe_for(name, data)


def test_the_torch_recipe_rounds_the_step_scales_of_the_convnets():
    """In the authors' code those of the net for CIFAR-10 are 32, 32, 64, ..., 32."""
    recipe, rng = recipe_for("torch", "cifar10"), np.random.default_rng(0)
    model = recipe.model(net_named("conv:8,16/5"), (8, 8, 3), 3, rng)
    scales = [p.lr_scale for p in model.parameters()]
    assert {math.frexp(scale)[0] for scale in scales} == {0.5}
    plain = recipe.changed(norm="batch").model(net_named("conv:8,16/5"), (8, 8, 3), 3, rng)
    assert plain.layers[0].weight.lr_scale == math.sqrt(9 * 11 / 1.5)
    assert model.layers[0].weight.lr_scale == 8
    assert model.layers[1].gamma.lr_scale == 1


@pytest.mark.parametrize(
    ("name", "kind", "rate"),
    [
        ("adam", Adam, 3e-3),
        ("adamax", AdaMax, 3e-3),
        ("sgd", SGD, 0.1),
        ("bop", Bop, 1e-4),
        ("shift-adamax", ShiftAdaMax, 2**-10),
        ("shift-adamax-code", ShiftAdaMax, 2**-6),
    ],
)
def test_another_optimizer_brings_its_rate(name, kind, rate):
    model = net_named("mlp:6").build((4, 4, 1), 3, np.random.default_rng(0))
    recipe = recipe_for("default", "mnist").changed(optimizer=name)
    assert (type(recipe.optimizer_of(model)), recipe.start) == (kind, rate)
    recipe = recipe_for("theano", "mnist").changed(optimizer=name, lr=0.5)
    assert recipe.start == recipe.optimizer_of(model).lr == recipe.schedule()(0) == 0.5
    assert recipe.end == pytest.approx(0.5e-4)


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_by_name(name):
    schedule = recipe_for("default", "mnist").changed(schedule=name).schedule()
    assert type(schedule).__name__.lower() == name
    assert schedule(0) == 3e-3
    if name == "exponential":
        assert schedule(20) == pytest.approx(3e-7)


def test_the_note_on_shifts_is_of_the_recipe_as_it_is():
    recipe = recipe_for("torch", "mnist")
    assert len(recipe.changed(epochs=5).notes) == len(recipe.notes)
    for change in ({"norm": "shift"}, {"optimizer": "adamax"}):
        assert not any("shift-based" in note for note in recipe.changed(**change).notes)


@pytest.mark.parametrize("change", [{"optimizer": "x"}, {"norm": "x"}, {"schedule": "x"}])
def test_other_parts_are_refused(change):
    with pytest.raises(InputError, match="expected one of"):
        recipe_for("default", "mnist").changed(**change)
