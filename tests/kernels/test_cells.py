"""Recurrent cells in every implementation: the same bits as the definition, and tanh itself."""

import fractions

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import numbers, seeds

from bitnet import InputError, kernels
from bitnet.kernels import reference
from bitnet.kernels.reference import cells

pytestmark = pytest.mark.usefixtures("implementation")
TYPES = [np.float32, np.float64]
UNITS = (0, 1, 2, 15, 16, 17, 33)
shapes = st.tuples(st.sampled_from((0, 1, 2, 3)), st.sampled_from(UNITS))


def draw(seed, *shape, dtype=np.float32):
    """Draw numbers from the table of edge values, some of them large."""
    x = numbers(seed, shape, dtype)
    return x * np.random.default_rng(seed).choice(np.array([1, 4, 100], dtype), shape)


def both(name, *arguments):
    """Call a kernel and its definition with copies of the same arguments and return the arrays."""
    results = []
    for function in (getattr(kernels.cells, name), getattr(reference, name)):
        own = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
        if function.__module__.startswith("bitnet.kernels.reference"):
            own = [own[0].dtype.type(a) if type(a) is float else a for a in own]
        returned = function(*own)
        arrays = [a for a in own if isinstance(a, np.ndarray)]
        results.append([*arrays, returned] if isinstance(returned, np.ndarray) else arrays)
    return results


def check(name, *arguments):
    with np.errstate(all="ignore"):
        came, expected = both(name, *arguments)
    for a, b in zip(came, expected, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    return came


@pytest.mark.parametrize("dtype", TYPES)
@given(shapes, seeds, st.booleans(), st.booleans())
def test_a_cell_is_its_definition_to_the_bit(dtype, shape, seed, relu, integers):
    batch, n = shape

    def some(k, width=1):
        return draw(seed + k, batch, width * n, dtype=dtype)

    def product(width):
        if integers:
            rng = np.random.default_rng(seed)
            return rng.integers(-5000, 5000, (batch, width * n), dtype=np.int32)
        return some(9, width)

    h, c = some(1), some(2)
    z, p = some(3), product(1)
    *_, h = check("rnn_step", z, p, 0.01, relu, h)
    check("rnn_back", h, some(4), relu, some(5))
    gates, _, before, c, h = check("lstm_step", some(3, 4), product(4), 0.01, some(6), c, h)
    check("lstm_back", gates, before, c, some(4), some(5), some(7, 4))
    gates, _, before, inner, h = check("gru_step", some(3, 3), product(3), 0.01, some(6), c, h)
    check("gru_back", gates, inner, before, some(4), some(5, 3), some(7, 3))


@pytest.mark.parametrize("dtype", TYPES)
@given(shapes, seeds)
def test_rows_and_integers_with_a_bias(dtype, shape, seed):
    count, n = shape
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, max(count, 1), 5 if count else 0)
    check(
        "add_rows", draw(seed, count, n, dtype=dtype), rows, draw(seed, len(rows), n, dtype=dtype)
    )
    bias, z = draw(seed, n, dtype=dtype), rng.integers(-9, 9, (count, n), dtype=np.int32)
    unit = dtype(0.3)
    expected = reference.affine(z, unit, bias)
    assert expected.dtype == dtype
    np.testing.assert_array_equal(kernels.affine(z, 0.3, bias), expected)


def test_tanh_is_lamberts_continued_fraction():
    """Evaluate x / (1 + x^2 / (3 + ... x^2 / 25)) from the inside in fractions."""
    for square in (0, 1, fractions.Fraction(7, 3)):
        value = fractions.Fraction(25)
        for odd in range(23, 0, -2):
            value = odd + square / value
        top = sum(int(c) * square**i for i, c in enumerate(EXACT["TOP"]))
        bottom = sum(int(c) * square**i for i, c in enumerate(EXACT["BOTTOM"]))
        assert 1 / value == fractions.Fraction(top) / bottom
    for name, exact in EXACT.items():
        assert getattr(cells, name) == tuple(map(np.float32, exact))


