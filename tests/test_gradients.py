"""Compare the backward of every operation with differences of its forward."""

import sys

import numpy as np
import pytest
import recurrent_cases

import bitnet.nn.functional as F  # noqa: N812
from bitnet import Function, Tensor, kernels
from bitnet.autograd import check_gradient
from bitnet.kernels import BitPlanes, Window
from bitnet.nn.functional.norm import BatchNorm
from bitnet.quantizers import ApproxSign, LinearQuant, LogQuant, Ternary, Uniform

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 5))
Y = RNG.standard_normal((3, 5)) + 3.0
ROW, COLUMN = RNG.standard_normal(5), RNG.standard_normal((3, 1))
BIAS_ROW = ROW + 1
WEIGHT, BIAS = RNG.standard_normal((4, 5)), RNG.standard_normal(4)
SIGNS, SIGN_WEIGHT = RNG.choice([-1.0, 1.0], (3, 70)), RNG.choice([-1.0, 1.0], (4, 70))
PIXELS = RNG.integers(0, 256, (3, 70), dtype=np.uint8)
WINDOW = Window((2, 3), (2, 1), ((1, 0), (1, 2)))
WHITE = Window((2, 3), (1, 2), ((1, 0), (1, 2)), border=1)
APART = Window((2, 3), (2, 1), ((1, 0), (2, 1)), border=-1, dilation=(3, 2))
IMAGES, FILTERS = RNG.standard_normal((3, 5, 4, 3)), RNG.standard_normal((4, 2, 3, 3))
SIGN_IMAGES, SIGN_FILTERS = RNG.choice([-1.0, 1.0], (3, 5, 4, 3)), np.sign(FILTERS)
PIXEL_IMAGES, NO_BIAS = RNG.integers(0, 256, (3, 5, 4, 3), dtype=np.uint8), np.zeros(4)
LABELS, SHARES, PRESENT = np.array([0, 4, 2]), np.array([1.0, 0, 2, 5, 0.5]), X > 0
EYE = np.eye(70) * 2 - 1


def product(x, w):
    """Multiply packed signs; sign passes every gradient, so its surrogate is x itself."""
    return F.quantized_linear(F.sign(x, clip_value=None), F.sign(w, clip_value=None))


def after_integers(quantizer):
    """Return a product whose integers are quantized."""
    return lambda x, w: F.unpack(quantizer(product(x, w)), np.float64)


def convolution(x, w, window=WINDOW, groups=1):
    signs = F.sign(x, clip_value=None), F.sign(w, clip_value=None)
    return F.quantized_conv2d(*signs, window, groups=groups)


TWO_BITS, THREE_BITS = np.array([-3, -1, 1, 3]) / 3, np.arange(-7, 8, 2) / 7


def low_bit(product):
    """Return a product in units of 1/3 and 1/7; its quantizers pass every gradient."""

    def quantized_product(x, w):
        codes = F.quantize(x, Uniform(2), straight=True), F.quantize(w, Uniform(3), straight=True)
        return product(*codes)

    return quantized_product


def in_three_groups(x, w, bias=BIAS[:3]):
    return F.conv2d(x, w, bias, WINDOW, groups=3)


def normalized_signs(x, w, gamma, beta):
    return F.unpack(F.batch_norm_sign(product(x, w), gamma, beta), np.float64)


class Shifted:
    """The surrogates of shift-based batch norm around a point."""

    def __init__(self, x, gamma, beta, eps=1e-5):
        self.c = x - x.mean(axis=0)
        self.power = kernels.ap2(self.c)
        self.inv_std = 1 / np.sqrt((self.c * self.power).mean(axis=0) + eps)
        self.shift, self.gamma_shift = kernels.ap2(self.inv_std), kernels.ap2(gamma)
        self.gamma, self.eps = gamma, eps

    def paper(self, x, gamma, beta):
        """Compute the lines printed in the paper, with v + (AP2(v0) - v0) for each AP2(v)."""
        c = x - x.mean(axis=0)
        variance = (c * (c + (self.power - self.c))).mean(axis=0)
        shift = (variance + self.eps) ** -0.5 + (self.shift - self.inv_std)
        return c * shift * (gamma + (self.gamma_shift - self.gamma)) + beta

    def code(self, x, gamma, beta):
        """Compute the linear function whose transpose the code of the authors computes."""
        along = self.power * ((x * self.power).mean(axis=0) * self.shift**2)
        scale = self.shift * self.gamma_shift
        return (x - x.mean(axis=0) - along) * scale + gamma * (self.power * self.shift) + beta


