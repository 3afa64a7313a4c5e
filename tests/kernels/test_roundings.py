"""Gradients as odd integers and as powers of two, in every implementation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import numbers, seeds

from bitnet import InputError, kernels
from bitnet.kernels import Rounding, Window

pytestmark = pytest.mark.usefixtures("implementation")
shapes = st.tuples(st.sampled_from([0, 1, 3, 40]), st.sampled_from([0, 1, 17, 70]))
bits = st.integers(2, 8)
ROOT = np.float32(np.sqrt(0.5))


def same_in_reference(call):
    got = call()
    with kernels.using("reference"):
        expected = call()
    return got, expected


@given(shapes, bits, seeds, st.booleans(), st.booleans())
def test_odd_integers_are_those_of_the_formula(shape, k, seed, by_chance, turned):
    x = numbers(seed, shape[::-1]).T if turned else numbers(seed, shape)
    rng = (lambda: np.random.default_rng(seed)) if by_chance else (lambda: None)
    q, expected = same_in_reference(lambda: kernels.round_gradient(x, Rounding("dorefa", k), rng()))
    np.testing.assert_array_equal(q.values, expected.values)
    np.testing.assert_array_equal(q.scales, expected.scales)
    n = 2**k - 1
    assert q.largest == n
    largest = abs(x).max(axis=1, initial=0, keepdims=True).astype(np.float64)
    kept = np.broadcast_to(largest > 1e-36, x.shape)  # n / largest overflows below
    assert (abs(q.values[kept]) <= n).all()
    assert (q.values[kept] % 2 == 1).all()
    assert not q.values[~kept].any()
    with np.errstate(all="ignore"):
        grid = n * (x / (2 * largest) + 0.5)  # equation 11: a number from 0 to n
    off = abs((q.values.astype(np.float64) + n) / 2 - grid)
    assert (off[kept] <= (1.0 if by_chance else 0.5) + 1e-4).all()


def test_noise_has_the_mean_of_the_number():
    x = np.float32([[1.0, *np.linspace(-0.9, 0.9, 7)]] * 20_000)
    q = kernels.round_gradient(x, Rounding("dorefa", 2), np.random.default_rng(0))
    assert np.allclose(q.numbers().mean(axis=0), x[0], atol=0.02)
    assert not np.allclose(
        kernels.round_gradient(x, Rounding("dorefa", 2)).numbers()[0], x[0], atol=0.02
    )


@given(shapes, st.integers(2, 6), seeds, st.booleans())
def test_powers_of_two_are_those_of_the_formula(shape, k, seed, turned):
    x = numbers(seed, shape[::-1]).T if turned else numbers(seed, shape)
    got, expected = same_in_reference(lambda: kernels.round_gradient(x, Rounding("log", k)))
    np.testing.assert_array_equal(got, expected)
    assert (np.signbit(got) == (got < 0)).all()
    wide, largest = x.astype(np.float64), abs(x).max(initial=0)
    if not largest:
        assert not got.any()
        return
    with np.errstate(divide="ignore"):
        exponents = np.round(np.log2(abs(wide)))
    there = exponents > np.round(np.log2(np.float64(largest))) - (2 ** (k - 1) - 1)
    there &= abs(x) >= 2.0**-126
    np.testing.assert_array_equal(got[there], (np.sign(wide) * 2.0**exponents)[there])
    assert not got[~there].any()


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (ROOT, 1.0),
        (np.nextafter(ROOT, np.float32(0)), 0.5),
        (-ROOT, -1.0),
        (2 * ROOT, 2.0),
        (np.nextafter(2 * ROOT, np.float32(0)), 1.0),
        (0.25 * ROOT, 0.25),  # the smallest of three powers below 1
        (np.nextafter(np.float32(0.25 * ROOT), np.float32(0)), 0.0),
        (0.0, 0.0),
        (-0.0, 0.0),
    ],
)
def test_powers_of_two_at_the_edges(x, expected):
    largest = 1.0 if abs(x) <= 1.0 else abs(x)
    row = kernels.round_gradient(np.float32([[x, largest]]), Rounding("log", 3))
    assert row[0, 0] == expected


def test_the_smallest_numbers_become_zero():
    x = np.float32([[2.0**-126, 2.0**-127, -(2.0**-149)]])
    got, expected = same_in_reference(lambda: kernels.round_gradient(x, Rounding("log", 6)))
    np.testing.assert_array_equal(got, np.float32([[2.0**-126, 0, 0]]))
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_visible(bad):
    x = np.float32([[1.0, bad], [1.0, 2.0]])
    assert np.isnan(kernels.round_gradient(x, Rounding("log", 6))).all()
    scales = kernels.round_gradient(x, Rounding("dorefa", 8)).scales
    assert np.isfinite(scales).tolist() == [False, True]


RULES = [Rounding("dorefa", 8), Rounding("dorefa", 4), Rounding("log", 6), Rounding("log", 4)]


@pytest.mark.parametrize("rule", RULES)
def test_products_take_every_rule(rule):
    """Integers are multiplied exactly, and powers of two as floats."""
    rng = np.random.default_rng(1)
    grad = rng.standard_normal((37, 70)).astype(np.float32)
    weight, x = (
        kernels.pack(rng.standard_normal((70, 90))),
        rng.integers(0, 256, (37, 50), np.uint8),
    )
    for numbers_of, signs in ((grad, weight), (grad.T, x)):
        draw = (lambda: None) if rule.kind == "log" else (lambda: np.random.default_rng(2))
        of = numbers_of
        y, expected = same_in_reference(
            lambda of=of, signs=signs, draw=draw: kernels.signed_gemm(
                kernels.round_gradient(of, rule, draw()), signs
            )
        )
        if rule.kind == "log":
            np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-3)
        else:
            np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("rule", RULES)
def test_convolutions_take_every_rule(rule, groups):
    rng = np.random.default_rng(3)
    window = Window((3, 2), (2, 1), ((1, 0), (1, 1)))
    grad = rng.standard_normal((3, *window.output(7, 6), 8)).astype(np.float32)
    weight = kernels.pack(rng.standard_normal((8, 3, 2, 4 // groups)))
    pixels = rng.integers(0, 256, (3, 7, 6, 4), np.uint8)
    images = kernels.pack(rng.standard_normal((3, 7, 6, 4)))
    calls = [
        lambda draw: kernels.gradient_of_images(grad, weight, window, (7, 6), rule, draw, groups),
        lambda draw: kernels.gradient_of_filters(grad, images, window, rule, draw, groups),
        lambda draw: kernels.gradient_of_filters(grad, pixels, window, rule, draw, groups),
    ]
    for call in calls:
        draw = (lambda: None) if rule.kind == "log" else (lambda: np.random.default_rng(4))
        y, expected = same_in_reference(lambda call=call, draw=draw: call(draw()))
        np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-3)
        plain = call(draw())
        np.testing.assert_array_equal(plain, y)


def test_a_convolution_of_powers_is_that_of_the_powers():
    """All groups and both products use one range."""
    rng, rule, window = np.random.default_rng(5), Rounding("log", 3), Window((1, 1))
    grad = rng.standard_normal((2, 3, 3, 4)).astype(np.float32) * np.float32([1, 1, 8, 8])
    weight, x = kernels.pack(rng.standard_normal((4, 1, 1, 3))), kernels.pack(np.ones((2, 3, 3, 6)))
    powers = kernels.round_gradient(grad.reshape(18, 4), rule).reshape(grad.shape)
    got = kernels.gradient_of_images(grad, weight, window, (3, 3), rule, None, 2)
    np.testing.assert_array_equal(
        got, kernels.gradient_of_images(powers, weight, window, (3, 3), None, None, 2)
    )
    np.testing.assert_array_equal(
        kernels.gradient_of_filters(grad, x, window, rule, None, 2),
        kernels.gradient_of_filters(powers, x, window, None, None, 2),
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Rounding("linear", 8), "int, dorefa or log"),
        (lambda: Rounding("log", 7), "2 to 6"),
        (lambda: Rounding("dorefa", 9), "2 to 8"),
        (lambda: Rounding("int", True), "2 to 8"),
        (
            lambda: kernels.round_gradient(
                np.ones((2, 3), np.float32), Rounding("log", 4), np.random.default_rng(0)
            ),
            "no rng",
        ),
        (lambda: kernels.round_gradient(np.ones(3, np.float32), Rounding("log", 4)), "a matrix"),
        (
            lambda: kernels.Quantized(np.zeros((1, 1), np.int16), np.ones(1, np.float32), 256),
            "1 to 255",
        ),
    ],
)
def test_what_is_no_rounding_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
