"""AP2 in every implementation: the power of two with the nearest exponent, for every float."""

import fractions
import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import numbers, rows, seeds, widths

from bitnet import InputError, kernels
from bitnet.kernels import reference

pytestmark = pytest.mark.usefixtures("implementation")

TYPES = [np.float32, np.float64]


@functools.cache
def exactly(x):
    """Compute AP2 of a positive number in integers: the p with p^2 / 2 < x^2 < 2 p^2."""
    x = fractions.Fraction(float(x))
    power = fractions.Fraction(1)
    while 2 * power * power < x * x:
        power *= 2
    while power * power > 2 * x * x:
        power /= 2
    return power


@pytest.mark.parametrize("dtype", TYPES)
def test_around_every_power_and_every_root(dtype):
    info = np.finfo(dtype)
    lowest = int(np.log2(info.smallest_subnormal))
    powers = np.ldexp(dtype(1), np.arange(lowest, info.maxexp))
    with np.errstate(over="ignore"):
        roots = (powers.astype(np.longdouble) * np.sqrt(np.longdouble(2))).astype(dtype)
    x = np.concatenate([powers, roots])
    x = np.concatenate([x, np.nextafter(x, dtype(0)), np.nextafter(x, dtype(np.inf))])
    x = x[(x > 0) & np.isfinite(x)]
    x = x if dtype == np.float32 else x[:: len(x) // 700]
    y = kernels.ap2(x)
    assert y.dtype == dtype
    for number, came in zip(x, y, strict=True):
        power = exactly(number)
        assert came == (np.inf if power >= 2**info.maxexp else float(power)), number
    assert np.array_equal(kernels.ap2(-x), -y)


@pytest.mark.parametrize("dtype", TYPES)
def test_the_table_of_edges(dtype):
    tiny, most = np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max
    root = dtype(np.sqrt(dtype(2)))
    below, above = sorted([root, np.nextafter(root, dtype(3 if root**2 < 2 else 0))])
    table = {
        1.0: 1.0,
        3.0: 4.0,
        -3.0: -4.0,
        2.75: 2.0,
        0.75: 1.0,
        0.7: 0.5,
        below: 1.0,
        above: 2.0,
        tiny: tiny,
        3 * tiny: 4 * tiny,
        -tiny: -tiny,
        most: np.inf,
        np.inf: np.inf,
        -np.inf: -np.inf,
    }
    x = np.array([0.0, -0.0, *table], dtype)
    expected = np.array([0.0, -0.0, *table.values()], dtype)
    y = kernels.ap2(x)
    assert np.array_equal(y, expected)
    assert np.array_equal(np.signbit(y), np.signbit(x))
    assert np.isnan(kernels.ap2(np.array([np.nan, -np.nan], dtype))).all()


@given(rows, widths, seeds, st.integers(-149, 120), st.booleans())
def test_every_implementation_gives_the_bits_of_the_definition(b, n, seed, exponent, strided):
    x = np.ldexp(numbers(seed, (b, n)), exponent)
    x = np.repeat(x, 2, axis=-1)[..., ::2] if strided else x
    y = kernels.ap2(x)
    assert y.shape == x.shape
    assert np.array_equal(y.view(np.int32), reference.ap2(x).view(np.int32))


@given(seeds)
def test_what_it_is_for(seed):
    """AP2 commutes with factors that are powers of two, and |AP2(x)| is near |x|."""
    x = numbers(seed, 100)
    x = x[abs(x) > 1e-30]
    y = kernels.ap2(x)
    assert np.array_equal(kernels.ap2(y), y)
    assert np.array_equal(kernels.ap2(x * np.float32(8)), y * 8)
    assert ((abs(y / x) < 1.41422) & (abs(y / x) > 0.70710)).all()


def test_many_numbers_in_several_threads():
    x = np.random.default_rng(0).standard_normal(1_000_001).astype(np.float32)
    assert np.array_equal(kernels.ap2(x), reference.ap2(x))


@pytest.mark.parametrize("x", [np.arange(3), np.float32(3.0), [1.0], np.ones(3, np.float16)])
def test_what_are_no_floats_is_refused(x):
    with pytest.raises(InputError, match="ap2"):
        kernels.ap2(x)
