"""Packing in every implementation, compared with NumPy and a table of edge values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import ABOVE_ONE, BELOW_ONE, SMALLEST, numbers, rows, seeds, signs, widths

from bitnet import InputError, kernels
from bitnet.kernels import Codebook, Thresholds, reference
from bitnet.kernels.dispatch import kernel

pytestmark = pytest.mark.usefixtures("implementation")

#        x            bit  inside the window
EDGES = [
    (0.0, 1, 1),
    (-0.0, 1, 1),
    (SMALLEST, 1, 1),
    (-SMALLEST, 0, 1),
    (1.0, 1, 1),
    (-1.0, 0, 1),
    (BELOW_ONE, 1, 1),
    (-BELOW_ONE, 0, 1),
    (ABOVE_ONE, 1, 0),
    (-ABOVE_ONE, 0, 0),
    (np.inf, 1, 0),
    (-np.inf, 0, 0),
    (np.nan, 0, 0),
]


@pytest.mark.parametrize(("x", "bit", "inside"), EDGES)
@pytest.mark.parametrize("place", [0, 63, 64, 66])
def test_edges(x, bit, inside, place):
    for fill in (1.0, -1.0):
        row = np.full(67, fill, np.float32)
        row[place] = x
        assert (kernels.pack(row).signs()[place] > 0) == bool(bit)
        assert (kernels.pack_with_mask(row)[1].signs()[place] > 0) == bool(inside)


@given(rows, widths, seeds, st.sampled_from([np.float32, np.float64]))
def test_pack_and_mask_equal_the_definition(n_rows, n, seed, dtype):
    x = numbers(seed, (n_rows, n), dtype)
    bits, mask = kernels.pack_with_mask(x)
    assert bits == kernels.pack(x)
    assert bits.shape == mask.shape == x.shape
    assert np.array_equal(bits.signs() > 0, x >= 0)
    assert np.array_equal(mask.signs() > 0, abs(x) <= 1)
    assert bits.equals(reference.pack(x))  # the words too: padding is 0
    assert mask.equals(reference.pack_with_mask(x, 1.0)[1])


@given(widths, seeds)
def test_other_types(n, seed):
    x = np.random.default_rng(seed).integers(-2, 3, (2, n))
    for dtype in (np.int8, np.int32, np.int64):
        assert np.array_equal(kernels.pack(x.astype(dtype)).signs() > 0, x >= 0)
    for dtype in (np.uint8, np.uint16, np.uint32, np.uint64):  # all +1, with padding bits 0
        expected = kernels.pack(np.ones(x.shape))
        assert kernels.pack(x.astype(dtype)) == expected
    assert np.array_equal(kernels.pack(x > 0).signs() > 0, x > 0)


@given(st.sampled_from([(), (0,), (1,), (3,), (2, 3)]), widths, seeds)
def test_booleans_equal_the_definition(axes, n, seed):
    x = np.random.default_rng(seed).random((*axes, n)) < 0.5
    for own in (x, x[..., ::-1], x.T.copy().T):
        bits = kernels.pack(own)
        assert np.array_equal(bits.signs() > 0, own)
        assert bits.equals(reference.pack(own))  # the words too: padding is 0


@pytest.mark.parametrize("n", [63, 64, 65])
def test_booleans_in_more_than_one_block_equal_the_definition(n):
    x = np.random.default_rng(n).random((5000, n)) < 0.5
    assert kernels.pack(x).equals(reference.pack(x))


@given(widths, seeds)
def test_unpack_is_the_inverse(n, seed):
    x = signs(seed, (2, 3, n))
    for dtype in (np.float32, np.float64, np.int8):
        y = kernels.unpack(kernels.pack(x), dtype)
        assert y.dtype == dtype
        assert np.array_equal(y, x)


@pytest.mark.parametrize("window", [0.1, 0.5, 2.0])
def test_the_window_is_rounded_to_the_type_of_the_numbers(window):
    for dtype in (np.float32, np.float64):
        edge = dtype(window)
        x = np.array([edge, -edge, np.nextafter(edge, dtype(9)), -np.nextafter(edge, dtype(9))])
        for given_window in (window, np.float64(window), np.float32(window)):
            if dtype(given_window) == edge:
                _, mask = kernels.pack_with_mask(x, given_window)
                assert (mask.signs() > 0).tolist() == [True, True, False, False]


def test_views_that_are_not_contiguous():
    x = numbers(3, (70, 130))
    for view in (x.T, x[::2, 1::3], x[:, ::-1]):
        assert kernels.pack(view).equals(reference.pack(np.ascontiguousarray(view)))


@given(widths, widths, seeds)
def test_transpose(n_rows, n, seed):
    x = signs(seed, (n_rows, n))
    assert kernel(reference.transpose)(kernels.pack(x)) == reference.pack(x.T)
    assert kernels.pack(x.T) == reference.pack(x.T)


@given(rows, widths, seeds)
def test_where(n_rows, n, seed):
    mask, x = signs(seed, (n_rows, n)) > 0, numbers(seed + 1, (n_rows, n))
    assert np.array_equal(kernels.where(kernels.pack(mask), x), np.where(mask, x, 0))


def test_where_leaves_no_nan_behind():
    x = np.array([np.nan, 1.0], np.float32)
    assert kernels.where(kernels.pack(np.array([False, True])), x).tolist() == [0.0, 1.0]


@given(rows, widths, seeds)
def test_split_planes(n_rows, n, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (n_rows, n), dtype=np.uint8)
    planes = kernels.split_planes(pixels)
    assert planes.bits.equals(reference.split_planes(pixels).bits)
    for p in range(8):
        assert np.array_equal(planes.bits[p].signs() > 0, pixels >> p & 1 == 1)


@given(rows, widths, seeds)
def test_threshold_at_below_and_above(n_rows, n, seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(-5, 6, n).astype(np.int32)
    steps = Thresholds(values, rng.random(n) < 0.5)
    z = (values + rng.integers(-1, 2, (n_rows, n))).astype(np.int32)
    bits = kernels.threshold(z, steps)
    assert np.array_equal(bits.signs() > 0, np.where(steps.increasing, z >= values, z <= values))
    assert bits.equals(reference.threshold(z, steps))


@given(widths, seeds)
def test_count_flips(n, seed):
    a, b = signs(seed, (3, n)), signs(seed + 1, (3, n))
    assert kernels.count_flips(kernels.pack(a), kernels.pack(b)) == int((a != b).sum())


@given(rows, st.lists(widths, min_size=1, max_size=4), seeds)
def test_side_by_side(n_rows, sizes, seed):
    parts = [signs(seed + i, (n_rows, 2, n)) for i, n in enumerate(sizes)]
    joined = kernels.concatenate([kernels.pack(part) for part in parts])
    assert joined == kernels.pack(np.concatenate(parts, axis=-1))
    assert np.array_equal(kernels.concatenate(parts), np.concatenate(parts, axis=-1))


@given(widths, widths, seeds)
def test_planes_side_by_side(n, m, seed):
    codebook, rng = Codebook.uniform(3, 0.25, 7), np.random.default_rng(seed)
    codes = [rng.integers(0, 8, (2, size)).astype(np.uint8) for size in (n, m)]
    joined = kernels.concatenate([codebook.planes(part) for part in codes])
    assert np.array_equal(joined.values(), codebook.values()[np.concatenate(codes, axis=1)])


def steps(n):
    return Thresholds(np.ones(n, np.int32), np.ones(n, bool))


@pytest.mark.parametrize(
    "call",
    [
        lambda: kernels.pack([1.0, 2.0]),
        lambda: kernels.pack(np.array(1.0)),
        lambda: kernels.pack(np.array(["a"])),
        lambda: kernels.pack(np.array([1j])),
        lambda: kernels.pack(np.ones(3, np.float16)),
        lambda: kernels.pack(np.ones(3, ">f4")),
        lambda: kernels.pack(np.ones(3, np.longdouble)),
        lambda: kernels.where(kernels.pack(np.ones(3)), [1.0, 2.0, 3.0]),
        lambda: kernels.threshold(np.ones((2, 3)), steps(3)),
        lambda: kernels.threshold(np.ones((2, 3), np.int32), steps(2)),
        lambda: Thresholds(np.ones(3), np.ones(3, bool)),
        lambda: Thresholds(np.ones(2, np.int32), np.ones(3, bool)),
        lambda: kernels.pack_with_mask(np.array([1, 2])),
        lambda: kernels.unpack(np.ones(3)),
        lambda: kernels.where(kernels.pack(np.ones(3)), np.ones(4)),
        lambda: kernels.split_planes(np.ones(3)),
        lambda: kernels.concatenate([]),
        lambda: kernels.concatenate([kernels.pack(np.ones(3)), np.ones(3)]),
        lambda: kernels.concatenate([kernels.pack(np.ones((2, 3))), kernels.pack(np.ones(3))]),
        lambda: kernels.concatenate(
            [codebook.planes(np.ones(3, np.uint8)) for codebook in map(Codebook.uniform, (1, 2))]
        ),
        lambda: kernels.count_flips(kernels.pack(np.ones(3)), kernels.pack(np.ones(4))),
    ],
)
def test_what_does_not_fit_is_refused(call):
    with pytest.raises(InputError):
        call()
