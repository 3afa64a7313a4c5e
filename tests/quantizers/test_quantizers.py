"""Compare every quantizer with its formula, edges, surrogate and name."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import numbers, seeds

from bitnet import InputError
from bitnet.quantizers import (
    ApproxSign,
    DoReFa,
    LinearQuant,
    LogQuant,
    SwishSign,
    Ternary,
    Uniform,
    dorefa_activation,
    quantizer_named,
)

bits = st.integers(1, 8)
bounds = st.sampled_from([1.0, 0.25, 0.3, 7.0, 1e-18, 1e18])
uniform = st.builds(Uniform, bits, bounds, st.sampled_from([None, 0.5, math.inf]))
linear = st.one_of(
    st.builds(LinearQuant, st.integers(2, 8), bounds),
    st.builds(LinearQuant, bits, bounds, st.just(False)),
    st.builds(dorefa_activation, bits),
)
exponents = st.sampled_from([-60, -3, 0, 1, 60])
logarithmic = st.one_of(
    st.builds(LogQuant, st.integers(2, 5), exponents),
    st.builds(LogQuant, st.integers(1, 4), exponents, st.just(False)),
)
signs = st.one_of(st.just(ApproxSign()), st.builds(SwishSign, st.sampled_from([5.0, 0.3])))
weights = st.one_of(st.builds(DoReFa, bits), st.builds(Ternary, st.sampled_from([0.7, 0.05])))
quantizers = st.one_of(uniform, linear, logarithmic, signs, weights)
dtypes = st.sampled_from([np.float32, np.float64])


def scaled(quantizer, x):
    """Return x scaled to the range of the quantizer."""
    return (x * quantizer.codebook.values(np.float64).max()).astype(x.dtype)


@given(quantizers, seeds, dtypes)
def test_codes_increase_and_give_the_values(quantizer, seed, dtype):
    x = np.sort(scaled(quantizer, numbers(seed, 300, dtype)))
    codes = quantizer.codes(x)
    assert codes.dtype == np.uint8
    assert codes.max() < len(quantizer.codebook) <= 2**quantizer.bits
    assert (np.diff(codes.astype(int)) >= 0).all()
    values = quantizer.values(x)
    assert values.dtype == dtype
    np.testing.assert_array_equal(values, quantizer.codebook.values(dtype)[codes])
    planes = quantizer.codebook.planes(codes.reshape(3, 100))
    np.testing.assert_array_equal(planes.values(dtype), values.reshape(3, 100))


@given(quantizers, seeds)
def test_the_shape_and_the_layout_do_not_matter(quantizer, seed):
    x = scaled(quantizer, numbers(seed, (4, 6)))
    for method in (quantizer.codes, quantizer.slope, quantizer.values):
        np.testing.assert_array_equal(method(x.reshape(2, 2, 6)).reshape(4, 6), method(x))
        np.testing.assert_allclose(method(x.T).T, method(x), rtol=1e-5)
        assert method(x[:0]).shape == (0, 6)


def by_definition(quantizer, x):
    """Compute the formula of the docstring in float64, and the distance from a tie in steps."""
    if isinstance(quantizer, Uniform):
        n = 2**quantizer.bits - 1
        y = n / 2 * np.clip(x / quantizer.max_value, -1, 1)
        code = np.floor(y) + 2 ** (quantizer.bits - 1)
        return quantizer.max_value * (2 * code - n) / n, abs(y - np.round(y))
    if isinstance(quantizer, LinearQuant):
        low, high = quantizer.range
        y = x / quantizer.step
        return np.clip(np.round(y), low, high) * quantizer.step, abs(y - np.floor(y) - 0.5)
    with np.errstate(divide="ignore"):
        y = np.log2(abs(x))
    e = np.minimum(np.round(y), quantizer.largest)
    there = (e > quantizer.largest - quantizer.powers) & (quantizer.signed | (x > 0))
    with np.errstate(invalid="ignore"):
        tie = np.where(np.isinf(y), 1, abs(y - np.floor(y) - 0.5))
    return np.where(there, np.sign(x) * 2.0**e, 0), tie


@given(st.one_of(uniform, linear, logarithmic), seeds)
def test_values_are_those_of_the_formula(quantizer, seed):
    x = scaled(quantizer, numbers(seed, 500))
    expected, tie = by_definition(quantizer, x.astype(np.float64))
    clear = (tie > 1e-4) | (abs(x) > 2 * quantizer.codebook.values().max())
    values = quantizer.values(x)
    np.testing.assert_allclose(values[clear], expected[clear], rtol=1e-6)


@given(uniform, seeds)
def test_uniform_is_odd_but_for_ties(quantizer, seed):
    x = scaled(quantizer, numbers(seed, 300))
    half = np.float32((2**quantizer.bits - 1) / 2)
    y = x * np.float32(half / quantizer.max_value) if quantizer.bits > 1 else x
    no_tie = (y != np.floor(y)) | (abs(y) > half)
    no_tie &= (x != 0) if quantizer.bits == 1 else True
    np.testing.assert_array_equal(quantizer.values(-x)[no_tie], -quantizer.values(x)[no_tie])


def test_uniform_of_one_bit_is_the_sign():
    x = numbers(0, 300)
    assert (Uniform(1).codes(x) == (x >= 0)).all()
    assert Uniform(1).codebook.is_sign
    assert not Uniform(1, max_value=0.5).codebook.is_sign
    assert not Uniform(2).codebook.is_sign


def beside(x):
    x = np.float32(x)
    return [float(v) for v in (np.nextafter(x, np.float32(-9)), x, np.nextafter(x, np.float32(9)))]


ROOT = math.sqrt(0.5)
EDGES = [  # quantizer, numbers, values, slopes
    (Uniform(1), [0.0, -0.0, -1e-45, *beside(1)], [1, 1, -1, 1, 1, 1], [1, 1, 1, 1, 1, 0]),
    (
        Uniform(2),
        [*beside(2 / 3), 0.0, -0.0, *beside(-1)],
        [1 / 3, 1, 1, 1 / 3, 1 / 3, -1, -1, -1],
        [1, 1, 1, 1, 1, 0, 1, 1],
    ),
    (Uniform(2, 2.0, clip_value=0.5), [*beside(0.5), 9.0], [2 / 3, 2 / 3, 2 / 3, 2], [1, 1, 0, 0]),
    (
        LinearQuant(2, 0.5),
        [*beside(0.25), *beside(-1.25), 0.5, beside(0.5)[2], beside(-1)[0]],
        [0, 0, 0.5, -1, -1, -1, 0.5, 0.5, -1],
        [1, 1, 1, 0, 0, 0, 1, 0, 0],
    ),
    (
        LinearQuant(2, 0.5, signed=False),
        [*beside(0.0), *beside(1.5), 0.75],
        [0, 0, 0, 1.5, 1.5, 1.5, 1.0],
        [0, 1, 1, 1, 1, 0, 1],
    ),
    (
        LogQuant(2),
        [*beside(ROOT), *beside(1), 0.0, -0.0, -1.0, -7.0],
        [0, 1, 1, 1, 1, 1, 0, 0, -1, -1],
        [1, 1, 1, 1, 1, 0, 1, 1, 1, 0],
    ),
    (
        LogQuant(3),
        [*beside(2 * ROOT), *beside(0.5 * ROOT), *beside(0.25 * ROOT)],
        [1, 1, 1, 0.25, 0.5, 0.5, 0, 0.25, 0.25],
        [0, 0, 0, 1, 1, 1, 1, 1, 1],
    ),
    (
        LogQuant(1, signed=False),
        [*beside(ROOT), -1.0, 1.5, *beside(0), -0.0],
        [0, 1, 1, 0, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0, 1, 1, 1],
    ),
    (Ternary(1.0), [1.0, -1.0, 1.0, -1.0], [0, 0, 0, 0], [1, 1, 1, 1]),
    (Ternary(), [1.0, -0.5, 0.5, 2.0], [1, 0, 0, 1], [1, 1, 1, 0]),
    (Ternary(), [0.0, -0.0], [0, 0], [1, 1]),
    (DoReFa(2), [0.0, -0.0], [1 / 3, 1 / 3], [1, 1]),
    (
        ApproxSign(),
        [0.0, -0.0, -1e-45, *beside(1), -0.75],
        [1, 1, -1, 1, 1, 1, -1],
        [2, 2, 2, 2.0**-23, 0, 0, 0.5],
    ),
    (SwishSign(2.0), [0.0, -0.0, -1e-45, np.inf, -np.inf], [1, 1, -1, 1, -1], [2, 2, 2, 0, 0]),
]


@pytest.mark.parametrize(("quantizer", "x", "values", "slopes"), EDGES)
def test_the_edges(quantizer, x, values, slopes):
    x = np.float32(x)
    np.testing.assert_array_equal(quantizer.values(x), np.float32(values))
    np.testing.assert_allclose(quantizer.slope(x), np.float32(slopes), rtol=1e-6, atol=0)


@given(quantizers, seeds)
def test_the_slope_is_that_of_the_surrogate(quantizer, seed):
    """Compare with central differences in float64; the first value fixes the maximum of DoReFa."""
    x = scaled(quantizer, np.random.default_rng(seed).uniform(-2, 2, 200))
    most = quantizer.codebook.values(np.float64).max()
    x[0], step = 5 * most, np.where(np.arange(len(x)) > 0, 1e-6 * most, 0)
    slope, right, left = (quantizer.slope(at) for at in (x, x + step, x - step))
    difference = quantizer.surrogate(x + step) - quantizer.surrogate(x - step)
    clear = abs(right - left) < 1e-3  # no kink between
    clear[0] = False
    np.testing.assert_allclose(
        (difference[1:] / (2 * step[1:]))[clear[1:]], slope[clear], rtol=1e-4, atol=1e-4
    )
    assert clear.sum() > 100
    assert quantizer.smooth or set(slope) <= {0, 1}


@given(quantizers)
def test_a_name_makes_an_equal_quantizer(quantizer):
    again = quantizer_named(quantizer.name)
    assert again == quantizer
    assert again.name == quantizer.name
    assert len(quantizer.name) <= 100
    assert hash(again) == hash(quantizer)


@pytest.mark.parametrize(
    ("name", "quantizer", "shortest"),
    [
        ("sign", Uniform(1), "sign"),
        ("sign:2", Uniform(1, clip_value=2.0), "sign:2"),
        ("sign:inf", Uniform(1, clip_value=math.inf), "sign:inf"),
        ("uniform:1:1:1", Uniform(1), "sign"),
        ("uniform:1:0.5", Uniform(1, 0.5), "uniform:1:0.5"),
        ("uniform:2:1.0:3", Uniform(2, clip_value=3.0), "uniform:2:1:3"),
        ("linear:4:0.25", LinearQuant(4, 0.25), "linear:4:0.25"),
        ("linear:4:0.25:signed", LinearQuant(4, 0.25), "linear:4:0.25"),
        ("linear:1:2.5e-1:unsigned", LinearQuant(1, 0.25, False), "linear:1:0.25:unsigned"),
        ("log:4", LogQuant(4), "log:4"),
        ("log:4:-2", LogQuant(4, -2), "log:4:-2"),
        ("log:4:0:unsigned", LogQuant(4, 0, False), "log:4:0:unsigned"),
        ("dorefa:2", DoReFa(2), "dorefa:2"),
        ("dorefa-activation:1", LinearQuant(1, 1.0, False), "linear:1:1:unsigned"),
        ("ternary", Ternary(), "ternary"),
        ("ternary:0.05", Ternary(0.05), "ternary:0.05"),
        ("approx-sign", ApproxSign(), "approx-sign"),
        ("swish-sign:10", SwishSign(10.0), "swish-sign:10"),
    ],
)
def test_names(name, quantizer, shortest):
    assert quantizer_named(name) == quantizer
    assert quantizer.name == shortest


@pytest.mark.parametrize(
    "name",
    [
        None,
        3,
        "",
        ":",
        "uniform",
        "uniform:",
        "uniform:0",
        "uniform:9",
        "uniform:2:",
        "uniform:2:0",
        "uniform:2:-1",
        "uniform:2:nan",
        "uniform:2:inf",
        "uniform:2:1:0",
        "uniform:2:1:1:1",
        "uniform:1_0",
        "uniform:2 ",
        " uniform:2",
        "uniform:٢",
        "uniform:2\n",
        "Uniform:2",
        "linear:4",
        "linear:4:0.25:maybe",
        "linear:1:1",
        "log:6",
        "log:1",
        "log:5:0:unsigned",
        "log:4:61",
        "log:4:1e1",
        "log:4:0:True",
        "dorefa",
        "dorefa:2:1",
        "ternary:0",
        "ternary:1e99",
        "sign:0",
        "sign:-1",
        "approx-sign:1",
        "swish-sign:1e19",
        "uniform:2:0x1",
        "__class__",
        "sign:" + "9" * 99,
        "linear:4:" + "1" * 50,
        "uniform:2:.5",
        "uniform:2:1e-99",
    ],
)
def test_other_names_are_refused_in_a_sentence(name):
    with pytest.raises(InputError, match="expected") as refused:
        quantizer_named(name)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Uniform(0), "from 1 to 8"),
        (lambda: Uniform(2.0), "from 1 to 8"),
        (lambda: Uniform(True), "from 1 to 8"),
        (lambda: Uniform(2, max_value=0), "from 1e-18 to 1e\\+18"),
        (lambda: Uniform(2, max_value=math.inf), "from 1e-18 to 1e\\+18"),
        (lambda: Uniform(2, clip_value=-1.0), "or inf"),
        (lambda: Uniform(2, clip_value=math.nan), "or inf"),
        (lambda: LinearQuant(1, 0.5), "from 2 to 8 for signed values"),
        (lambda: LinearQuant(9, 0.5, signed=False), "from 1 to 8"),
        (lambda: LinearQuant(2, "1"), "step is '1'"),
        (lambda: LinearQuant(2, 0.5, signed=1), "True or False"),
        (lambda: LogQuant(6), "2 to 5 with a sign; 15 powers"),
        (lambda: LogQuant(5, signed=False), "1 to 4 without a sign"),
        (lambda: LogQuant(4, largest=0.5), "-60 to 60"),
        (lambda: DoReFa(9), "from 1 to 8"),
        (lambda: dorefa_activation(0), "from 1 to 8"),
        (lambda: Ternary(0), "threshold is 0"),
        (lambda: SwishSign(-1), "beta is -1"),
    ],
)
def test_an_error_names_the_range(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_numpy_scalars_are_numbers():
    assert Uniform(np.int64(2), np.float32(0.5)).name == "uniform:2:0.5"
    assert LinearQuant(np.int8(3), np.float64(0.25)) == LinearQuant(3, 0.25)


def test_only_weight_quantizers_depend_on_all_values():
    kinds = [Uniform(2), LinearQuant(2, 0.5), LogQuant(3), ApproxSign(), SwishSign()]
    assert all(quantizer.elementwise for quantizer in kinds)
    assert not DoReFa(2).elementwise
    assert not Ternary().elementwise


@pytest.mark.parametrize("beta", [1e-3, 1.0, 5.0, 1e3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_tails_of_swish_sign_keep_their_digits(beta, dtype):
    y = np.concatenate([np.linspace(-85, 85, 40_001), np.logspace(-30, 0, 301)])
    x, b = (y / beta).astype(dtype), np.longdouble(dtype(beta))
    near = 4 * np.finfo(dtype).eps
    y = b * x.astype(np.longdouble)
    small = 1 / (1 + np.cosh(y))
    slope, surrogate = b * (2 - y * np.tanh(y / 2)) * small, np.tanh(y / 2) + y * small
    bound = b * (2 + abs(y)) * small  # between these terms digits may cancel
    quantizer = SwishSign(beta)
    assert (abs(quantizer.slope(x) - slope) <= near * (2 + abs(y)) * bound).all()
    assert (abs(quantizer.surrogate(x) - surrogate) <= near * abs(surrogate)).all()
    assert abs(quantizer.slope(x) / slope - 1)[abs(y) > 3].max() <= 64 * near