SHIFTED = Shifted(X, ROW, BIAS_ROW)
POOL = Window((2, 3), (2, 1), ((1, 0), (1, 1)))


def pooled_signs(x):
    return F.unpack(F.max_pool2d(F.sign(x, clip_value=None), POOL), np.float64)


def pooled_by_hand(x):
    """Take the first +1 of each window of SIGN_IMAGES, or its first tap: linear in x."""
    first = kernels.max_pool(SIGN_IMAGES, POOL)[1]
    taps = np.eye(first.size).reshape(first.size, *first.shape)
    rows = [kernels.max_pool_backward(tap, first, POOL, (5, 4)).ravel() for tap in taps]
    return (x.reshape(1, -1) @ np.array(rows).T).reshape(*first.shape)


def side_by_side(x, y):
    return F.unpack(F.concatenate(*(F.sign(part, clip_value=None) for part in (x, y))), np.float64)


def draw(seed=5):
    return np.random.default_rng(seed)


def dropped_signs(x):
    """Drop packed signs, and unpack the rest: with a fixed mask this is linear in x."""
    planes = F.dropout(F.sign(x, clip_value=None), 0.5, draw())
    return F.quantized_linear(planes, F.sign(EYE))


def dropped_by_hand(x):
    keep = draw().random(SIGNS.shape, dtype=np.float32) >= 0.5
    return F.arithmetic.matmul(F.arithmetic.multiply(x, keep * 2.0), EYE)


def quantized(quantizer, straight=False):
    return lambda x: F.unpack(F.quantize(x, quantizer, straight), np.float64)


def clipped(low, high):
    return lambda x: F.hardtanh((x - low) * (2 / (high - low)) - 1) * ((high - low) / 2)


def parabola(x):
    """Compute t (2 - |t|) of t = clip(x, -1, 1), the integral of max(0, 2 - 2 |x|)."""
    t = F.hardtanh(x)
    return t * (2 - F.relu(t) - F.relu(-t))


WEIGHTS = Uniform(3, clip_value=0.5)
SURROGATES = [
    (Uniform(2), F.hardtanh, (-1, 1)),
    (Uniform(2, max_value=0.5, clip_value=2.0), clipped(-2, 2), (-2, 2)),
    (WEIGHTS, lambda x: x, ()),
    (LinearQuant(3, 0.25), clipped(-1.0, 0.75), (-1, 0.75)),
    (LinearQuant(2, 0.5, signed=False), clipped(0.0, 1.5), (0, 1.5)),
    (LogQuant(3), F.hardtanh, (-1, 1)),
    (LogQuant(2, largest=1, signed=False), clipped(0.0, 2.0), (0, 2)),
    (Ternary(), F.hardtanh, (-1, 1)),
    (ApproxSign(), parabola, (-1, 0, 1)),
]


