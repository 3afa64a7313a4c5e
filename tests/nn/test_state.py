"""State in nested containers: found at any depth, moved, or refused."""

import collections

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bitnet
from bitnet import InputError
from bitnet.autograd import Parameter, Tensor
from bitnet.nn import BatchNorm, BinaryLinear, Linear, Module, Sequential
from bitnet.nn.state import moved_state
from bitnet.optim import SGD, Adam

RNG = np.random.default_rng(0)
Pair = collections.namedtuple("Pair", "first second")


def holding(value):
    module = Module()
    module.value = value
    return module


class Blocks(Module):
    """Layers in a list of lists, in dicts of tuples, and numbers that a Module counts."""

    def __init__(self, rng):
        self.blocks = [[BinaryLinear(4, 4, rng=rng), BatchNorm(4)] for _ in range(2)]
        self.heads = {"a": ({"b": [Linear(4, 2, rng=rng)]}, Parameter(np.ones(2, np.float32)))}
        self.calls, self.rate = 0, 0.5

    def forward(self, x):
        self.calls += 1
        for layer, norm in self.blocks:
            x = norm(layer(bitnet.nn.functional.sign(x)))
        (inner, scale) = self.heads["a"]
        return inner["b"][0](x) * scale


def test_layers_in_nested_containers_are_trained_saved_and_switched():
    model = Blocks(RNG)
    names = [name for name, _ in model.named_parameters()]
    assert names == [
        "heads.a.1",
        *(f"blocks.{i}.{name}" for i in (0, 1) for name in ("0.weight", "1.gamma", "1.beta")),
        "heads.a.0.b.0.weight",
        "heads.a.0.b.0.bias",
    ]
    assert [name for name, _ in model.named_modules()][1:] == [
        *("blocks.0.0", "blocks.0.1", "blocks.1.0", "blocks.1.1", "heads.a.0.b.0")
    ]
    x, before = RNG.standard_normal((9, 4)).astype(np.float32), model.state_dict()
    optimizer = SGD(model.parameters(), 0.1)
    (model(x) * x[:, :2]).sum().backward()
    optimizer.step()
    after = model.state_dict()
    assert all((after[name] != before[name]).any() for name in names)
    other = Blocks(np.random.default_rng(5))
    other.load_state_dict(after)
    assert (other.eval()(x).data == model.eval()(x).data).all()
    assert not any(module.training for module in model.modules())
    assert (model.calls, model.rate) == (2, 0.5)
    assert not {"calls", "rate"} & after.keys()


leaves = st.sampled_from(["parameter", "array", "module", "number", "text"])
nests = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=12,
)


def built(nest, made):
    """Return a nest with objects for its leaves, all of which are added to `made`."""
    if isinstance(nest, dict):
        return {key: built(own, made) for key, own in nest.items()}
    if isinstance(nest, (list, tuple)):
        return type(nest)(built(own, made) for own in nest)
    made.append(
        {
            "parameter": lambda: Parameter([1.0]),
            "array": lambda: np.ones(1, np.float32),
            "module": lambda: holding([[Parameter([2.0])]]),
            "number": lambda: 3.5,
            "text": lambda: "text",
        }[nest]()
    )
    return made[-1]


@given(nests)
def test_nothing_is_lost_at_any_depth(nest):
    made = []
    model = holding(built(nest, made))
    modules = [own for own in made if isinstance(own, Module)]
    inner = [own.value[0][0] for own in modules]
    parameters = [own for own in made if isinstance(own, Parameter)]
    arrays = sum(isinstance(own, np.ndarray) for own in made)
    assert set(map(id, model.modules())) == set(map(id, [model, *modules]))
    assert set(map(id, model.parameters())) == set(map(id, parameters + inner))
    assert len(model.state_dict()) == len(parameters) + len(inner) + arrays


@pytest.mark.parametrize("kind", [set, frozenset, collections.deque])
@pytest.mark.parametrize("own", [Parameter([1.0]), BatchNorm(1)], ids=["parameter", "module"])
def test_state_without_a_name_is_refused(kind, own):
    model = holding([kind([own])])
    with pytest.raises(InputError, match=f"value.0: a {kind.__name__} with a {type(own).__name__}"):
        model.parameters()
    with pytest.raises(InputError, match="expected a list, tuple or dict"):
        holding(model).state_dict()
    assert holding([kind(["text", 1])]).state_dict() == {}


def test_what_holds_itself_is_refused():
    items = [Parameter([1.0])]
    items.append(items)
    with pytest.raises(InputError, match=r"value.1: a list that holds itself"):
        holding(items).parameters()
    child, parent = holding(None), holding(None)
    child.value, parent.value = [parent], {"child": child}
    for call in (parent.parameters, parent.state_dict, parent.eval):
        with pytest.raises(InputError, match=r"value.child.value.0: a Module that holds itself"):
            call()


def test_two_parts_with_one_name_are_refused():
    model = holding({"a.b": Parameter([1.0]), "a": {"b": Parameter([2.0])}})
    with pytest.raises(InputError, match=r"two parts .* the name 'value.a.b'; rename"):
        model.state_dict()
    tied = Parameter([1.0])
    assert list(holding({"a.b": tied, "a": {"b": tied}}).state_dict()) == ["value.a.b"]


def test_moved_state_has_new_containers_only_around_arrays():
    array, number = np.ones(2), np.zeros(())
    plain, names = [1, "a", (None,)], collections.OrderedDict(x=(array, 3))
    value = {"plain": plain, "names": names, "pair": Pair(array, number), "deep": [[(array,)]]}
    moved = moved_state(value, lambda x: x + 1)
    assert moved is not value
    assert moved["plain"] is plain
    assert type(moved["names"]) is collections.OrderedDict
    assert moved["names"]["x"][0].tolist() == moved["deep"][0][0][0].tolist() == [2, 2]
    assert moved["pair"].first.tolist() == [2, 2]
    assert moved["pair"].second is number
    assert names["x"][0] is array


@pytest.mark.filterwarnings("error")
def test_an_optimizer_says_which_parameters_have_no_gradient():
    used, unused = Parameter([1.0]), Parameter(np.ones((2, 3), np.float32))
    for parameters in ([used], [used, unused]):
        with pytest.raises(InputError, match=r"Adam: no parameter has a gradient; call backward"):
            Adam(parameters).step()
    optimizer = SGD([used, unused], 0.1)
    for i in range(3):
        optimizer.zero_grad()
        (used * Tensor([2.0])).sum().backward()
        if i:
            optimizer.step()
        else:
            with pytest.warns(UserWarning, match=r"SGD: 1 of 2 .* Parameter of shape \(2, 3\)"):
                optimizer.step()
    assert (unused.data == 1).all()
    assert used.data.item() == pytest.approx(0.4)


def test_all_layers_of_a_net_have_gradients(recwarn):
    model = Sequential(BinaryLinear(4, 3, rng=RNG), BatchNorm(3))
    bitnet.nn.functional.cross_entropy(
        model(np.ones((5, 4), np.uint8)), np.arange(5) % 3
    ).backward()
    Adam(model.parameters()).step()
    assert not recwarn.list
