"""Float models in evaluation: the same bits in every batch, way, thread and implementation."""

import contextlib
import importlib.util

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

import bitnet.nn.functional as F  # noqa: N812
from bitnet import InputError, Tensor, kernels, nn, no_grad
from bitnet.autograd import trace
from bitnet.autograd.tensor import is_evaluating
from bitnet.autograd.trace import in_evaluation
from bitnet.kernels import threads
from bitnet.nn.module import evaluating

SIZES = st.sampled_from([1, 2, 3, 5, 16, 17, 33, 70])
BATCHES = st.sampled_from([1, 2, 3, 4, 7, 11, 12, 13, 17, 130])
IMPLEMENTATIONS = [
    "reference",
    pytest.param(
        "numba",
        marks=pytest.mark.skipif(
            importlib.util.find_spec("numba") is None, reason="Numba is not installed"
        ),
    ),
]


class Chain(nn.Module):
    """Steps, which are Modules or functions, one after the other; axis 1 of steps is the batch."""

    def __init__(self, *steps):
        self.steps = list(steps)

    def forward(self, x):
        for step in self.steps:
            x = step(x)
        return x


class States(nn.Module):
    """Recurrent layers over a batch (B, T, N); all states, and the last ones."""

    def __init__(self, layer):
        self.layer = layer

    def forward(self, x):
        y, states = self.layer(x.transpose(1, 0, 2))
        return [y.transpose(1, 0, 2), *(own for state in states for own in state)]


def linear(draw, rng):
    """Draw linear layers with functions between them, and an input of one row."""
    n, hidden, m = (draw(SIZES) for _ in range(3))
    between = draw(st.sampled_from([nn.ReLU(), F.hardtanh, lambda x: x.tanh() * 0.3]))
    layers = nn.Linear(n, hidden, rng=rng), between, nn.Linear(hidden, m, rng=rng)
    return Chain(*layers, nn.BatchNorm(m)), (n,)


def convolution(draw, rng):
    """Draw a convolution, a pooling, and a linear layer."""
    groups, kernel = draw(st.sampled_from([1, 2, 3])), draw(st.sampled_from([1, 2, 3]))
    c, m = groups * draw(st.integers(1, 3)), groups * draw(st.sampled_from([1, 2, 20]))
    options = {"stride": draw(st.integers(1, 2)), "padding": draw(st.integers(0, 1))}
    conv = nn.Conv2d(c, m, kernel, groups=groups, rng=rng, **options)
    pools = [
        lambda x: x.mean(axis=(1, 2)),
        lambda x: F.flatten(F.avg_pool2d(x, kernels.Window((2, 2)))),
        lambda x: x.sum(axis=(-1, 1)) @ Tensor(np.ones((x.shape[2], m), np.float32) / 3),
    ]
    shape = (draw(st.integers(4, 6)), 5, c)
    steps = [conv, nn.BatchNorm(m), draw(st.sampled_from(pools))]
    width = Chain(*steps).eval()(np.zeros((1, *shape), np.float32)).shape[1]
    return Chain(*steps, nn.Linear(width, 3, rng=rng)), shape


def recurrent(draw, rng):
    """Draw a recurrent layer, or two."""
    kind, layers = draw(st.sampled_from([nn.RNN, nn.LSTM, nn.GRU])), draw(st.integers(1, 2))
    n, units = draw(SIZES), draw(SIZES)
    return States(kind(n, units, num_layers=layers, rng=rng)), (draw(st.integers(1, 3)), n)


def mean(draw, rng):
    """Draw reductions over all axes but the first, in several steps or at once."""
    axes, shape = draw(st.sampled_from([(1,), (2,), (-1, 1), (2, 1)])), (draw(SIZES), draw(SIZES))
    factor = Tensor(rng.standard_normal(shape[1]).astype(np.float32))
    steps = lambda x: x.mean(axis=axes, keepdims=True), lambda x: (x * factor).sum(axis=(1, 2))
    return Chain(*steps), shape


@st.composite
def models(draw):
    """Draw a float model in evaluation mode, and inputs for it."""
    rng = np.random.default_rng(draw(seeds))
    kind = draw(st.sampled_from([linear, convolution, recurrent, mean]))
    model, shape = kind(draw, rng)
    for norm in (own for own in model.modules() if isinstance(own, nn.BatchNorm)):
        norm.running_mean[:] = rng.standard_normal(norm.num_features)
        norm.running_inv_std[:] = rng.uniform(0.3, 3, norm.num_features)
    dtype = draw(st.sampled_from([np.float32, np.float32, np.float64]))
    return model.eval(), rng.standard_normal((draw(BATCHES), *shape)).astype(dtype)


