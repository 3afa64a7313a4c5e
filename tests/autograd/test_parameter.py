"""Parameters: kept signs that cannot go stale, and gradients that are multiplied when needed."""

import copy
import pickle

import numpy as np
import pytest

import bitnet
from bitnet import Tensor, kernels
from bitnet.autograd import LatentWeight, Parameter
from bitnet.nn import BinaryLinear, functional

X = np.random.default_rng(0).integers(0, 256, (6, 70), dtype=np.uint8)


def stepped(optimizer=bitnet.optim.Adam):
    """A layer after one step of an optimizer."""
    layer = BinaryLinear(70, 5, rng=np.random.default_rng(1))
    moves = optimizer(layer.parameters(), 0.5)
    layer(X).backward(np.random.default_rng(2).standard_normal((6, 5)).astype(np.float32))
    before = layer.bits
    moves.step()
    return layer, before, moves


@pytest.mark.parametrize("optimizer", [bitnet.optim.Adam, bitnet.optim.AdaMax, bitnet.optim.SGD])
def test_a_step_leaves_the_signs_of_the_data_and_counts_flips(optimizer):
    layer, before, moves = stepped(optimizer)
    weight = layer.weight
    assert weight.has_signs
    assert weight.signs == kernels.pack(weight.data)
    assert weight.signs is layer.bits
    assert moves.flips == kernels.count_flips(before, layer.bits) > 0


def test_signs_taken_before_a_step_stay_what_they_were():
    layer, _, moves = stepped()
    taken, words = layer.bits, layer.bits.words.copy()
    layer.weight.grad = np.ones((5, 70), np.float32)
    moves.step()
    assert np.array_equal(taken.words, words)
    assert moves.flips == kernels.count_flips(taken, layer.bits)


def test_data_with_kept_signs_cannot_be_changed_unnoticed():
    layer, *_ = stepped()
    with pytest.raises(ValueError, match="read-only"):
        layer.weight.data[0, 0] = 0.5
    data = layer.weight.edit()
    data *= -1
    data.flags.writeable = False
    assert layer.bits == kernels.pack(layer.weight.data)
    layer, *_ = stepped()
    layer.weight.data = -layer.weight.data
    assert layer.bits == kernels.pack(layer.weight.data)


def test_a_loaded_state_and_a_copy_have_their_own_signs():
    layer, *_ = stepped()
    state = BinaryLinear(70, 5, rng=np.random.default_rng(9)).state_dict()
    twin = copy.deepcopy(layer)
    layer.load_state_dict(state)
    assert layer.bits == kernels.pack(state["weight"])
    twin.weight.data[:] = state["weight"]
    assert twin.bits == layer.bits


def test_the_gradient_is_a_product_until_it_is_asked_for():
    layer = BinaryLinear(70, 5, rng=np.random.default_rng(1), grad_format="float32")
    grad_z = np.random.default_rng(2).standard_normal((6, 5)).astype(np.float32)
    layer(X).backward(grad_z)
    assert isinstance(layer.weight.lazy_grad, kernels.Product)
    once = layer.weight.grad
    assert isinstance(once, np.ndarray)
    assert once is layer.weight.grad
    assert np.allclose(once, grad_z.T @ (2.0 * X - 255), rtol=1e-4)
    layer(X).backward(grad_z)
    assert np.allclose(layer.weight.grad, 2 * once)


def test_weights_that_became_nan_have_no_signs():
    layer, _, moves = stepped()
    layer.weight.grad = np.full((5, 70), np.nan, np.float32)
    moves.step()
    assert not layer.weight.has_signs
    with pytest.raises(bitnet.InputError, match="holds NaN"):
        layer(X)


def test_a_product_meets_other_gradients_as_an_array():
    weight = Parameter(np.random.default_rng(1).uniform(-1, 1, (5, 70)))
    for leaf in (weight, Tensor(weight.data.copy(), requires_grad=True)):
        signs = functional.sign(leaf, clip_value=None)
        total = (
            functional.quantized_linear(X, signs).sum()
            + functional.quantized_linear(X, signs).sum()
        )
        (total + leaf.sum()).backward()
        expected = np.tile(2 * (2.0 * X - 255).sum(axis=0) + 1, (5, 1))
        assert isinstance(leaf.grad, np.ndarray)
        assert np.allclose(leaf.grad, expected)


