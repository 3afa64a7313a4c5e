"""The frozen form of each Function, and of the Functions and quantizers of a user."""

import dataclasses
import importlib
import pkgutil

import numpy as np
import pytest

import bitnet
from bitnet import Function, InputError, nn
from bitnet.arrays import array_module
from bitnet.deploy import rules
from bitnet.kernels import Codebook, Window
from bitnet.nn import functional as F  # noqa: N812
from bitnet.quantizers import LinearQuant, Quantizer, Ternary

RNG = np.random.default_rng(0)
FLOATS = RNG.standard_normal((5, 6)).astype(np.float32)
PIXELS = RNG.integers(0, 256, (5, 6), dtype=np.uint8)


def functions(kind=Function):
    """Return all Functions of bitnet."""
    for module in pkgutil.walk_packages(nn.functional.__path__, "bitnet.nn.functional."):
        importlib.import_module(module.name)
    found = set()
    for own in kind.__subclasses__():
        found |= {own, *functions(own)}
    return {own for own in found if own.__module__.startswith("bitnet.")}


def public():
    """Return the Functions that are operations, not bases of others."""
    return sorted((own for own in functions() if own.__name__[0] != "_"), key=str)


@pytest.mark.parametrize("function", public(), ids=lambda own: own.__name__)
def test_each_function_has_a_frozen_form_or_a_reason(function):
    name = function.__name__
    has_form = function in rules.RULES or function in rules.ELEMENTWISE
    assert has_form != (name in rules.WITHOUT), f"{name} needs a rule, or a reason in WITHOUT"


def test_reasons_are_of_functions_that_exist():
    assert rules.WITHOUT.keys() <= {own.__name__ for own in public()}


def same(model, *inputs):
    """Freeze a model, compare it with its net, and return the net."""
    net = bitnet.freeze(model, tuple(x[:1] for x in inputs))
    results = net.run(*inputs)
    with nn.module.evaluating(model):
        expected = model(*inputs)
    expected = expected if isinstance(expected, tuple) else (expected,)
    for own, result in zip(results, expected, strict=True):
        a, b = (getattr(x, "words", x) for x in (own, result.data))
        a, b = (getattr(getattr(x, "bits", x), "words", x) for x in (a, b))
        assert np.array_equal(a, b)
    assert bitnet.compare(model, net, *inputs).is_complete
    return net


class Of(nn.Module):
    """A product, a function of its results, and a quantizer with a product after it."""

    def __init__(self, function, quantizer=1, width=6):
        self.first = nn.QuantLinear(width, 7, rng=np.random.default_rng(1), weight_quantizer=2)
        self.last = nn.QuantLinear(7, 3, rng=np.random.default_rng(2))
        self.function, self.quantizer = function, nn.Quantize(quantizer)

    def forward(self, x):
        return self.last(self.quantizer(self.function(self.first(x))))


class Cube(Function):
    """x^3, of floats or integers, as a user writes it."""

    def forward(self, x):
        self.x = x.astype(np.float32) if x.dtype.kind != "f" else x
        return self.x * self.x * self.x

    def backward(self, grad_y):
        return 3 * grad_y * self.x * self.x


class MonotoneCube(Cube):
    monotone = True


class Wave(Cube):
    """A function that is not monotone, though it says so."""

    monotone = True

    def forward(self, x):
        return array_module(x).sin(super().forward(x))


class FrozenCube(Cube):
    def frozen(self, x):
        x = x * 1.0
        return x * x * x


class WrongCube(Cube):
    def frozen(self, x):
        return x * x * x + 1.0


class Sum3(Function):
    """a + b + c, with its frozen form."""

    def forward(self, a, b, c):
        return (a + b) + c

    def backward(self, grad_y):
        return grad_y, grad_y, grad_y

    def frozen(self, *inputs):
        a, b, c = inputs
        return (a + b) + c


@pytest.mark.parametrize("bits", [1, 3])
def test_a_monotone_function_of_a_user_becomes_thresholds(bits):
    net = same(Of(lambda z: MonotoneCube()(z * 0.01 - 3.0), bits), PIXELS)
    assert [node.kind for node in net.graph.nodes if node.arity[0]] == [
        "linear", "thresholds", "linear",
    ]  # fmt: skip


@pytest.mark.parametrize("bits", [1, 3])
def test_a_function_with_the_method_frozen(bits):
    net = same(Of(lambda z: FrozenCube()(z * 0.01 - 3.0), bits), PIXELS)
    assert "multiply" in {node.kind for node in net.graph.nodes}
    same(Of(lambda z: Sum3()(z * 0.5, z * 0.25, z * 1.0), bits), PIXELS)


def test_the_method_frozen_is_not_used_in_training_and_evaluation():
    model = Of(lambda z: WrongCube()(z))
    with nn.module.evaluating(model):
        assert np.array_equal(model(PIXELS).data, Of(lambda z: Cube()(z)).eval()(PIXELS).data)


def test_a_method_frozen_that_computes_something_else_is_refused():
    model = nn.Sequential(nn.Shift(6))
    model.forward = lambda x: WrongCube()(x)
    with pytest.raises(InputError, match="differ on the example.*method frozen"):
        bitnet.freeze(model, FLOATS[:1])


