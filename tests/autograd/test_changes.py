"""Parameters that change between the forward and the backward pass."""

import numpy as np
import pytest

import bitnet.nn.functional as F  # noqa: N812
from bitnet import InputError, Tensor, nn
from bitnet.autograd import LatentWeight, Parameter
from bitnet.optim import SGD
from bitnet.quantizers import ApproxSign

RNG = np.random.default_rng(0)
X = RNG.standard_normal((6, 4)).astype(np.float32)


def step(weight):
    weight.grad = np.ones(weight.shape, np.float32)
    SGD([weight], 0.25).step()


def reload(weight):
    module = nn.Module()
    module.weight = weight
    module.load_state_dict({"weight": 2 * weight.data})


def subtract(weight):
    weight.data -= np.float32(0.5)


CHANGES = {
    "step": step,
    "edit": lambda w: w.edit().fill(3),
    "assign": lambda w: w.assign(2 * w.data),
    "load_state_dict": reload,
    "in place": subtract,
}
KEEPERS = {  # functions that keep the data, or a view of them, for backward
    "linear": lambda x, w: F.linear(x, w, np.zeros(4, np.float32)),
    "matmul": lambda x, w: x @ w,
    "transposed": lambda x, w: x @ w.transpose(),
    "views of views": lambda x, w: x @ w.reshape(2, 8)[:, :].reshape(4, 4).transpose(),
    "product": lambda x, w: x * w[0],
    "quotient": lambda x, w: x / w[0],
    "norm": lambda x, w: F.batch_norm(x, w[0], w[1]),
    "recurrent": lambda x, w: F.rnn(x.reshape(2, 3, 4), w, w, np.zeros(4, np.float32))[0],
    "smooth sign": lambda x, w: x * F.unpack(F.quantize(w, ApproxSign()))[0],
}


def prepared(keep, kind=Parameter):
    weight = kind(RNG.uniform(0.5, 1, (4, 4)).astype(np.float32))
    x = Tensor(X, requires_grad=True)
    return weight, x, (keep(x, weight) * X.reshape(keep(x, weight).shape)).sum()


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("keep", KEEPERS)
def test_a_change_between_forward_and_backward_is_refused(keep, change):
    weight, _, loss = prepared(KEEPERS[keep])
    loss.backward(retain_graph=True)
    CHANGES[change](weight)
    with pytest.raises(
        InputError, match=r"kept .* Parameter of shape \(4, 4\), which were changed"
    ):
        loss.backward()


@pytest.mark.parametrize("keep", KEEPERS)
def test_data_that_were_replaced_leave_the_old_gradients(keep):
    weight, x, loss = prepared(KEEPERS[keep])
    loss.backward(retain_graph=True)
    expected, weight.grad, x.grad = (weight.grad, x.grad), None, None
    weight.data = 5 * weight.data
    loss.backward()
    for found, own in zip((weight.grad, x.grad), expected, strict=True):
        assert (found == own).all()


def test_what_keeps_no_data_may_go_back_later():
    """Sums keep nothing, and one-bit products keep packed signs of their own."""
    weight = LatentWeight(RNG.uniform(-1, 1, (4, 4)).astype(np.float32), clip=1.0)
    bias = Parameter(np.zeros(4, np.float32))
    signs = F.sign(Tensor(X, requires_grad=True))
    loss = (F.quantized_linear(signs, F.quantize(weight, nn.quantized.ONE_BIT, True)) + bias).sum()
    loss.backward(retain_graph=True)
    first = weight.grad.copy(), bias.grad.copy()
    weight.grad = bias.grad = None
    before = weight.data.copy()
    for parameter in (weight, bias):
        step(parameter)
        parameter.grad = None
    assert (weight.data != before).any()
    loss.backward()
    assert (weight.grad == first[0]).all()
    assert (bias.grad == first[1]).all()


def test_a_step_after_backward_is_training_as_usual():
    weight = Parameter(np.ones((4, 4), np.float32))
    optimizer = SGD([weight], 0.1)
    for _ in range(3):
        optimizer.zero_grad()
        F.linear(X, weight, np.zeros(4, np.float32)).sum().backward()
        optimizer.step()
    assert weight.version == 4
