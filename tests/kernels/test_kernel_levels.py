"""Codes, their values in planes, and codes of integers, in every implementation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from bitnet import InputError, kernels
from bitnet.kernels import Codebook, Thresholds

STEPS = Thresholds(np.zeros((2, 1), np.int32), np.ones(2, bool))

pytestmark = pytest.mark.usefixtures("implementation")

TERNARY = Codebook([0, 1, 3], [1, 1], 0.5)
POWERS = Codebook([0b0000, 0b0001, 0b0011, 0b0111, 0b1111], [4, 2, 2, 4])  # -12, -4, 0, 4, 12
codebook = st.one_of(
    st.builds(Codebook.uniform, st.integers(1, 8), st.just(0.25), st.sampled_from([0, -1, 15])),
    st.sampled_from([TERNARY, POWERS]),
)
widths = st.sampled_from([0, 1, 63, 64, 65, 130])


@given(codebook, widths, seeds)
def test_codes_are_the_numbers_they_stand_for(own, n, seed):
    codes = np.random.default_rng(seed).integers(0, len(own), (3, 2, n), dtype=np.uint8)
    planes = own.planes(codes)
    np.testing.assert_array_equal(planes.integers(), own.integers[codes])
    np.testing.assert_array_equal(planes.values(), own.values()[codes])
    np.testing.assert_array_equal(own.codes(planes), codes)
    assert own.bits == max(1, int(np.ceil(np.log2(len(own)))))
    with kernels.using("reference"):
        assert own.planes(codes).bits == planes.bits


@given(st.integers(1, 8), st.integers(0, 4), widths, seeds)
def test_rank_counts_the_thresholds_that_are_passed(bits, rows, m, seed):
    rng = np.random.default_rng(seed)
    increasing = rng.random(m) < 0.5
    edges = [np.iinfo(np.int32).min, np.iinfo(np.int32).max]
    steps = np.sort(rng.choice([*edges, *range(-9, 10)], (m, 2**bits - 1)), axis=1)
    steps = np.where(increasing[:, None], steps, steps[:, ::-1]).astype(np.int32)
    z = rng.choice([*edges, *range(-10, 11)], (rows, m)).astype(np.int32)
    codes = kernels.rank(z, Thresholds(steps, increasing))
    assert codes.dtype == np.uint8
    for r, j in np.ndindex(z.shape):
        passed = [z[r, j] >= t if increasing[j] else z[r, j] <= t for t in steps[j]]
        assert codes[r, j] == sum(passed)


def test_one_threshold_is_the_sign():
    rng = np.random.default_rng(0)
    z, steps = rng.integers(-9, 9, (5, 70), np.int32), rng.integers(-5, 5, 70).astype(np.int32)
    increasing = rng.random(70) < 0.5
    codes = kernels.rank(z, Thresholds(steps[:, None], increasing))
    assert kernels.pack(codes == 1) == kernels.threshold(z, kernels.Thresholds(steps, increasing))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Codebook([0, 1], [-1]), "increasing numbers"),
        (lambda: Codebook([0, 0], [1]), "increasing numbers"),
        (lambda: Codebook([0, 1], [70000]), "at most 65536"),
        (lambda: Codebook([0, 1], [1], 0.0), "a unit above 0"),
        (lambda: Codebook([0, 1], [1], np.inf), "a unit above 0"),
        (lambda: Codebook([0, 1], [1], np.nan), "a unit above 0"),
        (lambda: Codebook([0, 5], [1, 1]), r"patterns \[0, 5\] have bits above the 2 planes"),
        (lambda: Codebook([4, 1], [1, 1]), "expected integers from 0 to 3"),
        (lambda: Codebook([0, 2**40], [1, 1]), "have bits above the 2 planes"),
        (lambda: Codebook([-1, 1], [1, 1]), "have bits above the 2 planes"),
        (lambda: Codebook([0, 1], [2**70]), r"expected a sum below 2\*\*31"),
        (lambda: Codebook([0, 1], [1], offset=-(2**70)), r"expected a sum below 2\*\*31"),
        (lambda: Codebook([0], [1]), "2 to 256"),
        (lambda: Codebook([0, 1], []), "2 to 256"),
        (lambda: Codebook.uniform(9), "from 1 to 8"),
        (lambda: Codebook.uniform(2.0), "from 1 to 8"),
        (lambda: TERNARY.planes(np.array([3], np.uint8)), "below 3"),
        (lambda: TERNARY.planes(np.array([1])), "expected uint8"),
        (lambda: Thresholds(np.zeros((3, 256), np.int32), np.ones(3, bool)), "255 or fewer"),
        (lambda: kernels.rank(np.zeros((2, 3), np.int32), STEPS), "expected int32"),
        (lambda: kernels.rank(np.zeros((2, 2)), STEPS), "expected integers"),
        (lambda: kernels.rank(np.zeros((2, 2), np.int32), STEPS.values), "expected int32"),
        (lambda: kernels.threshold(np.zeros((2, 2), np.int32), STEPS), "threshold"),
        (
            lambda: kernels.xnor_sign(
                kernels.pack(np.ones((2, 5))), kernels.pack(np.ones((2, 5))), STEPS
            ),
            "xnor_sign",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