# Function -> the calls of check_gradient that cover it
CASES = {
    "Add": [
        ((F.arithmetic.add, X, Y), {"batched": (0, 1)}),
        ((F.arithmetic.add, X, ROW), {}),
        ((F.arithmetic.add, X, COLUMN), {"batched": (0, 1)}),
    ],
    "Subtract": [
        ((F.arithmetic.subtract, X, ROW), {}),
        ((F.arithmetic.subtract, ROW, X), {"batched": (1,)}),
    ],
    "Multiply": [
        ((F.arithmetic.multiply, X, Y), {"batched": (0, 1)}),
        ((F.arithmetic.multiply, X, ROW), {}),
    ],
    "Divide": [
        ((F.arithmetic.divide, X, Y), {"batched": (0, 1)}),
        ((F.arithmetic.divide, ROW, Y), {"batched": (1,)}),
    ],
    "Negate": [((F.arithmetic.negate, X), {})],
    "Power": [((lambda x: x**3, X), {}), ((lambda x: x**-0.5, Y), {})],
    "Exp": [((lambda x: x.exp(), X), {})],
    "Log": [((lambda x: x.log(), Y), {})],
    "Tanh": [((lambda x: x.tanh(), X), {})],
    "Sigmoid": [((lambda x: x.sigmoid(), X), {})],
    "Abs": [((lambda x: x.abs(), X), {"kinks": (0,)})],
    "Max": [
        ((lambda x: x.max(), X), {"batched": ()}),
        ((lambda x: x.max(axis=1), X), {}),
        ((lambda x: x.max(axis=(-1, 0), keepdims=True), X), {"batched": ()}),
    ],
    "Maximum": [((F.maximum, X, -X + 0.1), {"batched": (0, 1)}), ((F.maximum, X, ROW), {})],
    "Minimum": [
        ((F.minimum, X, -X + 0.1), {"batched": (0, 1)}),
        ((lambda x: x.clamp(-0.7, 0.4), X), {"kinks": (-0.7, 0.4)}),
        ((lambda x: x.clamp(high=0.4), X), {"kinks": (0.4,)}),
    ],
    "Where": [
        ((lambda a, b: F.where(X > 0, a, b), X, Y), {"batched": ()}),
        ((lambda a, b: F.where(ROW > 0, a, b), X, COLUMN), {"batched": (0, 1)}),
        ((lambda a, b: F.where(X[:, :1] > 0, a, b), X, ROW), {"batched": ()}),
    ],
    # made of other operations
    "sqrt": [((lambda x: x.sqrt(), abs(Y)), {})],
    "min": [((lambda x: x.min(axis=1), X), {}), ((lambda x: x.min(), X), {"batched": ()})],
    "var": [((lambda x: x.var(axis=-1), X), {}), ((lambda x: x.std(), X), {"batched": ()})],
    "softmax": [
        ((lambda x: x.softmax(), X), {}),
        ((lambda x: x.softmax(axis=0), X), {"batched": ()}),
        ((lambda x: x.log_softmax(), X), {}),
    ],
    "stack": [((lambda a, b: F.stack(a, b, axis=1), X, Y), {"batched": (0, 1)})],
    "squeeze": [((lambda x: x.unsqueeze(1).squeeze(-2), X), {})],
    "relu": [((lambda x: x.relu(), X), {"kinks": (0,)})],
    "GetItem": [
        ((lambda x: x[1:, ::2], X), {"batched": ()}),
        ((lambda x: x[..., None, -1], X), {}),
        ((lambda x: x[[0, 2, 0], [1, 1, 1]], X), {"batched": ()}),
        ((lambda x: x[X > 0], X), {"batched": ()}),
        ((lambda x: x[:, Tensor(np.array([3, 0, 3]))], X), {}),
    ],
    "Sum": [
        ((F.shapes.sum, X), {}),
        ((lambda x: x.sum(axis=0), X), {}),
        ((lambda x: x.sum(axis=(0, -1), keepdims=True), X), {}),
    ],
    "Concatenate": [
        ((F.concatenate, X, Y), {"batched": (0, 1)}),
        ((side_by_side, SIGNS, X), {"surrogate": F.concatenate, "batched": (0, 1)}),
    ],
    "Mean": [((F.shapes.mean, X), {"batched": ()}), ((lambda x: x.mean(axis=-1), X), {})],
    "Reshape": [
        ((lambda x: x.reshape(-1, 5, 1), X), {}),
        (
            (lambda x: F.unpack(F.reshape(F.sign(x, None), len(x), 1, 70), np.float64), SIGNS),
            {"surrogate": lambda x: x.reshape(len(x), 1, 70)},
        ),
    ],
    "Transpose": [((F.shapes.transpose, X), {}), ((lambda x: x.transpose(1, 0), X), {})],
    "MatMul": [((lambda x, w: x @ w.T, X, WEIGHT), {})],
    "Linear": [((F.linear, X, WEIGHT, BIAS), {})],
    "ReLU": [((F.relu, X), {"kinks": (0,)})],
    "PReLU": [
        ((F.prelu, X, ROW), {"kinks": (0,)}),
        ((F.prelu, X.reshape(3, 5, 1), ROW[:1]), {"kinks": (0,)}),
        ((F.prelu, IMAGES, ROW[:1]), {"kinks": (0,)}),
        (
            (lambda x, w, s: F.prelu(product(x, w), s), SIGNS[:, 1:], SIGN_WEIGHT[:, 1:], BIAS),
            {"surrogate": lambda x, w, s: F.prelu(x @ w.T, s), "batched": (0,)},
        ),
    ],
    "HardTanh": [((F.hardtanh, X), {"kinks": (-1, 1)})],
    "Sign": [
        (
            (lambda x: F.unpack(F.sign(x), np.float64), X * 2),
            {"surrogate": F.hardtanh, "kinks": (-1, 1)},
        ),
        (
            (lambda x: F.unpack(F.sign(x, clip_value=0.5), np.float64), X),
            {"surrogate": lambda x: F.hardtanh(x * 2) / 2, "kinks": (-0.5, 0.5)},
        ),
        (
            (lambda x: F.unpack(F.sign(x, clip_value=None), np.float64), X * 2),
            {"surrogate": lambda x: x},
        ),
        (
            (after_integers(lambda z: F.sign(z, clip_value=9.5)), SIGNS, SIGN_WEIGHT),
            {"surrogate": lambda x, w: clipped(-9.5, 9.5)(x @ w.T)},
        ),
    ],
    "Quantize": [
        *(
            (
                (after_integers(lambda z, of=of: F.quantize(z, of)), SIGNS, SIGN_WEIGHT),
                {"surrogate": lambda x, w: clipped(-7.5, 7.5)(x @ w.T)},
            )
            for of in (Uniform(1, clip_value=7.5), Uniform(3, max_value=9.0, clip_value=7.5))
        ),
        *(
            (
                (quantized(of, straight=of is WEIGHTS), X * 2),
                {"surrogate": surrogate, "kinks": kinks},
            )
            for of, surrogate, kinks in SURROGATES
        ),
    ],
    "StochasticSign": [
        (
            (lambda x: F.unpack(F.stochastic_sign(x, draw()), np.float64), X * 2),
            {"surrogate": F.hardtanh, "kinks": (-1, 1)},
        )
    ],
    "Unpack": [
        (
            (lambda x: F.unpack(F.sign(x, clip_value=None), np.float64), X),
            {"surrogate": lambda x: x},
        ),
        ((quantized(Uniform(3), straight=True), X), {"surrogate": lambda x: x}),
    ],
    "QuantizedLinear": [
        ((product, SIGNS, SIGN_WEIGHT), {"surrogate": lambda x, w: x @ w.T}),
        (
            (lambda w: F.quantized_linear(PIXELS, F.sign(w, clip_value=None)), SIGN_WEIGHT),
            {"surrogate": lambda w: (2.0 * PIXELS - 255) @ w.T},
        ),
        (
            (
                low_bit(F.quantized_linear),
                RNG.choice(TWO_BITS, (5, 70)),
                RNG.choice(THREE_BITS, (4, 70)),
            ),
            {"surrogate": lambda x, w: 21 * (x @ w.T)},
        ),
    ],
    "Balance": [((F.balance, WEIGHT), {"batched": ()}), ((F.balance, FILTERS), {"batched": ()})],
    "Conv2d": [
        ((lambda x, w, b: F.conv2d(x, w, b, WINDOW), IMAGES, FILTERS, BIAS), {}),
        (
            (
                lambda x, w, b: F.conv2d(x, w, b, Window((2, 3), (2, 1), border=-1)),
                IMAGES,
                FILTERS,
                BIAS,
            ),
            {},
        ),
        ((in_three_groups, IMAGES, FILTERS[:3, ..., :1], BIAS[:3]), {}),
        ((lambda x, w, b: F.conv2d(x, w, b, APART), IMAGES, FILTERS, BIAS), {}),
    ],
    "QuantizedConv2d": [
        (
            (
                low_bit(lambda x, w: F.quantized_conv2d(x, w, WINDOW)),
                RNG.choice(TWO_BITS, IMAGES.shape),
                RNG.choice(THREE_BITS, FILTERS.shape),
            ),
            {"surrogate": lambda x, w: 21 * F.conv2d(x, w, NO_BIAS, WINDOW)},
        ),
        (
            (lambda x, w: convolution(x, w, groups=3), SIGN_IMAGES, SIGN_FILTERS[:3, ..., :1]),
            {"surrogate": lambda x, w: in_three_groups(x, w, NO_BIAS[:3])},
        ),
        (
            (convolution, SIGN_IMAGES, SIGN_FILTERS),
            {"surrogate": lambda x, w: F.conv2d(x, w, NO_BIAS, WINDOW)},
        ),
        (
            (lambda x, w: convolution(x, w, APART), SIGN_IMAGES, SIGN_FILTERS),
            {"surrogate": lambda x, w: F.conv2d(x, w, NO_BIAS, APART)},
        ),
        (
            (lambda x, w: convolution(x, w, WHITE), SIGN_IMAGES, SIGN_FILTERS),
            {"surrogate": lambda x, w: F.conv2d(x, w, NO_BIAS, WHITE)},
        ),
        (
            (
                lambda w: F.quantized_conv2d(PIXEL_IMAGES, F.sign(w, clip_value=None), WINDOW),
                SIGN_FILTERS,
            ),
            {"surrogate": lambda w: F.conv2d(2.0 * PIXEL_IMAGES - 255, w, NO_BIAS, WINDOW)},
        ),
        (
            (
                lambda w: F.quantized_conv2d(PIXEL_IMAGES, F.sign(w, clip_value=None), WHITE),
                SIGN_FILTERS,
            ),
            {"surrogate": lambda w: 255.0 * F.conv2d(PIXEL_IMAGES / 127.5 - 1, w, NO_BIAS, WHITE)},
        ),
    ],
    "MixedLinear": [
        (
            (lambda x, w: F.mixed_linear(x, F.sign(w, clip_value=None)), X, SIGN_WEIGHT[:, :5]),
            {"surrogate": lambda x, w: x @ w.T, "batched": (0,)},
        )
    ],
    "MixedConv2d": [
        (
            (
                lambda x, w: F.mixed_conv2d(x, F.sign(w, clip_value=None), APART, groups=3),
                IMAGES,
                SIGN_FILTERS[:3, ..., :1],
            ),
            {"surrogate": lambda x, w: F.conv2d(x, w, NO_BIAS[:3], APART, groups=3)},
        )
    ],
    "Upsample": [
        ((lambda x: F.upsample(x, (2, 3)), IMAGES), {}),
        (
            (
                lambda x: F.unpack(F.upsample(F.sign(x, clip_value=None), (1, 2)), np.float64),
                IMAGES,
            ),
            {"surrogate": lambda x: F.upsample(x, (1, 2))},
        ),
    ],
    "MaxPool2d": [
        ((lambda x: F.max_pool2d(x, Window((2, 2), (2, 2))), IMAGES), {}),
        ((lambda x: F.max_pool2d(x, Window((3, 2), (2, 1), ((1, 1), (0, 1)))), IMAGES), {}),
    ],
    "MaxPoolBits": [((pooled_signs, SIGN_IMAGES), {"surrogate": pooled_by_hand, "batched": ()})],
    "AvgPool2d": [
        (
            (lambda x: F.avg_pool2d(F.sign(x, clip_value=None), WINDOW), SIGN_IMAGES),
            {"surrogate": lambda x: F.avg_pool2d(x, WINDOW) * WINDOW.taps},
        ),
        (
            (lambda x: F.avg_pool2d(F.quantize(x, WEIGHTS, True), WINDOW), IMAGES),
            {
                "surrogate": lambda x: (
                    F.avg_pool2d(x, WINDOW) * (WINDOW.taps / WEIGHTS.codebook.unit)
                )
            },
        ),
        ((lambda x: F.avg_pool2d(x, Window((2, 2), (2, 2))), IMAGES), {}),
        ((lambda x: F.avg_pool2d(x, Window((3, 2), (2, 1), ((1, 1), (0, 1)))), IMAGES), {}),
    ],
    "Flatten": [
        ((F.flatten, IMAGES), {}),
        (
            (lambda x: F.unpack(F.flatten(F.sign(x, clip_value=None)), np.float64), IMAGES),
            {"surrogate": F.flatten},
        ),
    ],
    "BatchNorm": [((F.batch_norm, X, ROW, ROW + 1), {"batched": ()})],
    "IntegerBatchNorm": [
        (
            (
                lambda x, w, g, b: F.batch_norm(product(x, w), g, b),
                SIGNS,
                SIGN_WEIGHT,
                ROW[:4],
                BIAS,
            ),
            {"surrogate": lambda x, w, g, b: F.batch_norm(x @ w.T, g, b), "batched": ()},
        )
    ],
    "BatchNormSign": [
        (
            (normalized_signs, SIGNS, SIGN_WEIGHT, ROW[:4], BIAS),
            {
                "surrogate": lambda x, w, g, b: F.hardtanh(F.batch_norm(x @ w.T, g, b)),
                "batched": (),
            },
        )
    ],
    "AP2": [((F.ap2, X), {"surrogate": lambda x: x})],
    "ShiftBatchNorm": [
        ((F.shift_batch_norm, X, ROW, BIAS_ROW), {"surrogate": SHIFTED.paper, "batched": ()}),
        (
            (lambda *given: F.shift_batch_norm(*given, variant="code"), X, ROW, BIAS_ROW),
            {"surrogate": SHIFTED.code, "batched": ()},
        ),
    ],
    "Normalize": [((lambda x, g, b: F.normalize(x, g, b, ROW, ROW**2), X, ROW + 1, ROW), {})],
    "SquaredHinge": [
        ((lambda s: F.squared_hinge(s, LABELS), X), {"kinks": (-1, 1), "batched": ()}),
        ((lambda s: F.squared_hinge(s, LABELS, SHARES), X), {"kinks": (-1, 1), "batched": ()}),
    ],
    "CrossEntropy": [((lambda s: F.cross_entropy(s, LABELS), X * 3), {"batched": ()})],
    "Huber": [
        ((lambda y: F.squared_error(y, Y), X), {"batched": ()}),
        ((lambda y: F.huber(y, np.zeros((3, 5)), 0.5), X), {"kinks": (-0.5, 0.5), "batched": ()}),
    ],
    "BinaryCrossEntropy": [
        ((lambda s: F.binary_cross_entropy(s, PRESENT), X * 3), {"batched": ()}),
        ((lambda s: F.binary_cross_entropy(s, PRESENT, SHARES, 0.1), X * 3), {"batched": ()}),
    ],
    "SoftCrossEntropy": [
        ((lambda s: F.cross_entropy(s, LABELS, label_smoothing=0.2), X * 3), {"batched": ()}),
        ((lambda s: F.cross_entropy(s, LABELS, SHARES, 0.1), X * 3), {"batched": ()}),
        ((lambda s: F.distillation(s, LABELS, Y, 1.5, 1.0), X * 3), {"batched": ()}),
        (
            (lambda s: F.distillation(s, LABELS, Y, 3.0, 0.3, F.squared_hinge), X),
            {"kinks": (-1, 1), "batched": ()},
        ),
    ],
    "Dropout": [
        ((lambda x: F.dropout(x, 0.4, draw()), X), {}),
        ((dropped_signs, SIGNS), {"surrogate": dropped_by_hand, "batched": ()}),
    ],
}
CASES |= recurrent_cases.CASES
NO_GRADIENT = {"ArgMax", "Compare", "PixelPlanes"}


