"""Shift-based batch norm against its algorithm written out, number by number."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from bitnet import InputError, Tensor
from bitnet.nn import functional

VARIANTS = pytest.mark.parametrize("variant", ["paper", "code"])


def ap2(v):
    return math.copysign(2.0 ** round(math.log2(abs(v))), v) if v else 0.0


def by_hand(column, gamma, beta, eps):
    """Algorithm 2, line by line, for the numbers of one unit."""
    mean = math.fsum(column) / len(column)
    c = [x - mean for x in column]
    variance = math.fsum(v * ap2(v) for v in c) / len(c)
    inv_std = 1 / math.sqrt(variance + eps)
    return [ap2(gamma) * (v * ap2(inv_std)) + beta for v in c], mean, inv_std


@VARIANTS
def test_forward_is_the_algorithm(variant):
    rng = np.random.default_rng(0)
    x, gamma, beta = rng.standard_normal((9, 4)), rng.standard_normal(4), rng.standard_normal(4)
    running = np.zeros(4), np.ones(4)
    y = functional.shift_batch_norm(x, gamma, beta, 1e-3, running, 0.25, variant).data
    for j in range(4):
        expected, mean, inv_std = by_hand(x[:, j].tolist(), gamma[j], beta[j], 1e-3)
        assert np.allclose(y[:, j], expected, rtol=1e-12)
        assert np.allclose([running[0][j], running[1][j]], [mean / 4, 1 + (inv_std - 1) / 4])


def gradients(x, gamma, beta, variant, grad_y):
    parts = [Tensor(a, requires_grad=True) for a in (x, gamma, beta)]
    functional.shift_batch_norm(*parts, variant=variant).backward(grad_y)
    return [part.grad for part in parts]


def test_the_gradients_of_the_code_are_its_lines():
    rng = np.random.default_rng(0)
    x, g = rng.standard_normal((2, 9, 4))
    gamma, beta = rng.standard_normal((2, 4))
    grad_x, grad_gamma, grad_beta = gradients(x, gamma, beta, "code", g)
    for j in range(4):
        _, mean, inv_std = by_hand(x[:, j].tolist(), gamma[j], beta[j], 1e-5)
        s, c = ap2(inv_std), x[:, j] - mean
        power = np.array([ap2(v) for v in c])
        line = g[:, j] - g[:, j].mean() - power * s * s * (power * g[:, j]).mean()
        assert np.allclose(grad_x[:, j], line * s * ap2(gamma[j]))
        assert np.isclose(grad_gamma[j], sum(ap2(c[i] * s) * g[i, j] for i in range(9)))
        assert np.isclose(grad_beta[j], g[:, j].sum())


@VARIANTS
@given(seeds, st.sampled_from([(2, 1), (7, 3), (3, 2, 2, 5)]))
def test_integers_give_what_floats_give_and_images_what_rows_give(variant, seed, shape):
    rng = np.random.default_rng(seed)
    z = rng.integers(-900, 900, shape).astype(np.int32)
    gamma, beta = rng.standard_normal((2, shape[-1])).astype(np.float32)
    of_integers = functional.shift_batch_norm(z, gamma, beta, variant=variant).data
    assert of_integers.dtype == np.float32
    of_floats = functional.shift_batch_norm(z.astype(np.float32), gamma, beta, variant=variant).data
    assert np.array_equal(of_integers, of_floats)
    of_rows = functional.shift_batch_norm(z.reshape(-1, shape[-1]), gamma, beta, variant=variant)
    assert np.array_equal(of_integers.reshape(of_rows.shape), of_rows.data)
    g = rng.standard_normal(shape).astype(np.float32)
    whole = gradients(z.astype(np.float32), gamma, beta, variant, g)
    rows = gradients(
        z.reshape(-1, shape[-1]).astype(np.float32), gamma, beta, variant, g.reshape(-1, shape[-1])
    )
    assert all(
        np.allclose(a.ravel(), b.ravel(), atol=1e-5) for a, b in zip(whole, rows, strict=True)
    )


@VARIANTS
@pytest.mark.parametrize("gamma", [0.0, -0.0, -3.0])
def test_constant_columns_and_gammas_of_every_sign(variant, gamma):
    x, one = np.full((4, 1), 7.0, np.float32), np.ones(1, np.float32)
    y = functional.shift_batch_norm(x, gamma * one, one, variant=variant).data
    assert (y == 1).all()
    parts = gradients(x, gamma * one, one, variant, np.float32([[1], [2], [3], [4]]))
    assert all(np.isfinite(part).all() for part in parts)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: functional.shift_batch_norm(np.ones((1, 2)), np.ones(2), np.ones(2)), "2 rows"),
        (lambda: functional.shift_batch_norm(np.ones((3, 2)), np.ones(3), np.ones(2)), "fit"),
        (
            lambda: functional.shift_batch_norm(
                np.ones((3, 1)), np.ones(1), np.ones(1), variant="x"
            ),
            "expected one of paper, code",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
