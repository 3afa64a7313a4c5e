"""Floats with a fixed order of operations, in every implementation: equal bit for bit."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import numbers, seeds

from bitnet import InputError, kernels
from bitnet.kernels import reference, threads

pytestmark = pytest.mark.usefixtures("implementation")

rows = st.sampled_from([0, 1, 2, 3, 4, 5, 11, 12, 13, 40, 130])
sizes = st.sampled_from([0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 80, 129, 200])
dtypes = st.sampled_from([np.float32, np.float64])
values = st.sampled_from(["mixed", "subnormal", "infinite"])


def drawn(seed, shape, dtype, kind):
    """Draw numbers of many magnitudes; kinds add tiny products, or infinity and NaN."""
    x = numbers(seed, shape, dtype) * numbers(seed + 1, shape, dtype)
    if kind == "subnormal":
        return x * dtype(np.finfo(dtype).tiny ** 0.5)
    special = np.random.default_rng(seed).choice([np.inf, -np.inf, np.nan], shape)
    at = np.random.default_rng(seed + 2).random(shape) < 0.02
    return np.where(at & (kind == "infinite"), special, x).astype(dtype)


def bits_of(x):
    """Return the bits of floats as integers; the same for each NaN."""
    return np.where(np.isnan(x), np.nan, x).astype(x.dtype).view(f"i{x.itemsize}").tolist()


@given(rows, sizes, sizes, dtypes, values, st.booleans(), seeds)
def test_products_are_added_one_by_one(r, n, m, dtype, kind, biased, seed):
    x, across = drawn(seed, (r, n), dtype, kind), drawn(seed + 3, (n, m), dtype, kind)
    bias = drawn(seed + 6, m, dtype, kind) if biased else None
    y = kernels.ordered_gemm(x, across, bias)
    assert (y.shape, y.dtype) == ((r, m), dtype)
    assert bits_of(y) == bits_of(reference.ordered_gemm(x, across, bias))


@given(st.integers(0, 3), st.integers(0, 9), st.integers(0, 3), dtypes, seeds)
def test_the_definition_is_a_sum_of_rounded_numbers(r, n, m, dtype, seed):
    x, across = drawn(seed, (r, n), dtype, "mixed"), drawn(seed + 3, (n, m), dtype, "mixed")
    bias = drawn(seed + 6, m, dtype, "mixed")
    y = kernels.ordered_gemm(x, across, bias)
    for i, j in np.ndindex(y.shape):
        total = dtype(0)
        for k in range(n):
            total = dtype(total + dtype(x[i, k] * across[k, j]))
        assert bits_of(y[i, j]) == bits_of(dtype(total + bias[j]))


def test_a_product_and_a_sum_are_not_fused():
    """Test 3 * fl(1/3) - 1, which is 0 after rounding the product, and 2**-25 if fused."""
    x, across = np.full((13, 2), [1.0, 3.0], np.float32), np.full((2, 70), -1.0, np.float32)
    across[1] = 1 / 3
    assert not kernels.ordered_gemm(x, across).any()
    assert not kernels.ordered_gemm(x[:1], across).any()


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("shape", [(300, 61, 90), (20, 150, 300), (2, 300, 1100)])
def test_a_row_alone_equals_the_row_in_a_batch(monkeypatch, n_threads, shape):
    r, n, m = shape
    monkeypatch.setattr(threads, "_threads", n_threads)
    monkeypatch.setattr(threads, "LEAST_NS", 100)
    x, across = drawn(0, (r, n), np.float32, "mixed"), drawn(1, (n, m), np.float32, "mixed")
    y = kernels.ordered_gemm(x, across)
    for i in range(0, r, 7):
        assert bits_of(kernels.ordered_gemm(x[i : i + 1], across)) == bits_of(y[i : i + 1])
    assert bits_of(y[:7]) == bits_of(reference.ordered_gemm(x[:7], across, None))


@given(rows, sizes, sizes, st.sampled_from([1, 2]), seeds)
def test_no_operand_needs_to_be_contiguous(r, n, m, step, seed):
    x = drawn(seed, (n, 2 * r), np.float32, "mixed")
    across = drawn(seed + 3, (m, n * step), np.float32, "mixed")[:, ::step].T
    bias = drawn(seed + 6, 2 * m, np.float32, "mixed")[::2]
    own = x.T[::2].copy(), across.copy(), bias.copy()
    found = kernels.ordered_gemm(x.T[::2], across, bias)
    assert bits_of(found) == bits_of(kernels.ordered_gemm(*own))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.data(), dtypes, seeds)
def test_sums_are_those_of_halves(shape, data, dtype, seed):
    axes = tuple(data.draw(st.permutations(range(len(shape))))[: data.draw(st.integers(0, 4))])
    x = drawn(seed, shape, dtype, "mixed")
    y = kernels.ordered_sum(x, axes)
    assert y.shape == tuple(n for axis, n in enumerate(shape) if axis not in axes)
    assert y.dtype == dtype
    rest = [range(n) if axis not in axes else [slice(None)] for axis, n in enumerate(shape)]
    found = np.asarray(y).reshape(-1)
    for got, index in zip(found, itertools.product(*rest), strict=True):
        assert bits_of(got) == bits_of(halved(list(x[index].reshape(-1)), dtype))


def halved(numbers, dtype):
    """Return the sum of a list of numbers, the second half added to the first."""
    if len(numbers) <= 1:
        return numbers[0] if numbers else dtype(0)
    half = (len(numbers) + 1) // 2
    added = [dtype(a + b) for a, b in zip(numbers, numbers[half:], strict=False)]
    return halved([*added, *numbers[len(added) : half]], dtype)


@given(st.integers(1, 70), st.integers(1, 5), seeds)
def test_a_sum_does_not_depend_on_layout_and_other_axes(n, m, seed):
    x = drawn(seed, (n, m), np.float32, "mixed")
    sums = kernels.ordered_sum(x, (0,))
    assert bits_of(kernels.ordered_sum(np.asfortranarray(x), (0,))) == bits_of(sums)
    assert bits_of(kernels.ordered_sum(x.T, (1,))) == bits_of(sums)
    assert bits_of(kernels.ordered_sum(x[:, :1].copy(), (0,))) == bits_of(sums[:1])
    with_more_axes = kernels.ordered_sum(x.reshape(1, n, m, 1), (0, 1))
    assert bits_of(with_more_axes[:, 0]) == bits_of(sums)


def test_a_sum_leaves_its_operand():
    x = np.ones((4, 3), np.float32)
    assert kernels.ordered_sum(x, (0,)).tolist() == [4, 4, 4]
    assert (x == 1).all()


@given(
    st.sampled_from([(0,), (1,), (513,), (3, 0), (5, 300), (2, 3, 4, 5)]),
    st.sampled_from([1, 2, 3, 15, 16, 17, 127, 255]),
    dtypes,
    seeds,
)
def test_edges_are_counted(shape, count, dtype, seed):
    rng = np.random.default_rng(seed)
    edges = np.sort(drawn(seed, count, dtype, "mixed"))
    edges[rng.random(count) < 0.1] = edges[0]
    edges = np.sort(edges)
    edges[-1] = rng.choice([edges[-1], np.inf])
    x = drawn(seed + 3, shape, dtype, "infinite")
    x = np.where(rng.random(shape) < 0.3, rng.choice(edges, shape), x)
    codes = kernels.count_edges(x, edges)
    assert (codes.shape, codes.dtype) == (x.shape, np.uint8)
    assert codes.tolist() == (x[..., None] >= edges).sum(axis=-1).tolist()
    strided = np.stack([x, x], axis=-1)[..., 0], np.stack([edges, edges], axis=-1)[..., 0]
    assert kernels.count_edges(*strided).tolist() == codes.tolist()


X, ACROSS = np.ones((2, 3), np.float32), np.ones((3, 4), np.float32)


@pytest.mark.parametrize(
    "call",
    [
        lambda: kernels.ordered_gemm(X, ACROSS.astype(float)),
        lambda: kernels.ordered_gemm(X, ACROSS, np.ones(4)),
        lambda: kernels.ordered_gemm(X, ACROSS, np.ones(3, np.float32)),
        lambda: kernels.ordered_gemm(X, ACROSS, ACROSS),
        lambda: kernels.ordered_gemm(X, ACROSS[:2]),
        lambda: kernels.ordered_gemm(X.astype(int), ACROSS.astype(int)),
        lambda: kernels.ordered_gemm(X[0], ACROSS),
        lambda: kernels.ordered_gemm(X.astype(np.float16), ACROSS.astype(np.float16)),
        lambda: kernels.ordered_sum(X.astype(int), (0,)),
        lambda: kernels.ordered_sum(X, (2,)),
        lambda: kernels.ordered_sum(X, (-1,)),
        lambda: kernels.ordered_sum(X, (0, 0)),
        lambda: kernels.count_edges(X, np.ones(2)),
        lambda: kernels.count_edges(X, X[0, :0]),
        lambda: kernels.count_edges(X, np.zeros(256, np.float32)),
        lambda: kernels.count_edges(X, X),
        lambda: kernels.count_edges(X, np.float32([1.0, 0.0])),
        lambda: kernels.count_edges(X, np.float32([0.0, np.nan])),
        lambda: kernels.count_edges(X.astype(int), np.ones(1, int)),
    ],
)
def test_what_does_not_fit_is_refused(call):
    with pytest.raises(InputError):
        call()