EXACT = {
    "TOP": (7905853580625, 1159525191825, 41247931725, 523783260, 2552550, 4095, 1),
    "BOTTOM": (7905853580625, 3794809718700, 252070693875, 5237832600, 41351310, 120120, 91),
}


def tanh(x):
    """Return tanh computed by a plain cell."""
    z, h = x.reshape(1, -1).copy(), np.empty((1, x.size), x.dtype)
    kernels.cells.rnn_step(z, np.zeros(z.shape, np.int32), 0.0, False, h)
    return h[0]


def test_tanh_is_near_and_never_beyond_one():
    x = np.concatenate([np.linspace(0, 12, 20001), np.geomspace(1e-30, 1, 2001)])
    x = x.astype(np.float32)
    came, exact = tanh(x), np.tanh(x.astype(np.float64))
    assert (abs(came - exact) <= 5e-7 * exact).all()
    assert came.max() <= 1
    np.testing.assert_array_equal(tanh(-x), -came)


def test_tanh_at_the_edges():
    nine = np.float32(9)
    edges = np.float32([0.0, -0.0, 9, np.nextafter(nine, nine * 2), 1e30, np.inf, -np.inf, np.nan])
    came = tanh(edges)
    assert np.signbit(came[:2]).tolist() == [False, False]  # z + 0 is 0
    assert came[2] == came[3] == came[4] == came[5] == -came[6]
    assert abs(came[2] - 1) < 5e-7
    assert np.isnan(came[7])


def test_rectified_edges():
    z = np.float32([[0.0, -0.0, -1.0, 1e-45, np.nan]])
    h, grad = np.empty_like(z), np.empty_like(z)
    kernels.cells.rnn_step(z, np.zeros(z.shape, np.int32), 1.0, True, h)
    np.testing.assert_array_equal(h, np.float32([[0, 0, 0, 1e-45, np.nan]]))
    kernels.cells.rnn_back(h, np.ones_like(z), True, grad)
    np.testing.assert_array_equal(grad, [[0, 0, 0, 1, 0]])


def test_a_cell_may_take_the_place_of_the_one_before():
    z, product = draw(0, 3, 4 * 17), np.zeros((3, 4 * 17), np.int32)
    before, c, h = draw(1, 3, 17), np.empty((3, 17), np.float32), np.empty((3, 17), np.float32)
    kernels.cells.lstm_step(z.copy(), product, 1.0, before, c, h)
    kernels.cells.lstm_step(z, product, 1.0, before, before, h)
    np.testing.assert_array_equal(before, c)


def test_what_does_not_fit_is_refused():
    f = lambda *shape: np.zeros(shape, np.float32)  # noqa: E731
    calls = [
        lambda: kernels.cells.rnn_step(f(2, 3), f(2, 4), 1.0, False, f(2, 3)),
        lambda: kernels.cells.lstm_step(f(2, 12), f(2, 12), 1.0, f(2, 3), f(2, 3), f(2, 4)),
        lambda: kernels.cells.lstm_step(f(2, 12).T, f(2, 12), 1.0, f(2, 3), f(2, 3), f(2, 3)),
        lambda: kernels.cells.lstm_step(
            f(2, 12), np.zeros((2, 12)), 1.0, f(2, 3), f(2, 3), f(2, 3)
        ),
        lambda: kernels.cells.lstm_step(f(2, 24)[:, ::2], f(2, 12), 1.0, f(2, 3), f(2, 3), f(2, 3)),
        lambda: kernels.cells.gru_back(f(2, 9), f(2, 3), f(2, 3), f(2, 3), f(2, 9), f(2, 8)),
        lambda: kernels.add_rows(f(2, 3), np.array([2]), f(1, 3)),
        lambda: kernels.add_rows(f(2, 3), np.array([-1]), f(1, 3)),
        lambda: kernels.add_rows(f(2, 3), np.array([1.0]), f(1, 3)),
        lambda: kernels.add_rows(f(2, 3), np.array([1]), f(1, 4)),
        lambda: kernels.affine(f(2, 3), 1.0, f(3)),
        lambda: kernels.affine(np.zeros((2, 3), np.int32), 1.0, f(2)),
    ]
    for call in calls:
        with pytest.raises(InputError):
            call()
