"""Optimizer steps on a GPU, compared with the definition bit for bit."""

import numpy as np
import pytest
from strategies import signs

from bitnet.arrays import to_cpu
from bitnet.kernels import Product, reference

RNG = np.random.default_rng(0)
RULES = {
    "sgd": (1, [0.1, 0.9, 0.0]),
    "nesterov": (1, [0.1, 0.9, 1.0]),
    "adam": (2, [0.3, 0.1, 0.001, 1.5, 1e-8, 2.0]),
    "adamax": (2, [0.3, 0.1, 0.999, 1e-8, 2.0]),
    "shift_adamax": (2, [0.3, 0.1, 0.999, 0.0]),
    "shift_adamax_code": (2, [0.3, 0.1, 0.999, 2.0**-27]),
    "bop": (1, [0.5, 0.01]),
}
EDGES = [0.0, -0.0, 1.0, -1.0, 2**0.5, np.inf, -np.inf, np.nan]
EDGES += [1e-45, -3e-45, 1e-39, 5e-324, 3e38, 1e-160, 1e-310]


def bits_of(x):
    """Return the bits of numbers, with one pattern for all NaN."""
    x = np.where(np.isnan(x), np.array(np.nan, x.dtype), x) if x.dtype.kind == "f" else x
    return x.dtype, x.shape, x.tobytes()


def operands(rule, shape, dtype, clip=1.0):
    """Return arguments of `update`: weights of both signs, gradients and moments of many sizes."""

    def spread(scale):
        return (RNG.standard_normal(shape) * 10.0 ** RNG.uniform(-scale, 0, shape)).astype(dtype)

    moments, constants = RULES[rule]
    weight = np.sign(spread(1)) if rule == "bop" else spread(1)
    state = [spread(5), abs(spread(9))][:moments]
    words = reference.pack(weight).words
    return rule.replace("nesterov", "sgd"), weight, spread(5), state, constants, clip, words


def assert_same_step(to_gpu, given):
    """Compare a step on a GPU with the definition; both change their arrays."""
    from bitnet.kernels import cuda

    there = to_gpu(given)
    flips, expected = cuda.update(*there), None
    with np.errstate(all="ignore"):
        expected = reference.update(*given)
    there = to_cpu(there)
    for own, want in zip(
        (there[1], *there[3], there[6]), (given[1], *given[3], given[6]), strict=True
    ):
        assert want is None or bits_of(own) == bits_of(want)
    return flips, expected


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(2, 70), (1, 300), (2, 1, 2, 3)])
def test_two_steps(to_gpu, one_warp, rule, dtype, shape):
    first, second = (operands(rule, shape, dtype) for _ in range(2))
    for given in (first, (*first[:2], second[2], *first[3:])):
        flips, expected = assert_same_step(to_gpu, given)
        assert flips == expected


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_edges(to_gpu, one_warp, rule, dtype):
    """Gradients and moments are subnormal, huge or NaN, with and without a clip."""
    with np.errstate(over="ignore"):
        edges = np.array(EDGES, np.float64).astype(dtype)
    size = len(edges)
    for clip in (None, 0.5):
        given = list(operands(rule, (3, size), dtype, clip))
        given[2] = np.stack([edges, edges[::-1], 0 * np.ones(size, dtype)])
        given[3] = [abs(np.roll(np.stack([edges] * 3), k, axis=1)) for k, _ in enumerate(given[3])]
        flips, expected = assert_same_step(to_gpu, given)
        assert flips is expected is None
        given[2][:], given[6] = 0, None
        assert assert_same_step(to_gpu, given)[0] == 0  # NaN is not checked


@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_without_words(to_gpu, one_warp, rule):
    for shape in ((70,), (3, 5), (0, 4), (4, 0)):
        given = operands(rule, shape, np.float32)
        assert assert_same_step(to_gpu, (*given[:6], None)) == (0, 0)
        if len(shape) > 1 and 0 in shape:
            assert assert_same_step(to_gpu, given) == (0, 0)


def test_nan_that_comes_and_stays(to_gpu, one_warp):
    given = operands("adam", (3, 70), np.float32)
    given[2][2, 69] = np.nan
    assert assert_same_step(to_gpu, given) == (None, None)
    assert np.isnan(given[1]).sum() == 1


def test_weights_of_zero_and_moments_at_the_threshold(to_gpu, one_warp):
    """Zeros of both signs are +1, and m w equal to the threshold flips nothing."""
    weight = np.array([[1, -1, 0.25, -0.25, 0.0, -0.0]], np.float32)
    words, still = reference.pack(weight).words, np.zeros((1, 6), np.float32)
    grad = np.array([[1, -1, 0.5, -0.5, -0.0, 0.0]], np.float32)
    given = "sgd", weight.copy(), grad, [still.copy()], [1.0, 0.0, 0.0], 1.0, words.copy()
    assert assert_same_step(to_gpu, given) == (3, 3)
    signs_of = np.sign(weight[:, :4]).repeat(2, axis=1)
    grad = np.array([[1, 1.5, -1, -1.5, 1, 1.5, -1, -1.5]], np.float32)
    still, words = np.zeros((1, 8), np.float32), reference.pack(signs_of).words
    flips, expected = assert_same_step(
        to_gpu, ("bop", signs_of, grad, [still], [0.5, 0.5], None, words)
    )
    assert flips == expected == 4


def test_flips_of_several_blocks(to_gpu):
    given = operands("sgd", (5, 600), np.float32)
    given[2][:] = np.sign(given[1]) * RNG.integers(0, 20, given[1].shape)
    flips, expected = assert_same_step(to_gpu, given)
    assert flips == expected > 500


def test_gradients_that_are_not_contiguous_or_a_product(to_gpu, one_warp):
    from bitnet.kernels import cuda

    given = list(operands("adam", (3, 70), np.float32))
    given[2] = given[2].T.copy().T
    assert len(set(assert_same_step(to_gpu, given))) == 1
    numbers = reference.round_gradient(RNG.standard_normal((3, 4), np.float32), 7, None)
    matrix = reference.pack(signs(1, (4, 70)))
    given[2] = reference.signed_gemm(numbers, matrix)
    there = to_gpu(given)
    there[2] = Product(to_gpu(numbers), to_gpu(matrix))
    assert cuda.update(*there) == reference.update(*given)
    assert bits_of(to_cpu(there[1])) == bits_of(given[1])
