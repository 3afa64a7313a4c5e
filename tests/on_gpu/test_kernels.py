"""Every kernel returns the same for CuPy arrays as for NumPy arrays, exactly for integers."""

import inspect

import numpy as np
import pytest
import same_numbers

from bitnet import kernels
from bitnet.devices import to_cpu, to_gpu
from bitnet.kernels import BitPlanes, Bits, Codebook, Product, Rounding, Thresholds, Window
from bitnet.kernels import reference as definitions
from bitnet.kernels.dispatch import kernel

RNG = np.random.default_rng(7)
X, W = RNG.standard_normal((5, 130)).astype(np.float32), RNG.standard_normal((6, 130))
X[0, :4] = 0.0, -0.0, 1.0, -1.0
PIXELS = RNG.integers(0, 256, (5, 130), dtype=np.uint8)
IMAGES = RNG.standard_normal((2, 6, 5, 4)).astype(np.float32)
PICTURES = RNG.integers(0, 256, (2, 6, 5, 4), dtype=np.uint8)
FILTERS = RNG.standard_normal((4, 3, 3, 4))
WINDOW = Window((3, 3), (2, 1), ((1, 1), (1, 0)))
WHITE = Window((3, 3), (1, 1), ((1, 1), (1, 1)), border=1)
POOL = Window((2, 2), (2, 2), ((0, 1), (1, 0)))
Z = RNG.integers(-50, 50, (5, 6)).astype(np.int32)
ZEROS, GRAD = np.zeros((5, 6), np.float32), RNG.standard_normal((5, 6)).astype(np.float32)
STEPS = Thresholds(RNG.integers(-9, 9, 6).astype(np.int32), RNG.integers(0, 2, 6) > 0)
RANKS = Thresholds(
    np.sort(RNG.integers(-30, 30, (6, 3)), axis=1).astype(np.int32), np.ones(6, bool)
)
MEAN, SCALE = RNG.standard_normal((2, 6)).astype(np.float32)
TWO_BITS = Codebook.uniform(2)
CODES = RNG.integers(0, 4, (5, 130), dtype=np.uint8)
WEIGHT_CODES = RNG.integers(0, 4, (6, 130), dtype=np.uint8)


def bits(x):
    return kernels.pack(x)


def few(codes):
    return TWO_BITS.planes(codes)


def in_place(kernel, arrays, *operands):
    """Call a kernel on copies of arrays, which it changes, and return the copies."""
    own = [array.copy() for array in arrays]
    return kernel(own, *operands), own


def cell(kind, gates):
    """Make a case: a step of a recurrent layer, forward and backward."""

    def run(z, grad, move):
        z, product = move(np.tile(z, gates)), move(np.tile(Z, gates))
        before, after, h, grad_z, grad_p = (move(own.copy()) for own in (grad, grad, ZEROS, *OUT))
        grad_z, grad_p = move(np.tile(ZEROS, gates)), move(np.tile(ZEROS, gates))
        if kind == "rnn":
            kernels.cells.rnn_step(z, product, 0.01, False, h)
            kernels.cells.rnn_back(h, before, False, grad_z)
        elif kind == "relu":
            kernels.cells.rnn_step(z, product, 0.01, True, h)
            kernels.cells.rnn_back(h, before, True, grad_z)
        elif kind == "lstm":
            kernels.cells.lstm_step(z, product, 0.01, before, after, h)
            kernels.cells.lstm_back(z, before, after, h.copy(), move(grad.copy()), grad_z)
        else:
            kernels.cells.gru_step(z, product, 0.01, before, after, h)
            kernels.cells.gru_back(z, after, before, move(grad.copy()), grad_z, grad_p)
        return z, after, h, grad_z, grad_p

    return run


OUT = ZEROS, ZEROS


def step(rule, n_states, constants, seed=None):
    """Make a case: two optimizer steps on a matrix with its signs; in bfloat16 with a seed."""

    def run(move):
        weight = move(np.clip(np.sign(X) if rule == "bop" else X, -1, 1))
        words, state = (
            kernels.pack(weight).words.copy(),
            [move(np.zeros(X.shape, np.uint16 if seed else np.float32)) for _ in range(n_states)],
        )
        grad = move(np.cos(X * 9))
        more = constants, 1.0, words, seed
        return [
            [kernels.update(rule, weight, grad, state, *more) for _ in range(2)],
            weight,
            words,
            state,
        ]

    return run


def rounding(x, rule):
    """Return a rounded gradient; every call draws the same seed."""
    return kernels.round_gradient(
        x, rule, np.random.default_rng(0) if rule.kind == "dorefa" else None
    )


def added(move):
    y = move(np.zeros((3, 6), np.float32))
    kernels.add_rows(y, move(np.array([2, 0, 2, 2, 1])), move(GRAD))
    return y


