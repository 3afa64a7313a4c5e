"""Batch norm, rounding and updates in training, in every implementation."""

import fractions

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import numbers, rows, seeds, signs, some_widths, widths

from bitnet import InputError, kernels
from bitnet.kernels import reference

pytestmark = pytest.mark.usefixtures("implementation")

some_rows = st.sampled_from([1, 2, 3, 5, 33])


def integers(seed, shape, largest=300):
    return np.random.default_rng(seed).integers(-largest, largest, shape).astype(np.int32)


def normal_numbers(seed, shape):
    """Draw numbers without subnormal ones, by which division overflows."""
    x = numbers(seed, shape)
    return np.where(abs(x) < 1e-37, np.float32(0), x)


def columns(seed, n):
    return np.random.default_rng(seed).standard_normal((3, n)).astype(np.float32)


@given(rows.filter(bool), widths, seeds)
def test_moments_of_columns_are_those_of_fractions(b, n, seed):
    z = integers(seed, (b, n), 2 ** (seed % 31 + 1)) + np.int32(seed % 7)
    mean, variance = kernels.column_moments(z)
    assert mean.dtype == variance.dtype == np.float64
    for column, own_mean, own_variance in zip(z.T.tolist(), mean, variance, strict=True):
        exact = fractions.Fraction(sum(column), b)
        spread = sum((v - exact) ** 2 for v in column) / b
        assert own_mean == float(exact)
        assert abs(own_variance - float(spread)) <= 2**-50 * float(spread)
    for found, expected in zip(kernels.column_moments(z[::-1]), (mean, variance), strict=True):
        assert (found == expected).all()  # in any order


def test_moments_of_the_largest_integers():
    least, most = np.iinfo(np.int32).min, np.iinfo(np.int32).max
    z = np.array([[most, least, most, 7]] * 3 + [[least, least, most - 1, 7]], np.int32)
    mean, variance = kernels.column_moments(z)
    assert mean.tolist() == [2.0**30 - 1 + 0.25, least, most - 0.25, 7]
    assert variance.tolist() == [3 / 16 * (2.0**32 - 1) ** 2, 0, 3 / 16, 0]


def test_sums_of_squares_beyond_64_bits():
    """Squares about 0, and about the mean, that together pass 2**63 and 2**64."""
    spread = np.arange(40_001, dtype=np.int64)[:, None] - 20_000
    for centre, step in ((2_000_000_000, 1), (0, 100_000)):
        z = (centre + step * spread).astype(np.int32)
        mean, variance = kernels.column_moments(z)
        assert mean.tolist() == [centre]
        assert variance.tolist() == [step**2 * (40_001**2 - 1) / 12]


@given(rows, widths, seeds)
def test_normalize_sign_is_the_expression_and_its_sign(b, n, seed):
    z, (mean, scale, shift) = integers(seed, (b, n)), columns(seed, n)
    y = (z.astype(np.float32) - mean) * scale + shift
    bits, mask = kernels.normalize_sign(z, mean, scale, shift, 1.0)
    assert bits == reference.pack(y)
    assert mask == reference.pack(abs(y) <= 1)
    assert kernels.normalize_sign(z, mean, scale, shift)[0] == bits


def test_normalize_sign_at_the_edges():
    z, one = np.array([[-2, -1, 0, 1, 2]], np.int32), np.ones(5, np.float32)
    bits, mask = kernels.normalize_sign(z, 0 * one, one, 0 * one, 1.0)
    assert bits.signs().tolist() == [[-1, -1, 1, 1, 1]]
    assert mask.signs().tolist() == [[-1, 1, 1, 1, -1]]


@given(some_rows, some_widths, seeds, st.booleans())
def test_batch_norm_backward_equals_the_definition(b, n, seed, masked):
    z, (mean, inv_std, gamma) = integers(seed, (b, n)), columns(seed, n)
    grad_y = numbers(seed, (b, n))
    mask = kernels.pack(signs(seed, (b, n))) if masked else None
    got = kernels.batch_norm_backward(grad_y, mask, z, mean, inv_std, gamma)
    expected = reference.batch_norm_backward(grad_y, mask, z, mean, inv_std, gamma)
    for a, e in zip(got, expected, strict=True):
        assert a.dtype == np.float32
        assert np.array_equal(a, e)
    g = grad_y if mask is None else grad_y * (mask.signs() > 0)
    assert np.allclose(got[2], g.sum(axis=0, dtype=np.float64), rtol=1e-6, atol=1e-30)


