"""Products of bytes and words in each form of the kernels that this processor can run."""

import importlib.util

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from bitnet import kernels

if importlib.util.find_spec("numba") is None:
    pytest.skip("Numba is not installed", allow_module_level=True)

from bitnet.kernels.cpu import dots, jit, octets, products

NEEDS = {
    dots.FOURS512: {"avx512f", "avx512vnni"},
    dots.FOURS256: {"avx512vl", "avx512vnni"},  # or avxvnni
    dots.PAIRS: {"avx2"},
    dots.WORD_PAIRS: {"avx2"},
}


@pytest.fixture(params=NEEDS, ids=lambda kind: kind.name, scope="module")
def kind(request):
    lacks = [name for name in sorted(NEEDS[request.param]) if not jit.has(name)]
    if jit.config.DISABLE_JIT or (
        lacks and not (request.param is dots.FOURS256 and jit.has("avxvnni"))
    ):
        pytest.skip(f"{request.param.name} needs compilation and {', '.join(lacks)}")
    return request.param


def integers(left, right, gain, factor, bases):
    left, right = left.astype(np.int64), right.astype(np.int64)
    return gain * left @ right + factor * left.sum(axis=1, keepdims=True) + bases


def largest_exact(kind, right):
    """Return the largest left number that may be multiplied with numbers up to `right`."""
    if kind is dots.PAIRS:
        return min(128, 32767 // (2 * dots.LEAST_CHAIN * right))
    return 255 if kind is dots.WORD_PAIRS else 128


@pytest.mark.parametrize("right", [1, 15, 255])
@given(st.integers(0, 9), st.sampled_from([0, 1, 15, 16, 17, 63, 65]), st.integers(0, 9), seeds)
def test_rows_of_a_product(kind, right, b, n, k, seed):
    rng, most = np.random.default_rng(seed), largest_exact(kind, right)
    numbers = rng.integers(-most, min(most, 255) + 1, (b, k)).clip(-most, most - (most == 128))
    factor = rng.integers(0, right + 1, (k, n), dtype=np.uint8)
    bases = rng.integers(-99, 100, n).astype(np.int32)
    left = dots.padded(numbers, kind)
    expected = integers(numbers, factor, 3, -5, bases)
    for rows_are_columns in (False, True):
        own = factor.T if rows_are_columns else factor
        panels = dots.panels(kind, own, rows_are_columns)
        rows = dots.rows_of(kind, left, panels, (most, right), 3, -5, bases)
        z = np.empty((b, n), np.int32)
        rows(0, b // 2, z[: b // 2])
        rows(b // 2, b, z[b // 2 :])
        np.testing.assert_array_equal(z, expected)
    scales = rng.random(b).astype(np.float32)
    rows = dots.rows_of(kind, left, panels, (most, right), 3, -5, bases, scales, 0.5)
    y = np.empty((b, n), np.float32)
    rows(0, b, y)
    np.testing.assert_array_equal(
        y, expected.astype(np.float32) * scales[:, None] * np.float32(0.5)
    )


@given(st.integers(1, 9), st.sampled_from([1, 15, 16, 17, 64, 65, 130]), st.integers(1, 9), seeds)
def test_columns_of_bits(kind, n, k, b, seed):
    if kind not in dots.OF_BITS:
        pytest.skip(f"{kind.name} has no products with bits")
    rng = np.random.default_rng(seed)
    bits, numbers = kernels.pack(rng.standard_normal((k, n))), rng.integers(-128, 128, (b, k))
    panels, z = dots.bit_panels(bits.words, n), np.empty((b, n), np.int32)
    dots.rows_of(kind, dots.padded(numbers, kind), panels, (128, 1), 2, -1)(0, b, z)
    np.testing.assert_array_equal(z, numbers @ bits.signs(np.int64))


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_largest_sums_are_exact(kind, sign):
    """The numbers that would first saturate or overflow, over several blocks of the cache."""
    right, k = 255 if kind is not dots.PAIRS else 31, 4100
    most = largest_exact(kind, right)
    numbers = np.full((5, k), sign * most - (sign * most == 128))
    factor = np.full((k, 67), right, np.uint8)
    z = np.empty((5, 67), np.int32)
    panels = dots.panels(kind, factor)
    dots.rows_of(kind, dots.padded(numbers, kind), panels, (most, right), 1, 0)(0, 5, z)
    assert (z == k * right * numbers[0, 0]).all()


def test_pairs_are_used_only_where_their_sums_are_exact(monkeypatch):
    monkeypatch.setattr(dots, "has", lambda feature: False)
    monkeypatch.setattr(dots, "at_least", lambda name: name == "avx2")
    for left in range(1, 256):
        for right in (1, 3, 15, 31, 63, 127, 255):
            kind, steps = dots.kind_for(left, right), dots.chain(left, right)
            assert 2 * steps * left * right <= 32767
            assert (kind is dots.PAIRS) == (left <= 128 and steps >= dots.LEAST_CHAIN)
            assert kind in (dots.PAIRS, dots.WORD_PAIRS)
    monkeypatch.setattr(dots, "has", lambda feature: feature == "avxvnni")
    assert dots.kind_for(128, 255) is dots.FOURS256
    assert dots.kind_for(129, 255) is dots.WORD_PAIRS


def test_the_ways_of_a_level():
    """Every level has a way for all operands, and the table is in the order of k * m."""
    for ways in (products.WAYS, products.WAYS_OF_CONVOLUTIONS):
        for own in ways.values():
            assert own[-1] == ("planes", np.inf)
            assert [most for _, most in own] == sorted(most for _, most in own)


def test_bytes_of_operands_are_their_integers():
    rng = np.random.default_rng(0)
    codebooks = [kernels.Codebook.uniform(k, offset=7) for k in (1, 3, 8)]
    few = [own.planes(rng.integers(0, len(own), (3, 70), dtype=np.uint8)) for own in codebooks]
    for x in (*few, rng.integers(0, 256, (3, 70), dtype=np.uint8)):
        expected = x.integers() if not isinstance(x, np.ndarray) else 2 * x.astype(int) - 255
        s, gain, base = octets.left_of(x)
        np.testing.assert_array_equal(gain * s.astype(int) + base, expected)
        assert abs(s.astype(int)).max() <= octets.largest_of(x)
        gain, base = octets.form(x)
        np.testing.assert_array_equal(gain * octets.unsigned(x).astype(int) + base, expected)
        assert octets.unsigned(x).max() <= octets.highest(x)