# by kernel of the reference: a function of `move` that calls it
CASES = {
    "pack": lambda move: bits(move(X)),
    "pack_with_mask": lambda move: kernels.pack_with_mask(move(X), 0.5),
    "transpose": lambda move: kernel(definitions.transpose)(bits(move(X))),
    "prepare": lambda move: kernels.prepare(bits(move(X))),
    "unpack": lambda move: kernels.unpack(bits(move(X))),
    "where": lambda move: kernels.where(bits(move(W[:5])), move(X)),
    "split_planes": lambda move: kernels.split_planes(move(PIXELS)),
    "split_codes": lambda move: few(move(CODES)),
    "concatenate": lambda move: [
        kernels.concatenate([bits(move(X)), bits(move(W[:5, :3]))]),
        kernels.concatenate([few(move(CODES)), few(move(CODES[:, :7]))]),
        kernels.concatenate([move(X), move(X)]),
    ],
    "count_flips": lambda move: kernels.count_flips(bits(move(X)), bits(move(W[:5]))),
    "threshold": lambda move: kernels.threshold(move(Z), STEPS._moved(move)),
    "rank": lambda move: kernels.rank(move(Z), RANKS._moved(move)),
    "step_codes": lambda move: [
        kernels.step_codes(move(X), 1.5, -1.5, 1.5),
        kernels.step_codes(move(X), 2.0, -4, 3, nearest=True),
    ],
    "edge_codes": lambda move: kernels.edge_codes(move(X), [0.3, 0.9], signed=True),
    "xnor_gemm": lambda move: kernels.xnor_gemm(bits(move(X)), bits(move(W))),
    "xnor_sign": lambda move: kernels.xnor_sign(bits(move(X)), bits(move(W)), STEPS._moved(move)),
    "plane_gemm": lambda move: [
        kernels.plane_gemm(move(PIXELS), bits(move(W))),
        kernels.plane_gemm(few(move(CODES)), few(move(WEIGHT_CODES))),
    ],
    "signed_gemm": lambda move: [
        kernels.signed_gemm(move(GRAD), bits(move(W))),
        kernels.signed_gemm(rounding(move(GRAD), Rounding("int", 8)), few(move(WEIGHT_CODES))),
        Product(rounding(move(GRAD).T, Rounding("dorefa", 6)), move(PIXELS)).array(),
    ],
    "round_gradient": lambda move: [
        rounding(move(X), Rounding("int", 8)),
        rounding(move(X), Rounding("dorefa", 5)),
        kernels.round_gradient(move(X), 8, np.random.default_rng(3)),
        kernels.round_gradient(move(X[:0]), 8),
    ],
    "powers": lambda move: [rounding(move(x), Rounding("log", 4)) for x in (X, X[:0], X / 0 * X)],
    "xnor_conv": lambda move: [
        kernels.xnor_conv(bits(move(IMAGES)), bits(move(FILTERS)), window)
        for window in (WINDOW, WHITE)
    ],
    "xnor_conv_sign": lambda move: kernels.xnor_conv_sign(
        *(bits(move(IMAGES)), bits(move(FILTERS[..., :2])), WINDOW),
        Thresholds(STEPS.values[:4], STEPS.increasing[:4])._moved(move),
        groups=2,
    ),
    "plane_conv": lambda move: kernels.plane_conv(move(PICTURES), bits(move(FILTERS)), WHITE),
    "gradient_of_images": lambda move: [
        kernels.gradient_of_images(
            move(IMAGES[:, :3, :4]), bits(move(FILTERS[..., :own])), WINDOW, (6, 5), rule, groups=n
        )
        for rule in (None, 8, Rounding("log", 5))
        for own, n in ((4, 1), (2, 2))
    ],
    "gradient_of_filters": lambda move: [
        kernels.gradient_of_filters(move(IMAGES[:, :3, :4]), x, WINDOW, rule, groups=n)
        for rule in (None, 8)
        for x in (bits(move(IMAGES)), move(PICTURES))
        for n in (1, 2)
    ],
    "max_pool": lambda move: [
        kernels.max_pool(move(x), POOL) for x in (IMAGES, PICTURES, (IMAGES * 9).astype(np.int32))
    ],
    "max_pool_backward": lambda move: kernels.max_pool_backward(
        move(IMAGES[:, :3, :3]), kernels.max_pool(move(IMAGES), POOL)[1], POOL, (6, 5)
    ),
    "max_pool_bits": lambda move: [
        kernels.max_pool_bits(bits(move(IMAGES)), POOL),
        kernels.max_pool_bits(few(move(PICTURES & 3)), POOL),
    ],
    "max_pool_bits_backward": lambda move: kernels.max_pool_bits_backward(
        *(move(IMAGES[:, :3, :3]), bits(move(IMAGES))),
        *(kernels.max_pool_bits(bits(move(IMAGES)), POOL), POOL),
    ),
    "add_patches": lambda move: kernels.add_patches(
        move(np.ones((2, 3, 3, 2, 2, 4), np.float32)), POOL, (6, 5)
    ),
    "column_moments": lambda move: [
        kernels.column_moments(move(z)) for z in (Z, Z * 2**25, Z + 2**30)
    ],
    "normalize_sign": lambda move: [
        kernels.normalize_sign(move(Z), move(MEAN), move(SCALE), move(MEAN), window)
        for window in (None, 1.0)
    ],
    "batch_norm_backward": lambda move: [
        kernels.batch_norm_backward(
            move(GRAD), mask, move(Z), move(MEAN), move(abs(SCALE)), move(SCALE)
        )
        for mask in (None, bits(move(GRAD)))
    ],
    "ordered_gemm": lambda move: [
        kernels.ordered_gemm(move(X), move(W.T.astype(np.float32, order="C")), bias)
        for bias in (None, move(MEAN))
    ],
    "ordered_sum": lambda move: [
        kernels.ordered_sum(move(IMAGES), axes) for axes in ((), (0, 2), (3,), (0, 1, 2, 3))
    ],
    "count_edges": lambda move: kernels.count_edges(move(X), move(np.float32([-1, 0, 0.5]))),
    "update": lambda move: [
        step("sgd", 1, [0.1, 0.9, 1.0])(move),
        step("adam", 2, [0.1, 0.1, 0.01, 1.5, 1e-8, 2.0])(move),
        step("adam", 2, [0.1, 0.1, 0.01, 1.5, 1e-8, 2.0], seed=2**40 + 3)(move),
        step("adamax", 2, [0.1, 0.1, 0.99, 1e-8, 2.0])(move),
        step("shift_adamax", 2, [0.1, 0.125, 0.99, 0.0])(move),
        step("shift_adamax_code", 2, [0.1, 0.1, 0.999, 2.0**-27])(move),
        step("bop", 1, [0.5, 0.1])(move),
    ],
    "ap2": lambda move: kernels.ap2(move(X * np.float32([[1e-40], [1], [1e30], [np.inf], [3]]))),
    "add_rows": added,
    "affine": lambda move: kernels.affine(move(Z), 0.3, move(MEAN)),
    "rnn_step": lambda move: cell("rnn", 1)(GRAD, GRAD, move),
    "rnn_back": lambda move: cell("relu", 1)(GRAD, GRAD, move),
    "lstm_step": lambda move: cell("lstm", 4)(GRAD, GRAD, move),
    "lstm_back": lambda move: cell("lstm", 4)(-GRAD, GRAD, move),
    "gru_step": lambda move: cell("gru", 3)(GRAD, GRAD, move),
    "gru_back": lambda move: cell("gru", 3)(-GRAD, GRAD, move),
}
# kernels whose floats are rounded on a GPU one by one, in the definition's order
EXACT = {"batch_norm_backward", "normalize_sign", "ordered_gemm", "ordered_sum", "round_gradient"}
EXACT |= {"update"}
HELPERS = {"beyond", "bitwise_count", "centre_of", "flip", "integers", "moments", "multiply"}
HELPERS |= {"narrowed", "random_bits", "tanh", "uniform", "widened"}


