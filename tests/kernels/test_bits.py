"""The bit layout, stated as tests."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import numbers, rows, seeds, signs, widths

from bitnet import InputError, kernels
from bitnet.kernels import BitPlanes, Bits


def test_element_i_is_bit_i_mod_64_of_word_i_div_64():
    for i in (0, 1, 63, 64, 129):
        x = np.full(130, -1.0)
        x[i] = 1.0
        words = kernels.pack(x).words
        assert words.dtype == np.dtype("<u8")
        assert [int(word) for word in words] == [(1 << i % 64) * (k == i // 64) for k in range(3)]


def test_words_as_uint32_and_bytes_have_the_same_order():
    bits = kernels.pack(signs(0, 128))
    ones = bits.signs() > 0
    for dtype, size in ((np.uint32, 32), (np.uint8, 8)):
        view = bits.words.view(dtype)
        assert [bool(view[i // size] >> (i % size) & 1) for i in range(128)] == ones.tolist()


@given(rows, widths, seeds)
def test_bytes_and_back(n_rows, n, seed):
    bits = kernels.pack(signs(seed, (n_rows, n)))
    rows_of_bytes = bits.to_bytes()
    assert rows_of_bytes.shape == (n_rows, -(-n // 8))
    assert Bits.from_bytes(rows_of_bytes, n).equals(bits)


@given(widths.filter(lambda n: n % 8), st.integers(0, 7))
def test_a_padding_bit_that_is_one_is_refused(n, bit):
    row = np.zeros((1, -(-n // 8)), np.uint8)
    row[0, -1] = 1 << bit
    if bit < n % 8:
        assert Bits.from_bytes(row, n).shape == (1, n)
    else:
        with pytest.raises(InputError, match="padding"):
            Bits.from_bytes(row, n)


def test_rows_are_indexed_and_the_packed_axis_is_not():
    bits = kernels.pack(signs(1, (4, 3, 70)))
    assert bits[2].shape == (3, 70)
    assert bits[1:3].shape == (2, 3, 70)
    assert np.array_equal(bits[2, 1].signs(), bits.signs()[2, 1])
    mask = np.ones((4, 3), bool)
    for index in ((0, 0, 0), (..., 0), ..., None, (0, 0, slice(None)), mask, (slice(None), None)):
        with pytest.raises(InputError, match="packed"):
            bits[index]
    for index in (0, slice(None, None, -1)):
        with pytest.raises(InputError, match="packed"):
            bits[0, 0][index]
    assert bits[np.array([3, 1])].shape == (2, 3, 70)
    assert (bits.ndim, bits.size, len(bits), bits.n_bytes) == (3, 840, 4, 192)


@pytest.mark.parametrize(
    ("words", "shape"),
    [
        (np.zeros(1, np.uint64), ()),
        (np.zeros(1, np.uint64), (65,)),
        (np.zeros(1, np.int64), (64,)),
        (np.zeros((2, 1), np.uint64), (64,)),
    ],
)
def test_words_that_do_not_fit_the_shape_are_refused(words, shape):
    with pytest.raises(InputError):
        Bits(words, shape)


def test_equals_asks_for_shape_and_signs():
    a = kernels.pack(np.array([1.0, -1.0]))
    assert a.equals(kernels.pack(np.array([2.0, -3.0])))
    assert not a.equals(kernels.pack(np.array([1.0, 1.0])))
    assert a == kernels.pack(np.array([2.0, -3.0]))
    assert a != kernels.pack(np.array([1.0, 1.0]))
    assert np.array_equal(np.asarray(a), [1, -1])
    assert not a.equals(kernels.pack(np.array([1.0, -1.0, -1.0])))


@given(seeds)
def test_pixels_are_the_sum_of_their_planes(seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (3, 70), dtype=np.uint8)
    planes = kernels.split_planes(pixels)
    assert np.array_equal(planes.values(np.float64), 2.0 * pixels - 255)
    assert (planes.shape, planes.ndim, planes.size) == ((3, 70), 2, 210)


def test_planes_need_a_coefficient_each():
    with pytest.raises(InputError, match="coefficient"):
        BitPlanes(kernels.pack(numbers(0, (2, 3))), [1])
