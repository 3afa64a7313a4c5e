"""Signs and their estimator at every edge, and the odds of the stochastic sign."""

import numpy as np
import pytest
from strategies import ABOVE_ONE, BELOW_ONE, SMALLEST

import bitnet.nn.functional as F  # noqa: N812
from bitnet import InputError, Tensor

pytestmark = pytest.mark.usefixtures("implementation")

#        x          sign  gradient that passes
EDGES = [
    (0.0, 1, 1.0),
    (-0.0, 1, 1.0),
    (SMALLEST, 1, 1.0),
    (-SMALLEST, -1, 1.0),
    (BELOW_ONE, 1, 1.0),
    (-BELOW_ONE, -1, 1.0),
    (1.0, 1, 1.0),
    (-1.0, -1, 1.0),
    (ABOVE_ONE, 1, 0.0),
    (-ABOVE_ONE, -1, 0.0),
    (np.inf, 1, 0.0),
    (-np.inf, -1, 0.0),
]


@pytest.mark.parametrize(("x", "expected", "passed"), EDGES)
def test_sign_and_estimator_at_the_edges(x, expected, passed):
    leaf = Tensor(np.array([x], np.float32), requires_grad=True)
    y = F.sign(leaf)
    assert y.data.signs()[0] == expected
    y.backward(np.array([3.0], np.float32))
    assert leaf.grad[0] == 3.0 * passed


def test_batch_norm_that_is_exactly_zero_gives_plus_one():
    z = np.array([[-2], [2], [0]], np.int32)
    a = F.normalize(
        z,
        np.ones(1, np.float32),
        np.zeros(1, np.float32),
        np.zeros(1, np.float32),
        np.ones(1, np.float32),
    )
    assert F.sign(a).data.signs().ravel().tolist() == [-1, 1, 1]


@pytest.mark.parametrize(
    ("clip_value", "passed"), [(0.5, [1, 0, 0]), (2.0, [1, 1, 1]), (None, [1, 1, 1])]
)
def test_the_window_of_the_estimator(clip_value, passed):
    leaf = Tensor(np.float32([0.5, -1.0, 2.0]), requires_grad=True)
    F.sign(leaf, clip_value).backward(np.ones(3, np.float32))
    assert leaf.grad.tolist() == passed


def test_the_mask_of_the_estimator_takes_a_bit_an_element():
    y = F.sign(Tensor(np.zeros((4, 640), np.float32), requires_grad=True))
    assert y.creator.passes.n_bytes == 4 * 640 // 8


def test_stochastic_signs_have_the_odds_of_the_hard_sigmoid():
    x = np.repeat(np.float32([-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5]), 20_000)
    signs = F.stochastic_sign(x, np.random.default_rng(0)).data.signs()
    share = (signs.reshape(7, -1) > 0).mean(axis=1)
    assert share[0] == share[1] == 0.0
    assert share[5] == share[6] == 1.0
    assert np.allclose(share[2:5], [0.25, 0.5, 0.75], atol=0.02)


def test_stochastic_signs_use_the_same_estimator_and_generator():
    x = np.float32([0.2, 1.5, -0.3])
    leaf = Tensor(x, requires_grad=True)
    y = F.stochastic_sign(leaf, np.random.default_rng(3))
    assert y.data.equals(F.stochastic_sign(x, np.random.default_rng(3)).data)
    y.backward(np.ones(3, np.float32))
    assert leaf.grad.tolist() == [1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    "call",
    [
        lambda: F.sign(np.float32([0.0, np.nan])),
        lambda: F.stochastic_sign(np.float32([np.nan]), np.random.default_rng(0)),
        lambda: F.sign(np.arange(3)),
        lambda: F.sign(F.sign([1.0])),
        lambda: F.sign([1.0], clip_value=0),
        lambda: F.sign([1.0], clip_value=float("nan")),
        lambda: F.unpack([1.0]),
    ],
)
def test_what_does_not_fit_is_refused(call):
    with pytest.raises(InputError):
        call()