def arrays_of(x, name="y"):
    """Return all arrays and numbers in a result, by name."""
    if isinstance(x, (tuple, list)):
        return {k: v for i, own in enumerate(x) for k, v in arrays_of(own, f"{name}.{i}").items()}
    if isinstance(x, BitPlanes):
        return arrays_of(x.bits, name) | {f"{name}.unit": x.unit, f"{name}.scale": x.scale}
    if isinstance(x, Bits):
        return {name: x.words}
    if isinstance(x, kernels.Quantized):
        return {f"{name}.values": x.values, f"{name}.scales": x.scales}
    return {} if x is None else {name: x}


def test_every_kernel_has_a_case():
    functions = filter(inspect.isfunction, vars(definitions).values())
    names = {own.__name__ for own in functions if own.__module__.startswith(definitions.__name__)}
    assert names - HELPERS == CASES.keys()


@pytest.mark.parametrize("name", CASES)
def test_kernel(gpu, name):
    with kernels.using("reference"), np.errstate(all="ignore"):
        expected = arrays_of(CASES[name](lambda x: x))
    with np.errstate(all="ignore"):
        found = CASES[name](to_gpu)
    assert all(not isinstance(x, np.ndarray) for x in arrays_of(found).values())
    limits = {"rtol": 0, "atol": 0} if name in EXACT else {}
    same_numbers.assert_same(gpu, arrays_of(to_cpu(found)), expected, **limits)
