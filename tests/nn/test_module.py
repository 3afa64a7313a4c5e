"""Finding parameters and state, modes, and state that does not fit."""

import numpy as np
import pytest

from bitnet import InputError
from bitnet.autograd import Parameter
from bitnet.nn import BatchNorm, BinaryLinear, Dropout, Module, Sequential, Sign, models


def net(seed=0):
    return models.binary_mlp([20, 16, 3], rng=np.random.default_rng(seed))


def test_parameters_and_state_come_in_order():
    model = net()
    names = list(model.state_dict())
    assert names[:5] == [
        "layers.0.weight",
        "layers.1.gamma",
        "layers.1.beta",
        "layers.1.running_mean",
        "layers.1.running_inv_std",
    ]
    assert [p.shape for p in model.parameters()][:3] == [(16, 20), (16,), (16,)]
    assert len(model.parameters()) == 6


def test_modules_inside_modules_and_attributes_are_found():
    class Outer(Module):
        def __init__(self):
            self.inner = net()
            self.last = BatchNorm(3)

        def forward(self, x):
            return self.last(self.inner(x))

    outer = Outer()
    assert len(outer.parameters()) == 8
    assert "inner.layers.0.weight" in outer.state_dict()
    outer.eval()
    assert not any(module.training for module in outer.modules())
    outer.train()
    assert all(module.training for module in outer.modules())


def test_state_goes_into_another_model():
    a, b = net(0), net(1)
    a(np.random.default_rng(0).integers(0, 256, (9, 20), dtype=np.uint8))
    state = a.state_dict()
    b.load_state_dict(state)
    assert all(np.array_equal(state[name], array) for name, array in b.state_dict().items())
    state["layers.0.weight"][:] = 0  # a copy
    assert a.state_dict()["layers.0.weight"].any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("layers.1.beta"), "lacks 'layers.1.beta'"),
        (lambda s: s.update(more=np.zeros(1)), "unknown 'more'"),
        (lambda s: s.update({"layers.1.beta": np.zeros(15, np.float32)}), r"\(15,\)"),
        (lambda s: s.update({"layers.1.beta": np.zeros(16)}), "float64"),
        (lambda s: s.update({"layers.1.beta": np.float32([np.nan] + 15 * [0])}), "NaN"),
    ],
)
def test_state_that_does_not_fit_changes_nothing(change, message):
    model = net(0)
    state, before = net(1).state_dict(), model.state_dict()
    change(state)
    with pytest.raises(InputError, match=message):
        model.load_state_dict(state)
    assert all(np.array_equal(before[name], array) for name, array in model.state_dict().items())


def test_evaluation_is_deterministic_and_leaves_the_state_alone():
    rng = np.random.default_rng(0)
    model = Sequential(
        Dropout(0.5, rng=rng),
        BinaryLinear(20, 4, rng=rng),
        BatchNorm(4),
        Sign(stochastic=True, rng=rng),
    )
    x = rng.integers(0, 256, (9, 20), dtype=np.uint8)
    assert not model(x).data.equals(model(x).data)
    model.eval()
    before = model.state_dict()
    assert model(x).data.equals(model(x).data)
    assert all(np.array_equal(before[name], array) for name, array in model.state_dict().items())


def test_lists_and_dicts_of_parameters_and_modules_are_found():
    class Many(Module):
        def __init__(self):
            self.scales = [Parameter([1.0]), Parameter([2.0])]
            self.norms = {"a": BatchNorm(3)}

    model = Many()
    assert [p.size for p in model.parameters()] == [1, 1, 3, 3]
    assert list(model.state_dict())[:3] == ["scales.0", "scales.1", "norms.a.gamma"]
    assert not model.eval().norms["a"].training


def test_tied_parameters_come_once():
    layer = BatchNorm(3)
    assert len(Sequential(layer, layer).parameters()) == 2


def test_shared_modules_come_once_and_keep_all_their_names():
    """As in PyTorch: each Module and Parameter under its first name; the state has all names."""
    shared = BinaryLinear(2, 2, rng=np.random.default_rng(0))
    inner = Sequential(shared, Sign())
    model = Sequential(shared, inner, shared)
    assert [name for name, _ in model.named_children()] == ["layers.0", "layers.1"]
    assert list(model.children()) == [shared, inner]
    names = ["", "layers.0", "layers.1", "layers.1.layers.1"]
    assert [name for name, _ in model.named_modules()] == names
    assert [name for name, _ in model.named_modules("net")][:2] == ["net", "net.layers.0"]
    assert list(model.modules()) == [model, shared, inner, inner.layers[1]]
    assert list(model.named_parameters()) == [("layers.0.weight", shared.weight)]
    assert model.parameters() == [shared.weight]
    weights = ["layers.0.weight", "layers.1.layers.0.weight", "layers.2.weight"]
    assert list(model.state_dict()) == weights
    model.load_state_dict(model.state_dict())


def test_counts_below_zero_are_refused():
    model, state = net(), net().state_dict()
    state["layers.1.batches"] = np.array(-1)
    with pytest.raises(InputError, match="below 0"):
        model.load_state_dict(state)


def test_sequential_takes_modules_only():
    with pytest.raises(InputError, match="expected Modules"):
        Sequential(abs)
    assert len(net()) == 5
    assert isinstance(net()[0], BinaryLinear)