def test_a_product_passes_a_window_as_an_array():
    weight = Parameter([[0.5, -2.0, 0.25]])
    pixels = np.array([[255, 255, 0]], np.uint8)
    functional.quantized_linear(pixels, functional.sign(weight)).sum().backward()
    assert weight.grad.tolist() == [[255.0, 0.0, -255.0]]


@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
def test_a_pickled_model_trains_on_and_takes_a_state(protocol):
    layer, *_ = stepped()
    other = pickle.loads(pickle.dumps(layer, protocol))  # noqa: S301
    assert other.bits == layer.bits
    moves = bitnet.optim.SGD(other.parameters(), 0.1)
    other.weight.grad = np.ones(other.weight.shape, np.float32)
    moves.step()
    assert other.bits == kernels.pack(other.weight.data)
    other = pickle.loads(pickle.dumps(layer, protocol))  # noqa: S301
    other.load_state_dict(layer.state_dict())
    assert other.bits == layer.bits


def test_assigned_weights_drop_the_packed_signs():
    layer, *_ = stepped()
    assert layer.weight.has_signs
    new = np.random.default_rng(3).uniform(-1, 1, (5, 70))
    for value in (new, Tensor(-new), (new > 0) * 2 - 1, new.tolist()):
        layer.weight.assign(value)
        assert not layer.weight.has_signs
        assert layer.weight.data.dtype == np.float32
        assert np.array_equal(layer.weight.data, np.float32(getattr(value, "data", value)))
    for wrong in (new[:4], "ab", None, [1.0], [[1.0], [1.0, 2.0]], new.astype(complex)):
        with pytest.raises(
            bitnet.InputError, match=r"LatentWeight.data: .* expected (finite numbers|an array)"
        ):
            layer.weight.assign(wrong)
    with pytest.raises(bitnet.InputError, match="expected"):
        bitnet.autograd.Parameter(1.0).assign(None)
    with pytest.raises(bitnet.InputError, match=r"call parameter.assign\(x\)"):
        layer.weight[0] = 1.0


ASSIGNED = [
    np.float32([[1, 2], [3, 4], [5, 6]]).T,
    np.asfortranarray(np.float32([[1, 2, 3], [4, 5, 6]])),
    np.arange(12, dtype=np.float32).reshape(2, 6)[:, ::2],
    np.float16([[0.1, 2, 3], [4, 5, 6]]),
    np.uint16([[1, 2, 65535], [4, 5, 6]]),
    np.ones((2, 3), ">f8"),
    np.ones((2, 3), bool),
    [[1, 2, 3], [4, 5, 6]],
    Tensor(np.arange(6).reshape(2, 3)),
]


@pytest.mark.parametrize("kind", [Parameter, LatentWeight])
@pytest.mark.parametrize("x", ASSIGNED, ids=lambda x: str(getattr(x, "dtype", type(x).__name__)))
def test_assigned_data_are_what_kernels_and_files_take(kind, x):
    weight = kind(np.zeros((2, 3), np.float32))
    expected = np.asarray(getattr(x, "data", x) if isinstance(x, Tensor) else x, np.float32)
    weight.data = x
    replaced = weight.data
    weight.assign(x)
    for data in (replaced, weight.data):
        assert data.dtype == np.float32
        assert data.dtype.isnative
        assert data.flags.c_contiguous
        assert (data == expected).all()
    assert functional.unpack(functional.sign(weight)).shape == (2, 3)


@pytest.mark.parametrize("change", ["assign", "data"])
@pytest.mark.parametrize(
    "x",
    [
        np.float32([[1, 2, np.nan]]),
        np.float32([[1, 2, -np.inf]]),
        np.float64([[1, 2, 1e39]]),
        np.ones(3, np.float32),
        np.ones((1, 3), complex),
        "abc",
        None,
    ],
    ids=lambda x: f"{x!r:.30}",
)
def test_data_that_do_not_fit_are_refused_and_change_nothing(change, x):
    weight = Parameter(np.float32([[1, 2, 3]]))
    with pytest.raises(bitnet.InputError, match=r"Parameter.data: .*expected"):
        weight.assign(x) if change == "assign" else setattr(weight, "data", x)
    assert weight.data.tolist() == [[1, 2, 3]]
    assert weight.version == 1


def test_a_number_stays_without_axes():
    weight = Parameter(1.0)
    weight.data = np.float64(2.0)
    assert (weight.shape, weight.data.item()) == ((), 2.0)
