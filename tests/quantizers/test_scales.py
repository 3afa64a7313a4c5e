"""The scale of a matrix minimizes the error for normal weights, for every quantizer."""

import numpy as np
import pytest

from bitnet import InputError
from bitnet.quantizers import DoReFa, LinearQuant, LogQuant, Ternary, Uniform
from bitnet.quantizers.scales import normal_scale, scale_of

ALL = [
    *map(Uniform, range(1, 9)),
    Uniform(3, 0.25),
    LinearQuant(4, 0.125),
    LogQuant(4),
    Ternary(),
    DoReFa(3),
]
N = np.random.default_rng(0).standard_normal(20000)


def error(scale, quantizer):
    return np.mean((scale * quantizer.values(N / scale) - N) ** 2)


@pytest.mark.parametrize("quantizer", ALL, ids=lambda q: q.name)
def test_no_other_scale_is_much_nearer(quantizer):
    scale = normal_scale(quantizer)
    for factor in (0.7, 0.85, 1.2, 1.5):
        assert error(scale, quantizer) <= 1.03 * error(scale * factor, quantizer)


def test_more_bits_are_nearer_and_reach_further():
    scales = [normal_scale(Uniform(k)) for k in range(1, 9)]
    assert scales == sorted(scales)
    errors = [error(s, Uniform(k)) for k, s in enumerate(scales, 1)]
    assert errors == sorted(errors, reverse=True)
    assert abs(scales[0] - np.sqrt(2 / np.pi)) < 0.02  # one bit: the mean of |n|


def test_the_scale_compensates_max_value():
    assert normal_scale(Uniform(3, 0.25)) == pytest.approx(4 * normal_scale(Uniform(3)))


def test_the_scale_of_a_matrix_is_its_size():
    x = N.reshape(100, 200).astype(np.float32)
    one = scale_of(x, Uniform(4))
    assert one == pytest.approx(normal_scale(Uniform(4)) * np.sqrt((N**2).mean()), rel=1e-5)
    assert scale_of(x * np.float32(2), Uniform(4)) == pytest.approx(2 * one, rel=1e-5)
    assert scale_of(np.zeros((2, 3), np.float32), Uniform(4)) == normal_scale(Uniform(4))


@pytest.mark.parametrize("bad", [np.nan, np.inf, 3e38])
def test_weights_without_a_size_are_refused(bad):
    with pytest.raises(InputError, match="NaN, infinity"):
        scale_of(np.float32([[1.0, bad]]), Uniform(4))
