"""`trace`: every model comes out whole, and its graph computes what the model computes."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import bitnet
import bitnet.nn.functional as F  # noqa: N812
from bitnet import InputError, Tensor, nn
from bitnet.autograd import trace
from bitnet.nn import models

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (3, 12, 11, 2), dtype=np.uint8)


def same(a, b):
    """Whether two Tensors hold the same numbers or bits."""
    return np.array_equal(a.numpy(), b.numpy())


class Shortcut(nn.Module):
    """`x + bn(conv(sign(x)))` twice, with one shared convolution, and a float head."""

    def __init__(self, rng):
        self.stem = nn.Conv2d(2, 6, 3, padding=1, rng=rng)
        self.conv = nn.BinaryConv2d(6, 6, 3, padding=1, rng=rng)
        self.norms = [nn.BatchNorm(6), nn.BatchNorm(6)]
        self.head = nn.Linear(6, 4, rng=rng)

    def forward(self, x):
        x = self.stem(x)
        for norm in self.norms:
            x = x + norm(self.conv(F.sign(x)))
        return self.head(x.mean(axis=(1, 2)).tanh() * 2.0 - 0.5)


class TwoInputs(nn.Module):
    def __init__(self, rng):
        self.layer = nn.BinaryLinear(5, 4, rng=rng)

    def forward(self, x, y):
        z = self.layer(F.sign(x)) * 0.5
        return {"sum": z + y, "parts": (z[:, 1:], y.exp())}


def statistics(model, *examples):
    """Give the batch norms of a model averages that are not those of the start."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm):
            module.running_mean[:] = RNG.normal(0, 2, module.running_mean.shape)
            module.gamma.edit()[:] = RNG.normal(0, 1, module.gamma.shape)
    return model