def outputs(y):
    """Return the bits of each array of a result (B, ...)."""
    arrays = [own.numpy() for own in (y if isinstance(y, list | tuple) else [y])]
    return [(own.dtype, own.shape, own.tobytes()) for own in arrays]


def rows(y, start, stop):
    """Return some rows of each Tensor of a result."""
    return [Tensor(own.data[start:stop]) for own in (y if isinstance(y, list | tuple) else [y])]


@contextlib.contextmanager
def many_parts(n_threads):
    """Use a number of threads also for little work."""
    before = threads._threads, threads.LEAST_NS
    threads._threads, threads.LEAST_NS = n_threads, 50
    try:
        yield
    finally:
        threads._threads, threads.LEAST_NS = before


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@given(models())
def test_a_row_is_the_same_in_every_batch(implementation, drawn):
    model, x = drawn
    with kernels.using("reference"):
        expected = model(x)
    for n_threads in (1, 2):
        with kernels.using(implementation), many_parts(n_threads), no_grad():
            assert outputs(model(x)) == outputs(expected)
            for i in {0, len(x) // 2, len(x) - 1}:
                assert outputs(model(x[i : i + 1])) == outputs(rows(expected, i, i + 1))
            assert outputs(model(x[1:])) == outputs(rows(expected, 1, None))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@given(models())
def test_all_ways_to_evaluate_agree(implementation, drawn):
    model, x = drawn
    with kernels.using(implementation):
        expected = outputs(model(x))
        with no_grad():
            assert outputs(model(x)) == expected
        with evaluating(model.train()):
            assert outputs(model(x)) == expected
            assert outputs(model(Tensor(x, requires_grad=True))) == expected
        assert outputs(trace(model, x).run(x)) == expected
        model.eval()
        assert outputs(trace(lambda x: model.forward(x), x).run(x)) == expected


def test_integers_with_floats_are_the_same_in_every_batch():
    rng = np.random.default_rng(0)
    layer, x = nn.Linear(300, 70, rng=rng).eval(), rng.integers(0, 256, (20, 300), np.uint8)
    for own in (x, x.astype(np.int32)):
        y = layer(own)
        assert outputs(layer(own[3:4])) == outputs(rows(y, 3, 4))
        mean = Tensor(own).mean(axis=1)
        assert outputs(Tensor(own[3:4]).mean(axis=1)) == outputs(rows(mean, 3, 4))


@pytest.mark.parametrize("reduce", ["sum", "mean"])
def test_a_sum_over_steps_is_the_same_for_one_text_and_several(reduce):
    x = np.random.default_rng(0).standard_normal((200, 5, 1)).astype(np.float32)
    several = getattr(Tensor(x), reduce)(axis=0)
    one = getattr(Tensor(x[:, :1].copy()), reduce)(axis=0)
    assert outputs(one) == outputs(rows(several, 0, 1))
    assert outputs(getattr(Tensor(x), reduce)(axis=-3, keepdims=True)[0]) == outputs(several)


def test_training_keeps_the_blas():
    """A module in training mode may round differently, and does not wait for the fixed order."""
    rng = np.random.default_rng(0)
    layer, x = nn.Linear(300, 70, rng=rng), rng.standard_normal((20, 300)).astype(np.float32)
    y = x @ layer.weight.data.T + layer.bias.data
    assert outputs(layer(x)) == outputs(Tensor(y))


class Asks(nn.Module):
    """A model whose inner layer tells which mode it finds."""

    def __init__(self):
        self.inner = nn.Sequential()
        self.found = []

    def forward(self, x, *more, flag=None):
        self.found.append(is_evaluating())
        return (x, *more, flag)


def test_the_mode_is_that_of_the_module_that_computes():
    outer, inner = Asks(), Asks()
    outer.inner = inner
    outer.forward = lambda x: (inner(x), outer.found.append(is_evaluating()))
    outer.eval()
    outer([1.0])
    inner.train()
    outer([1.0])
    assert (inner.found, outer.found) == ([True, False], [True, True])
    assert not is_evaluating()
    with in_evaluation(lambda x: x):
        assert is_evaluating()
    with pytest.raises(InputError):
        nn.Linear(3, 2, rng=np.random.default_rng(0)).eval()(np.ones((1, 4)))
    assert not is_evaluating()


def test_inputs_become_tensors_and_other_objects_stay():
    model, state, own = Asks(), (Tensor([1.0]), None), object()
    x, numbers, number, bits, *others = model(
        np.ones(2), [1, 2], 3.0, kernels.pack(np.ones((1, 3))), None, state, own, flag=[4]
    )
    assert all(isinstance(given, Tensor) for given in (x, numbers, number, bits))
    assert numbers.data.dtype == np.float32
    assert others[0] is None
    assert others[1] is state
    assert others[2] is own
    assert others[3] == [4]