@given(some_rows, some_widths, seeds, st.integers(2, 8), st.booleans())
def test_quantize_equals_the_definition_and_errs_by_half_a_step(r, c, seed, bits, transposed):
    x = normal_numbers(seed, (c, r)).T if transposed else normal_numbers(seed, (r, c))
    largest = 2 ** (bits - 1) - 1
    q = kernels.round_gradient(x, bits)
    expected = reference.round_gradient(x, largest, None)
    assert np.array_equal(q.values, expected.values)
    assert np.array_equal(q.scales, expected.scales)
    assert abs(q.values.astype(int)).max() <= largest
    assert (abs(q.numbers() - x) <= q.scales[:, None] * 0.50001).all()
    assert np.array_equal(abs(q.values.astype(int)).max(axis=1), largest * abs(x).any(axis=1))


@pytest.mark.parametrize(("r", "c"), [(15, 40), (16, 16), (16, 17), (31, 16), (33, 47), (130, 100)])
def test_quantize_of_columns_larger_and_smaller_than_a_square(r, c):
    x = normal_numbers(r + c, (c, r)).T
    q, expected = kernels.round_gradient(x, 8), reference.round_gradient(x, 127, None)
    assert np.array_equal(q.values, expected.values)
    assert np.array_equal(q.scales, expected.scales)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("rows_of_parts", [16, 23, 130])
def test_the_parts_of_a_rounding_have_their_own_random_numbers(
    monkeypatch, transposed, rows_of_parts
):
    monkeypatch.setattr("bitnet.kernels.threads._threads", 3)
    monkeypatch.setattr("bitnet.kernels.threads.LEAST_NS", 1)
    x = normal_numbers(1, (40, rows_of_parts)).T if transposed else normal_numbers(1, (130, 40))
    q = kernels.round_gradient(x, 8, np.random.default_rng(5))
    drawn = int(np.random.default_rng(5).integers(2**63))
    expected = reference.round_gradient(x, 127, drawn)
    assert np.array_equal(q.values, expected.values)
    assert np.array_equal(q.scales, expected.scales)


@pytest.mark.parametrize("masked", [False, True])
def test_the_columns_of_a_batch_norm_on_several_threads(monkeypatch, masked):
    monkeypatch.setattr("bitnet.kernels.threads._threads", 3)
    monkeypatch.setattr("bitnet.kernels.threads.LEAST_NS", 1)
    z, (mean, inv_std, gamma) = integers(0, (33, 300)), columns(0, 300)
    grad_y, mask = numbers(2, (33, 300)), kernels.pack(signs(3, (33, 300))) if masked else None
    calls = [("column_moments", (z,)), ("normalize_sign", (z, mean, inv_std, gamma, 1.0))]
    calls += [("batch_norm_backward", (grad_y, mask, z, mean, inv_std, gamma))]
    for name, operands in calls:
        got, expected = getattr(kernels, name)(*operands), getattr(reference, name)(*operands)
        for a, e in zip(got, expected, strict=True):
            assert a == e if name == "normalize_sign" else np.array_equal(a, e)


@given(some_rows, some_widths, seeds, st.booleans())
def test_stochastic_rounding_equals_the_definition(r, c, seed, transposed):
    x = normal_numbers(seed, (c, r)).T if transposed else normal_numbers(seed, (r, c))
    q = kernels.round_gradient(x, 6, np.random.default_rng(seed))
    drawn = int(np.random.default_rng(seed).integers(2**63))
    expected = reference.round_gradient(x, 31, drawn)
    assert np.array_equal(q.values, expected.values)
    assert (abs(q.numbers() - x) <= q.scales[:, None] * 1.00001).all()


def test_stochastic_rounding_has_no_bias_and_nearest_has_one():
    x = np.full((4, 20001), 0.3, np.float32)
    x[:, 0] = 7.0  # a scale of 1 with 4 bits
    by_chance = kernels.round_gradient(x, 4, np.random.default_rng(0)).values[:, 1:]
    assert set(np.unique(by_chance)) == {0, 1}
    assert abs(by_chance.mean() - 0.3) < 5 * np.sqrt(0.3 * 0.7 / by_chance.size)
    assert not kernels.round_gradient(x, 4).values[:, 1:].any()
    again = kernels.round_gradient(x, 4, np.random.default_rng(1)).values[:, 1:]
    assert 0.3 < (again != by_chance).mean() < 0.54  # 0.42 for independent draws


