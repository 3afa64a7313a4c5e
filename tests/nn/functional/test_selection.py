"""Choices and statistics of Tensors beside NumPy's, in models that freeze, and what they refuse."""

import numpy as np
import pytest

import bitnet
from bitnet import InputError, Tensor, nn
from bitnet.nn import functional as F  # noqa: N812

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((2, 3, 4)).astype(np.float32)


def test_results_are_those_of_numpy():
    x, y = Tensor(X), Tensor(Y)
    pairs = [
        (F.maximum(x, y), np.maximum(X, Y)),
        (F.minimum(x, 0.25), np.minimum(X, np.float32(0.25))),
        (x.clamp(-0.5, 0.5), X.clip(-0.5, 0.5)),
        (x.clamp(low=Y), np.maximum(X, Y)),
        (F.where(x > 0, x, y), np.where(X > 0, X, Y)),
        (F.where([[True], [False], [True]], x, 1.0), np.where([[1], [0], [1]], X, np.float32(1))),
        (x.argmax(), X.argmax()),
        (x.argmax(axis=1), X.argmax(axis=1)),
        (x.min(axis=0, keepdims=True), X.min(axis=0, keepdims=True)),
        (F.stack(x, y), np.stack([X, Y])),
        (F.stack(x, y, axis=-1), np.stack([X, Y], axis=-1)),
        (F.stack(x, y, axis=1), np.stack([X, Y], axis=1)),
        (x.unsqueeze(1), X[:, None]),
        (x.unsqueeze(-1).squeeze(2), X),
        (x.relu(), np.maximum(X, 0)),
    ]
    for found, expected in pairs:
        assert found.dtype == expected.dtype
        assert np.array_equal(found.data, expected)
    assert np.allclose(x.var(axis=1).data, X.var(axis=1))
    assert np.allclose(x.std().data, X.std())
    powers = np.exp(X) / np.exp(X).sum(axis=0)
    assert np.allclose(x.softmax(axis=0).data, powers)
    assert np.allclose(x.log_softmax(axis=0).data, np.log(powers), atol=1e-6)
    assert F.argmax(x).requires_grad is False


def test_integers_stay_exact():
    big = Tensor(np.array([2**31 - 1, -5], np.int32))
    assert F.maximum(big, -7).data.tolist() == [2**31 - 1, -5]
    assert F.minimum(big, Tensor(np.uint8([3, 3]))).data.tolist() == [3, -5]
    assert F.where(big > 0, big, 0).data.dtype == np.int32


def test_equal_elements_share_the_gradient():
    a, b = (Tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    F.maximum(a, b).sum().backward()
    assert a.grad.tolist() == b.grad.tolist() == [0.5, 0.5]
    a.grad = None
    F.minimum(a, [1.0, 0.0]).sum().backward()
    assert a.grad.tolist() == [0.5, 0.0]


class Chooses(nn.Module):
    """Scores by choices between the results of two layers; integers, too."""

    def __init__(self):
        self.left, self.right = (nn.BinaryLinear(4, 5, rng=RNG) for _ in range(2))

    def forward(self, x, y):
        left, right = self.left(x), self.right(y)
        both = F.where(left > right, F.maximum(left, 2), F.minimum(right, left))
        few = F.stack(both * 0.1, right * 0.2, axis=1).std(axis=1)
        return few.clamp(0.1, 3.0).log_softmax(), both


def test_a_module_of_two_inputs_freezes_is_summarized_and_drawn(tmp_path):
    model, x = Chooses(), RNG.integers(0, 256, (6, 4), np.uint8)
    y = RNG.integers(0, 256, (6, 4), np.uint8)
    net = bitnet.freeze(model, (x[:1], y[:1]))
    net.save(tmp_path / "net.npz")
    with nn.module.evaluating(model):
        expected = model(x, y)
    for found, own in zip(bitnet.load(tmp_path / "net.npz").run(x, y), expected, strict=True):
        assert np.array_equal(found, own.data)
    assert bitnet.compare(model, net, x, y).is_complete
    assert bitnet.summary(model, (x[:1], y[:1])).one_bit == 40
    bitnet.analysis.plots.plot_graph(net.graph, path=tmp_path / "net.svg")
    bitnet.analysis.plots.plot_graph(
        bitnet.autograd.trace(model, x[:1], y[:1]), path=tmp_path / "own.svg"
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: F.where(x, x, x), "where: the condition holds floats"),
        (lambda x: F.maximum(x, np.ones(3)), "do not broadcast"),
        (lambda x: x.argmax(axis=2), "argmax: axis 2"),
        (lambda x: Tensor(np.ones((0, 2))).argmax(), "and an element"),
        (lambda x: x.squeeze(0), "an axis of size 1"),
        (lambda x: x.unsqueeze(4), "expected -3 to 2"),
        (lambda x: F.stack(x, x[0]), "Tensors of one shape"),
        (lambda x: F.stack(), "got nothing"),
        (lambda x: F.stack(x, x, axis=5), "axis is 5"),
        (lambda x: F.sign(x).dtype, "dtype"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises((InputError, AttributeError), match=message):
        call(Tensor(X))