@pytest.mark.parametrize("function", [Cube, Wave])
def test_a_function_without_a_frozen_form_is_named_with_the_page(function):
    with pytest.raises(InputError, match=f"{function.__name__} .*see docs/own-functions.md"):
        bitnet.freeze(Of(lambda z: function()(z * 1.0)), PIXELS[:1])


@dataclasses.dataclass(frozen=True)
class Thirds(Quantizer):
    """Codes of a user: -1, 0 and 1, with edges that are not symmetric."""

    low: float = -0.3
    high: float = 0.6

    word, bits, edges, formula = "thirds", 2, (-1.0, 1.0), ""

    def _codebook(self):
        return Codebook([0, 1, 3], [1, 1], 0.5)

    def codes(self, x):
        kind = x.dtype.type
        return ((x > kind(self.low)).astype(np.uint8) + (x >= kind(self.high))).astype(np.uint8)


@dataclasses.dataclass(frozen=True)
class Falling(Thirds):
    """Codes that decrease, which no quantizer may have."""

    def codes(self, x):
        return (2 - super().codes(x)).astype(np.uint8)


@dataclasses.dataclass(frozen=True)
class Waves(Thirds):
    """Codes that are no step function."""

    def codes(self, x):
        return super().codes(array_module(x).sin(x))


def test_a_quantizer_of_a_user_after_integers_and_on_floats():
    for scale in (1.0, 0.01, -0.02):
        same(Of(lambda z, scale=scale: z * scale, Thirds()), PIXELS)
    model = nn.Sequential(nn.Quantize(Thirds()), nn.QuantLinear(6, 4, rng=RNG))
    x = np.concatenate([FLOATS, np.float32([[-0.3, 0.6, 0.5999999, -0.29999998, -0.0, 0.0]])])
    net = same(model, x)
    assert [node.kind for node in net.graph.nodes if node.arity[0]] == ["quantize", "linear"]


@pytest.mark.parametrize(("low", "high"), [(np.inf, np.inf), (-np.inf, np.inf), (0.5, np.inf)])
def test_codes_that_no_number_has(low, high):
    model = nn.Sequential(nn.Quantize(Thirds(low, high)), nn.QuantLinear(6, 4, rng=RNG))
    same(model, FLOATS)
    same(Of(lambda z: z * 0.5, Thirds(low, high)), PIXELS)


def test_weights_of_a_quantizer_of_a_user(tmp_path):
    model = nn.Sequential(nn.QuantLinear(6, 4, rng=RNG, weight_quantizer=Thirds()))
    net = same(model, PIXELS)
    net.save(tmp_path / "net.npz")
    assert np.array_equal(bitnet.load(tmp_path / "net.npz").scores(PIXELS), net.scores(PIXELS))


@pytest.mark.parametrize("quantizer", [Falling(), Waves()])
def test_codes_that_do_not_increase_are_refused_on_floats(quantizer):
    model = nn.Sequential(nn.Quantize(quantizer), nn.QuantLinear(6, 4, rng=RNG))
    with pytest.raises(InputError, match=r"no increasing function.*docs/own-functions\.md"):
        bitnet.freeze(model, FLOATS[:1])


class Quantized(nn.Module):
    """A quantizer of floats whose codes depend on the whole batch."""

    def forward(self, x):
        return F.quantize(x, Ternary())


def test_codes_that_depend_on_the_batch_are_refused():
    with pytest.raises(InputError, match=r"Ternary.*see docs/own-functions\.md"):
        bitnet.freeze(Quantized(), FLOATS[:1])


class Scaled(nn.Module):
    """Activations at a fixed scale, and at the scale of the batch."""

    def __init__(self, scale):
        self.scale = scale

    def forward(self, x):
        return F.quantize_scaled(x, LinearQuant(3, 0.25), self.scale)


def test_activations_at_a_scale():
    same(Scaled(0.7), FLOATS)
    with pytest.raises(InputError, match="QuantizeScaled .* has another scale in each call"):
        bitnet.freeze(Scaled(None), FLOATS[:2])


class Random(nn.Module):
    def forward(self, x):
        return x * np.random.default_rng().random(6, np.float32)


class OfBatch(nn.Module):
    def forward(self, x):
        return x.sum(axis=0) if len(x) == 2 else x.max(axis=0)


class Noise(nn.Module):
    def forward(self, x):
        return x + np.arange(len(x), dtype=np.float32)[:, None]


class Windows(nn.Module):
    def forward(self, x):
        images = x.reshape(-1, 1, 6, 1)
        return F.max_pool2d(images, Window((1, 3), (1, len(x))))


class Losses(nn.Module):
    def forward(self, x):
        return F.cross_entropy(x, np.zeros(len(x), np.int64))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Random(), "differs between two calls"),
        (OfBatch(), "operations of the model depend on the size of the batch"),
        (Noise(), "differs between two calls"),
        (Losses(), "CrossEntropy .* has another labels in each call"),
        (Windows(), "MaxPool2d .* has another window in each call"),
    ],
    ids=lambda own: type(own).__name__,
)
def test_what_depends_on_more_than_the_inputs_is_refused(model, message):
    with pytest.raises(InputError, match=message):
        bitnet.freeze(model, FLOATS[:1])