@pytest.mark.parametrize("rng", [None, np.random.default_rng(0)])
@pytest.mark.parametrize("transposed", [False, True])
def test_quantize_of_zeros_and_of_what_is_not_finite(rng, transposed):
    x = np.array([[0, 0, 0], [1, np.nan, 2], [1, np.inf, -np.inf], [1e-45, 0, 0]], np.float32)
    x = np.asfortranarray(x) if transposed else x
    q = kernels.round_gradient(x, 6, rng)
    assert not q.values[:3].any()
    assert q.scales[0] == 0
    assert not np.isfinite(q.scales[1:3]).any()


RULES = {
    "sgd": (1, [0.1, 0.9, 0.0]),
    "nesterov": (1, [0.1, 0.9, 1.0]),
    "adam": (2, [0.1, 0.1, 0.001, 3.0, 1e-8, 2.0]),
    "adamax": (2, [0.1, 0.1, 0.999, 1e-8, 2.0]),
    "shift_adamax": (2, [0.1, 0.125, 0.999, 0.0]),
    "shift_adamax_code": (2, [0.1, 0.1, 0.999, 2.0**-27]),
    "bop": (1, [0.5, 0.25]),
}


@given(some_rows, some_widths, seeds, st.sampled_from(sorted(RULES)), st.booleans())
def test_update_equals_the_definition_and_packs_what_it_changed(r, c, seed, name, lazy):
    n_states, constants = RULES[name]
    rng = np.random.default_rng(seed)
    start = rng.uniform(-1, 1, (r, c)).astype(np.float32)
    state = abs(rng.standard_normal((n_states, r, c))).astype(np.float32)
    grad = numbers(seed, (r, c))
    if lazy:
        x = kernels.round_gradient(numbers(seed, (r, 7)), 6)
        grad = kernels.Product(x, kernels.pack(signs(seed, (7, c))))
    results = []
    for module in (kernels, reference):
        weight, own, words = start.copy(), state.copy(), reference.pack(start).words.copy()
        rule = "sgd" if name == "nesterov" else name
        flips = module.update(rule, weight, grad, list(own), constants, 1.0, words)
        assert np.array_equal(words, reference.pack(weight).words)
        assert flips == int(((start >= 0) != (weight >= 0)).sum())
        results.append((weight, own))
    assert np.array_equal(results[0][0], results[1][0])
    assert np.array_equal(results[0][1], results[1][1])
    assert abs(results[0][0]).max() <= 1


@given(some_rows, some_widths, seeds, st.sampled_from(sorted(RULES)), st.booleans())
def test_update_with_moments_in_bfloat16_equals_the_definition(r, c, seed, name, lazy):
    n_states, constants = RULES[name]
    rule = "sgd" if name == "nesterov" else name
    rng = np.random.default_rng(seed)
    start = rng.uniform(-1, 1, (r, c)).astype(np.float32)
    numbers_of_state = abs(rng.standard_normal((n_states, r, c))).astype(np.float32)
    state = (numbers_of_state.view(np.uint32) >> 16).astype(np.uint16)
    grad = numbers(seed, (r, c))
    if lazy:
        x = kernels.round_gradient(numbers(seed, (r, 7)), 6)
        grad = kernels.Product(x, kernels.pack(signs(seed, (7, c))))
    results = []
    for module in (kernels, reference):
        weight, own, words = start.copy(), state.copy(), reference.pack(start).words.copy()
        module.update(rule, weight, grad, list(own), constants, 1.0, words, seed * 2**31 + 5)
        assert np.array_equal(words, reference.pack(weight).words)
        results.append((weight, own))
    assert np.array_equal(results[0][0], results[1][0])
    assert np.array_equal(results[0][1], results[1][1])


def test_a_step_with_moments_in_bfloat16_is_that_in_float32_whose_moments_are_rounded_after_it():
    constants = RULES["adam"][1]
    rng = np.random.default_rng(0)
    weight, grad = rng.uniform(-1, 1, (2, 40, 70)).astype(np.float32)
    halves = (abs(rng.standard_normal((2, 40, 70)).astype(np.float32)).view(np.uint32) >> 16) << 16
    exact, moments = weight.copy(), halves.view(np.float32).copy()
    narrow = (halves >> 16).astype(np.uint16)
    kernels.update("adam", exact, grad, list(moments), constants, 1.0)
    kernels.update("adam", weight, grad, list(narrow), constants, 1.0, seed=7)
    assert np.array_equal(weight, exact)
    below = (moments.view(np.uint32) >> 16).astype(np.uint16)
    up = narrow - below
    assert set(np.unique(up)) == {0, 1}
    share = (moments.view(np.uint32) & 0xFFFF) / 2**16
    for own, expected in zip(up, share, strict=True):
        spread = np.sqrt((expected * (1 - expected)).sum())
        assert abs(own.sum() - expected.sum()) < 5 * spread