def operations(parent=Function):
    """Yield the names of all operations of the package: Functions with their own forward."""
    for child in parent.__subclasses__():
        found = getattr(sys.modules.get(child.__module__), child.__name__, None)
        own = found is child and child.__module__.startswith("bitnet.")  # not one of a doctest
        if own and "forward" in vars(child):
            yield child.__name__
        yield from operations(child)


def test_every_operation_has_a_case():
    named = {name for name in CASES if name[0].isupper()}
    assert sorted(operations()) == sorted(named | NO_GRADIENT)


@pytest.mark.parametrize(
    ("name", "arguments", "options"),
    [(name, *case) for name, cases in CASES.items() for case in cases],
)
def test_gradient(name, arguments, options):
    check_gradient(*arguments, **options)


def test_batch_norm_removes_mean_and_variance():
    """The gradient of batch norm is orthogonal to a shift and a scaling of its input."""
    node = BatchNorm(0.0)
    node.forward(X, np.ones(5), np.zeros(5))
    grad_x, _, _ = node.backward(Y)
    assert np.allclose(grad_x.sum(axis=0), 0)
    assert np.allclose((grad_x * X).sum(axis=0), 0)


def test_gradients_through_planes_with_a_scale():
    """Dropout with p = 0.2: z = 1.25 * (kept signs @ weight.T), in training."""
    weight = F.sign(SIGN_WEIGHT)
    x = bitnet_leaf(SIGNS)
    planes = F.dropout(F.sign(x, clip_value=None), 0.2, draw())
    assert isinstance(planes.data, BitPlanes)
    z = F.quantized_linear(planes, weight)
    keep = draw().random(SIGNS.shape, dtype=np.float32) >= 0.2
    assert np.allclose(z.data, (SIGNS * keep * 1.25) @ SIGN_WEIGHT.T)
    z.backward(np.ones((3, 4)))
    assert np.allclose(x.grad, keep * 1.25 * SIGN_WEIGHT.sum(axis=0))


def bitnet_leaf(array):
    return Tensor(array.copy(), requires_grad=True)