CASES = {
    "mlp": (models.binary_mlp([5, 70, 3], rng=RNG), np.uint8([[1, 2, 3, 4, 255]] * 3)),
    "k bits": (
        models.binary_mlp([5, 9, 3], rng=RNG, weight_quantizer=3, activation_quantizer=2),
        np.uint8([[1, 2, 3, 4, 255]]),
    ),
    "convnet": (models.binary_convnet((12, 11, 2), [(5,), (6,)], [4], rng=RNG), PIXELS),
    "float twin": (models.float_convnet((12, 11, 2), [(5,)], [4], rng=RNG), PIXELS / 255),
    "shortcuts": (Shortcut(RNG), np.float32(PIXELS) / 255),
    "two inputs": (TwoInputs(RNG), np.float32(RNG.normal(size=(2, 5))), np.ones((2, 4))),
    "branches": (
        nn.Sequential(
            nn.Branches(
                nn.Sequential(nn.BinaryConv2d(2, 3, 1, rng=RNG), nn.BatchNorm(3), nn.Sign()),
                nn.Sequential(nn.BinaryConv2d(2, 4, 1, rng=RNG), nn.BatchNorm(4), nn.Sign()),
            ),
            nn.AvgPool2d(3),
            nn.Flatten(),
            nn.BatchNorm(7 * 4 * 3),
        ),
        PIXELS,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_graph_computes_what_the_model_computes(name):
    model, *examples = CASES[name]
    statistics(model)
    graph = trace(model, *examples)
    assert all(module.training for module in model.modules())
    model.eval()
    others = [np.roll(x, 1, axis=0)[:, ::-1].copy() for x in examples]
    for given_ in (examples, others):
        y = model(*given_)
        expected = [y["sum"], *y["parts"]] if isinstance(y, dict) else [y]
        found = graph.run(*given_)
        assert len(found) == len(expected)
        assert all(map(same, found, expected))
    model.train()


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("bits", [{}, {"weight_quantizer": 3, "activation_quantizer": 4}])
def test_language_models(kind, bits):
    model = models.language_model(11, rng=RNG, kind=kind, width=6, units=7, layers=2, **bits)
    ids = RNG.integers(0, 11, (5, 3))
    graph = trace(model, ids)
    for given_ in (ids, ids[::-1].copy()):
        scores, states = model.eval()(given_)
        expected = [scores, *(own for state in states for own in state)]
        assert all(map(same, graph.run(given_), expected))
    assert set(graph.parameters) == {name for name, _ in model.named_parameters()}


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("bits", [{}, {"weight_quantizer": 3, "activation_quantizer": 4}])
def test_states_are_inputs(kind, bits):
    model = models.language_model(11, rng=RNG, kind=kind, width=6, units=7, layers=2, **bits)
    n_states = model.recurrent.n_states

    def draw(seed):
        """Draw ids and a state."""
        rng = np.random.default_rng(seed)
        states = [rng.normal(0, 1, (2, 7)).astype(np.float32) for _ in range(2 * n_states)]
        state = tuple(tuple(states[i : i + n_states]) for i in range(0, len(states), n_states))
        return rng.integers(0, 11, (5, 2)), state

    graph = trace(model, *draw(0))
    assert list(graph.inputs) == [f"input {i}" for i in range(1 + 2 * n_states)]
    assert not graph.constants
    for given_ in map(draw, range(3)):
        scores, states = model.eval()(*given_)
        expected = [scores, *(own for state in states for own in state)]
        assert all(map(same, graph.run(*given_), expected))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_ids_of_any_integer_type_are_inputs(dtype):
    table = nn.Embedding(4, 3, rng=RNG)
    graph = trace(table, np.zeros((2, 1), dtype))
    ids = np.array([[3], [1]], dtype)
    assert same(graph.run(ids)[0], table(ids))


def test_arguments_keep_their_structure():
    def model(x, parts, more):
        a, (b, nothing), [c, *rest] = parts
        assert nothing is None and more is None and rest == [None] and type(parts) is tuple
        return x + a - b * c

    graph = trace(model, [1.0, 2.0], ([3.0, 4.0], (5.0, None), [np.float32([6, 7]), None]), None)
    assert list(graph.inputs) == ["input 0", "input 1", "input 2", "input 3"]
    assert graph.run([1.0, 1.0], ([2.0, 2.0], (3.0,), [np.float32([1, 2])]))[
        0
    ].numpy().tolist() == [0.0, -3.0]


def test_an_array_given_twice_is_two_inputs():
    x = np.float32([1.0, 2.0])
    graph = trace(lambda a, b: a - b[0], x, (x,))
    assert graph.run([5.0, 5.0], [3.0, 2.0])[0].numpy().tolist() == [2.0, 3.0]


def test_comparisons_and_indexes_are_recorded():
    graph = trace(lambda x: x[x > 0.5] * (x <= x.max()).sum(), [1.0, 0.0, 2.0])
    assert [n.operation for n in graph.nodes] == [
        "Compare",
        "GetItem",
        "Max",
        "Compare",
        "Sum",
        "Multiply",
    ]
    assert not graph.constants
    assert graph.run([-1.0, 3.0, 0.0])[0].numpy().tolist() == [9.0]


def test_every_parameter_is_named_and_a_shared_layer_once():
    graph = trace(Shortcut(RNG), np.float32(PIXELS))
    assert list(graph.parameters) == [name for name, _ in Shortcut(RNG).named_parameters()]
    names = [name for node in graph.nodes for name in node.inputs]
    assert names.count("conv.weight") == 2  # quantized at each use


def test_operations_without_gradients_and_detached_tensors_are_recorded():
    graph = trace(lambda x: Tensor((x * 2).data) + 1, np.float32([1.0, 2.0]))
    assert [node.operation for node in graph.nodes] == ["Multiply", "Add"]
    assert graph.nodes[1].inputs[0] == 0
    assert graph.run([3.0])[0].numpy().tolist() == [7.0]


def test_what_no_output_needs_is_left_out():
    def model(x):
        x.exp()
        return x + 1

    assert [node.operation for node in trace(model, [1.0]).nodes] == ["Add"]


@given(st.integers(1, 4), st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_random_chains(depth, skips, seed):
    rng = np.random.default_rng(seed)

    class Net(nn.Module):
        def __init__(self):
            self.layers = [
                [nn.BinaryLinear(6, 6, rng=rng), nn.BatchNorm(6)][i % 2] for i in range(2 * depth)
            ]
            self.linear, self.norm = self.layers[::2], self.layers[1::2]
            del self.layers

        def forward(self, x):
            past = [x]
            for linear, norm in zip(self.linear, self.norm, strict=True):
                x = norm(linear(F.sign(x)))
                for y in past[-skips:] if skips else []:
                    x = x + y
                past.append(x)
            return x

    x, model = rng.standard_normal((3, 6)).astype(np.float32), Net()
    assert same(trace(model, x).run(-x)[0], model.eval()(-x))


def test_a_graph_of_a_device(gpu):
    """Examples come to the device of the model, and bits keep their place in the graph."""
    x = np.arange(12, dtype=np.uint8).reshape(2, 6) * 20
    model = models.binary_mlp([6, 5, 2], rng=np.random.default_rng(0), input_planes=3).eval()
    table = nn.Embedding(5, 3, rng=np.random.default_rng(0))
    expected = model(x).numpy()
    for device in ("cpu", "gpu"):
        graph = trace(model.to(device), x)
        assert graph.nodes[0].inputs == ("input",)
        given_ = bitnet.to_gpu(x) if device == "gpu" else x
        assert np.allclose(graph.run(given_)[0].numpy(), expected, rtol=1e-5)
        assert not trace(table.to(device), np.array([[1, 2]], np.int32)).constants


def test_what_cannot_be_traced_is_refused():
    with pytest.raises(InputError, match="got 3; expected a Module or a function"):
        trace(3, [1.0])
    with pytest.raises(InputError, match="got no example"):
        trace(nn.ReLU())
    with pytest.raises(InputError, match="got no example"):
        trace(nn.ReLU(), (None, None))
    with pytest.raises(InputError, match="no output depends on the example"):
        trace(lambda x: Tensor([1.0]) * 2, [1.0])
    with pytest.raises(InputError, match="the model returned 3; expected Tensors"):
        trace(lambda x: 3, [1.0])
    with pytest.raises(InputError, match="got 2 inputs; expected 1"):
        trace(nn.ReLU(), [1.0]).run([1.0], [2.0])