@pytest.mark.parametrize("n_threads", [1, 3])
def test_the_parts_of_an_update_have_their_own_random_bits(n_threads, monkeypatch):
    monkeypatch.setattr("bitnet.kernels.threads._threads", n_threads)
    monkeypatch.setattr("bitnet.kernels.threads.LEAST_NS", 1)
    monkeypatch.setattr("bitnet.kernels.cpu.update.PART", 2048, raising=False)
    x = kernels.round_gradient(numbers(1, (300, 7)), 8)
    grad = kernels.Product(x, kernels.pack(signs(2, (7, 70))))
    results = []
    for module in (kernels, reference):
        weight, state = np.zeros((300, 70), np.float32), np.zeros((2, 300, 70), np.uint16)
        module.update("adam", weight, grad, list(state), RULES["adam"][1], 1.0, None, 2**62 + 1)
        results.append((weight, state))
    assert np.array_equal(results[0][0], results[1][0])
    assert np.array_equal(results[0][1], results[1][1])


def test_what_is_not_finite_stays_so_in_bfloat16():
    x = np.float32([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.5, 1e-45])
    x = np.append(x, np.uint32([0x7FFFFFFF, 0x7F800001]).view(np.float32))
    for bits in (0, 1, 0x7FFF, 0xFFFF):
        kept = reference.widened(reference.narrowed(x, np.full(len(x), bits, np.uint32)))
        assert np.array_equal(np.isnan(kept), np.isnan(x))
        assert np.array_equal(kept[2:8], x[2:8])
        assert 0 <= kept[8] <= 1e-40


def test_random_bits_are_even_and_independent():
    both = [reference.random_bits(seed, (2**17,)) for seed in (0, 1, 2**32, 2**63 - 1, 6 * 10**17)]
    halves = [h for bits in both for h in (bits >> np.uint32(16), bits & np.uint32(0xFFFF))]
    for half in halves:
        counts = np.bincount(half >> np.uint32(8), minlength=256)
        expected = len(half) / 256
        assert ((counts - expected) ** 2 / expected).sum() < 255 + 5 * np.sqrt(2 * 255)
        for distance in (1, 2, 64, 2048):
            correlation = np.corrcoef(half[distance:], half[:-distance])[0, 1]
            assert abs(correlation) < 5 / np.sqrt(len(half))
    for first, second in zip(halves[::2], halves[1::2], strict=True):
        assert abs(np.corrcoef(first, second)[0, 1]) < 5 / np.sqrt(len(first))


def test_bop_flips_where_the_momentum_has_the_sign_of_the_weight_and_passes_the_threshold():
    quarter = np.float32(0.25)
    edges = [quarter, np.nextafter(quarter, quarter * 2), 0.0, -0.0, 9.0]
    m = np.float32([edges + [-e for e in edges]])
    for weight in (np.ones((1, 10), np.float32), -np.ones((1, 10), np.float32)):
        start, words = weight.copy(), kernels.pack(weight).words
        flips = kernels.update("bop", weight, m.copy(), [m.copy()], [0.5, 0.25], 1.0, words)
        expected = np.where(m * start > 0.25, -start, start)
        assert np.array_equal(weight, expected)
        assert flips == 2
        assert np.array_equal(words, kernels.pack(expected).words)


def test_a_weight_of_which_all_gradients_are_zero_stays():
    for rule, eps in (("shift_adamax", 0.0), ("shift_adamax_code", 2.0**-27)):
        w, m, v, g = np.zeros((4, 3), np.float32)
        g[0] = 1e-30
        for _ in range(3):
            kernels.update(rule, w, g, [m, v], [1.0, 0.125, 0.999, eps])
        assert w[0] < 0
        assert w[1:].tolist() == [0.0, 0.0]


def test_the_code_keeps_its_scale_rounded_and_the_paper_does_not():
    """After one |g| = 1 the code's v never decreases: 0.999 of a power is rounded up again."""
    kept = {}
    for rule, eps in (("shift_adamax", 0.0), ("shift_adamax_code", 2.0**-27)):
        w, m, v = np.zeros((3, 1), np.float32)
        for g in [1.0] + 9999 * [1e-4]:
            kernels.update(rule, w, np.float32([g]), [m, v], [0.0, 0.1, 0.999, eps])
        kept[rule] = v.item()
    assert kept["shift_adamax_code"] == 1.0
    assert kept["shift_adamax"] == np.float32(1e-4)


