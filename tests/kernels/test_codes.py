"""Conversion of numbers to codes at every edge, in every implementation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import SMALLEST, numbers, seeds, widths

from bitnet import InputError, kernels

pytestmark = pytest.mark.usefixtures("implementation")


def beside(x, dtype=np.float32):
    """Return a number and its neighbouring floats."""
    x = dtype(x)
    return [np.nextafter(x, dtype(-np.inf)), x, np.nextafter(x, dtype(np.inf))]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_steps_down_at_the_edges(dtype):
    x = np.array(
        [
            *beside(-0.5, dtype),
            *beside(0.5, dtype),
            *beside(1.0, dtype),
            *beside(-1.0, dtype),
            -np.inf,
            np.inf,
            np.nan,
            0.0,
            -0.0,
        ],
        dtype,
    )
    codes = kernels.step_codes(x, 2.0, -1.5, 1.5)
    assert codes.tolist() == [0, 1, 1, 2, 3, 3, 3, 3, 3, 0, 0, 0, 0, 3, 0, 2, 2]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_steps_to_the_nearest_at_the_edges(dtype):
    x = np.array(
        [
            *beside(0.25, dtype),
            *beside(0.75, dtype),
            *beside(-0.25, dtype),
            np.inf,
            -np.inf,
            np.nan,
            0.0,
            -0.0,
        ],
        dtype,
    )
    codes = kernels.step_codes(x, 2.0, -2, 2, nearest=True).astype(int) - 2
    assert codes.tolist() == [0, 0, 1, 1, 2, 2, -1, 0, 0, 2, -2, -2, 0, 0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("signed", [False, True])
def test_an_edge_is_reached_by_its_own_number(dtype, signed):
    x = np.array([*beside(0.5, dtype), *beside(2.0, dtype), np.inf, 0.0, SMALLEST, np.nan], dtype)
    up = np.array([0, 1, 1, 1, 2, 2, 2, 0, 0, 0])
    middle = 2 if signed else 0
    assert (kernels.edge_codes(x, [0.5, 2.0], signed) == middle + up).all()
    assert (kernels.edge_codes(-x, [0.5, 2.0], signed) == (middle - up if signed else 0)).all()


@given(widths, st.integers(1, 8), st.booleans(), seeds, st.booleans())
def test_all_implementations_find_the_same_codes(n, bits, nearest, seed, strided):
    x = numbers(seed, (3, 2, n))
    x = np.repeat(x, 2, axis=-1)[..., ::2] if strided else x
    half = (2**bits - 1) / 2
    edges = np.abs(x).ravel()[:bits] + np.float32(0.1)
    calls = [
        (kernels.step_codes, x, half / 0.7, -half, half, nearest),
        (kernels.edge_codes, x, edges, nearest),
    ]
    for kernel, *arguments in calls:
        codes = kernel(*arguments)
        assert codes.dtype == np.uint8
        assert codes.shape == x.shape
        with kernels.using("reference"):
            np.testing.assert_array_equal(kernel(*arguments), codes)


def test_numbers_that_pass_the_range_of_floats_are_clipped():
    x = np.float32([3e38, -3e38])
    assert kernels.step_codes(x, 1e18, -1.5, 1.5).tolist() == [3, 0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kernels.step_codes(np.arange(3), 1.0, 0, 1), "expected floats"),
        (lambda: kernels.step_codes(np.ones(3), 0.0, 0, 1), "a factor above 0"),
        (lambda: kernels.step_codes(np.ones(3), np.nan, 0, 1), "a factor above 0"),
        (lambda: kernels.step_codes(np.ones(3), 1.0, 1, 0), "low <= high"),
        (lambda: kernels.step_codes(np.ones(3), 1.0, 0, 256), "255 apart"),
        (lambda: kernels.step_codes(np.ones(3), 1.0, 2.0**21, 2.0**21), "255 apart"),
        (lambda: kernels.edge_codes(np.arange(3), [1.0], True), "expected floats"),
        (lambda: kernels.edge_codes(np.ones(3), [0.0], True), "above 0"),
        (lambda: kernels.edge_codes(np.ones(3), [1.0] * 128, True), "at most 127"),
        (lambda: kernels.edge_codes(np.ones(3), [1.0] * 256, False), "at most 255"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