@pytest.mark.parametrize("name", sorted(RULES))
def test_a_gradient_that_is_nan_makes_the_weight_nan(name):
    n_states, constants = RULES[name]
    rule = "sgd" if name == "nesterov" else name
    w, grad = np.ones((1, 2), np.float32), np.float32([[np.nan, 0.0]])
    words = kernels.pack(w).words
    state = list(np.zeros((n_states, 1, 2), np.float32))
    assert kernels.update(rule, w, grad, state, constants, 1.0, words) is None
    assert np.isnan(w).tolist() == [[True, False]]


def test_update_keeps_nan_and_says_so():
    weight, grad = np.ones(3, np.float32), np.array([np.nan, 1.0, -1.0], np.float32)
    state = [np.zeros(3, np.float32)]
    assert kernels.update("sgd", weight, grad, state, [1, 0, 0], 1.0) is None
    assert np.isnan(weight[0])
    assert weight[1:].tolist() == [0.0, 1.0]
    assert kernels.update("sgd", weight[1:], grad[1:], [state[0][1:]], [1, 0, 0], 1.0) == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_update_without_a_bound(dtype):
    weight, grad = np.zeros((2, 3), dtype), np.full((2, 3), -5, dtype)
    kernels.update("sgd", weight, grad, [np.zeros((2, 3), dtype)], [1, 0, 0])
    assert (weight == 5).all()


ONE = np.ones(3, np.float32)
Z = np.ones((2, 3), np.int32)


@pytest.mark.parametrize(
    "call",
    [
        lambda: kernels.column_moments(np.ones((2, 3))),
        lambda: kernels.column_moments(np.ones(3, np.int32)),
        lambda: kernels.column_moments(np.ones((2, 3), np.int64)),
        lambda: kernels.column_moments(np.ones((0, 3), np.int32)),
        lambda: kernels.normalize_sign(Z, ONE, ONE, ONE[:2]),
        lambda: kernels.normalize_sign(Z.astype(float), ONE, ONE, ONE),
        lambda: kernels.batch_norm_backward(np.ones((2, 2)), None, Z, ONE, ONE, ONE),
        lambda: kernels.batch_norm_backward(np.ones((2, 3)), ONE, Z, ONE, ONE, ONE),
        lambda: kernels.round_gradient(np.ones(3, np.float32), 6),
        lambda: kernels.round_gradient(np.ones((2, 3), np.float32), 1),
        lambda: kernels.round_gradient(np.ones((2, 3), np.float32), 9),
        lambda: kernels.round_gradient(np.ones((2, 3), np.int32), 6),
        lambda: kernels.update("sgd", np.ones(3), np.ones(2), [np.ones(3)], [1, 0, 0]),
        lambda: kernels.update("sgd", np.ones(3), np.ones(3, np.float32), [np.ones(3)], [1, 0, 0]),
        lambda: kernels.update("sgd", ONE, ONE, [], [1, 0, 0], 1.0, np.zeros((3, 1), np.uint64)),
        lambda: kernels.update("sgd", ONE, ONE, [np.zeros(3, np.uint16)], [1, 0, 0]),
        lambda: kernels.update("sgd", ONE, ONE, [np.zeros(2, np.uint16)], [1, 0, 0], seed=1),
        lambda: kernels.update(
            "sgd", np.ones(3), np.ones(3), [np.zeros(3, np.uint16)], [1, 0, 0], seed=1
        ),
    ],
)
def test_what_does_not_fit_is_refused(call):
    with pytest.raises(InputError):
        call()


def test_float64_stays_float64():
    rng = np.random.default_rng(0)
    z = rng.integers(-9, 9, (30, 5)).astype(np.int32)
    gamma, grad = rng.uniform(0.5, 2, 5), rng.standard_normal((30, 5))
    mean, inv_std = z.mean(axis=0), 1 / z.std(axis=0)
    grads = kernels.batch_norm_backward(grad, None, z, mean, inv_std, gamma)
    assert {a.dtype for a in grads} == {np.dtype(np.float64)}
    _, grad_gamma, grad_beta = grads
    assert np.allclose(grad_beta, grad.sum(axis=0), rtol=1e-14)
    assert np.allclose(grad_gamma, (grad * (z - mean) * inv_std).sum(axis=0), rtol=1e-12)


def test_no_rows_have_no_gradient():
    z, c = np.zeros((0, 3), np.int32), np.ones(3, np.float32)
    grad_z, *others = kernels.batch_norm_backward(z.astype(np.float32), None, z, c, c, c)
    assert grad_z.shape == (0, 3)
    assert all(np.array_equal(other, np.zeros(3)) for other in others)
