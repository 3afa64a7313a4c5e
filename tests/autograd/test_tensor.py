"""The graph and the way back."""

import threading

import numpy as np
import pytest

from bitnet import Function, InputError, Tensor, no_grad
from bitnet.autograd import LatentWeight, Parameter
from bitnet.kernels import pack
from bitnet.nn import functional


def leaf(*values):
    return Tensor(np.array(values, np.float64), requires_grad=True)


def test_a_chain_of_ten_thousand_operations():
    x = leaf(1.0)
    y = x
    for _ in range(10_000):
        y = y + 1.0
    y.backward()
    assert y.item() == 10_001
    assert x.grad.tolist() == [1.0]


def test_letting_go_of_a_long_graph_does_not_recurse():
    x = leaf(1.0)
    y = x
    for _ in range(30_000):
        y = -y
    del y


def test_a_tensor_used_twice_gets_the_sum_and_each_operation_runs_once():
    calls = []

    class Square(Function):
        def forward(self, x):
            self.x = x
            return x * x

        def backward(self, grad_y):
            calls.append(grad_y.copy())
            return 2 * self.x * grad_y

    x = leaf(3.0)
    y = Square()(x)
    (y + y * y).backward()
    assert x.grad.tolist() == [6.0 + 4 * 27.0]
    assert len(calls) == 1


def test_gradients_are_added_out_of_place():
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    first = np.ones(2)
    (x + y).backward(first)
    assert x.grad is not y.grad
    assert not np.shares_memory(x.grad, y.grad)
    assert not np.shares_memory(x.grad, first)
    kept = x.grad
    (x * 2).backward(np.ones(2))
    assert kept.tolist() == [1.0, 1.0]
    assert x.grad.tolist() == [3.0, 3.0]


def test_gradients_of_reductions_can_be_written_to():
    x = leaf(1.0, 2.0)
    x.sum().backward()
    x.grad *= 2
    assert x.grad.tolist() == [2.0, 2.0]


def test_backward_twice_needs_retain_graph():
    x = leaf(1.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [4.0]
    with pytest.raises(InputError, match=r"Multiply.*retain_graph"):
        y.backward()


def test_a_function_is_applied_once():
    """A second application would overwrite what the first one's backward needs."""
    node = functional.activations.ReLU()
    y = node(leaf(1.0, -1.0))
    with pytest.raises(InputError, match="ReLU was already applied"):
        node(leaf(2.0))
    y.sum().backward()
    node(leaf(2.0))  # backward released it


def test_backward_releases_what_forward_kept():
    x = leaf(*range(5))
    y = functional.hardtanh(x)
    node = y.creator
    y.sum().backward()
    assert vars(node) == {}


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda g: g[:1], r"Wrong\.backward returned a gradient of shape \(1,\) for input 0"),
        (lambda g: (g, g), r"Wrong\.backward returned 2 gradients for 1 inputs"),
        (lambda g: None, r"Wrong\.backward returned a gradient of shape None"),
    ],
)
def test_a_wrong_backward_is_named(returned, message):
    class Wrong(Function):
        def forward(self, x):
            return x * 1

        def backward(self, grad_y):
            return returned(grad_y)

    with pytest.raises(RuntimeError, match=message):
        Wrong()(leaf(1.0, 2.0)).sum().backward()


def test_no_grad_records_nothing_and_is_put_back():
    x = leaf(1.0)
    with pytest.raises(ZeroDivisionError), no_grad():
        assert (x * x).creator is None
        raise ZeroDivisionError
    assert (x * x).requires_grad


def test_no_grad_holds_for_its_own_thread():
    x, seen = leaf(1.0), []
    with no_grad():
        thread = threading.Thread(target=lambda: seen.append((x * x).requires_grad))
        thread.start()
        thread.join()
    assert seen == [True]


def test_a_tensor_may_hold_bits():
    x = Tensor(np.array([[0.5, -0.5]], np.float32), requires_grad=True)
    y = functional.sign(x)
    assert (y.data.n_bytes, y.shape, y.ndim, y.size, len(y)) == (8, (1, 2), 2, 2, 1)
    with pytest.raises(InputError, match="unpack"):
        y + 1
    (functional.unpack(y) * 3).sum().backward()
    assert x.grad.tolist() == [[3.0, 3.0]]


def test_numbers_take_the_type_of_the_tensor_beside_them():
    for dtype in (np.float32, np.float64):
        x = Tensor(np.ones(2, dtype))
        for y in (x * 2, 2 * x, x + 0.5, x / 3.0, 1 - x, x * np.float64(2), np.float64(2) * x):
            assert y.data.dtype == dtype
    assert Tensor([1, 2]).data.dtype == np.float32
    assert Tensor(np.arange(2)).data.dtype == np.int64
    assert (np.ones(2, np.float32) + Tensor([1.0, 2.0])).data.tolist() == [2.0, 3.0]


@pytest.mark.parametrize(
    "call",
    [
        lambda: Tensor("text"),
        lambda: Tensor([[1.0], [1.0, 2.0]]),
        lambda: Tensor(np.ones(2, np.float16)),
        lambda: Tensor(np.ones(2, complex)),
        lambda: Tensor(None),
        lambda: Tensor(Tensor(1.0)),
        lambda: Tensor(np.arange(2), requires_grad=True),
        lambda: Tensor(pack(np.ones(2)), requires_grad=True),
        lambda: leaf(1.0, 2.0).backward(),
        lambda: leaf(1.0, 2.0).backward(np.ones(3)),
        lambda: Tensor(1.0).backward(),
        lambda: LatentWeight([1.0], clip=0),
        lambda: Parameter([1.0], lr_scale=-1.0),
        lambda: Parameter(np.arange(3)),
    ],
)
def test_what_does_not_fit_is_refused(call):
    with pytest.raises(InputError):
        call()


def test_a_gradient_has_the_type_of_its_tensor():
    x = Tensor(np.ones(2, np.float32), requires_grad=True)
    (x * np.ones(2)).backward(np.ones(2))
    assert x.grad.dtype == np.float32


def test_numpy_and_python_read_a_tensor():
    x = Tensor([[1.0, 3.0, 2.0]])
    assert np.argmax(x, axis=1).tolist() == [1]
    assert np.asarray(functional.sign([0.5, -0.5])).tolist() == [1, -1]
    assert f"{float(x.sum()):.1f}" == "6.0"


def test_backward_from_a_single_sign():
    x = Tensor(np.float32([[0.5]]), requires_grad=True)
    functional.sign(x).backward()
    assert x.grad.tolist() == [[1.0]]


def test_a_parameter_copies_its_data():
    data = np.ones((2, 3), np.float32).T
    parameter = Parameter(data)
    parameter.data[0, 0] = 7
    assert data[0, 0] == 1
    assert parameter.data.flags.c_contiguous
    assert parameter.detach().requires_grad is False


def test_python_asks_a_tensor_as_it_asks_an_array():
    loss = Tensor([4.0])
    assert (loss == Tensor([4.0])).data.tolist() == [True]
    assert (loss != Tensor([4.0])).data.tolist() == [False]
    assert (Tensor([1.0, 2.0]) == Tensor([1.0, 3.0])).data.tolist() == [True, False]
    assert loss
    assert not Tensor(0.0)
    assert loss in [Tensor([3.0]), loss]
    with pytest.raises(InputError, match=r"shape \(2,\) is ambiguous"):
        bool(Tensor([1.0, 2.0]) == Tensor([1.0, 3.0]))
    difference = Tensor(np.uint8([1, 200])) - Tensor(np.uint8([2, 100]))
    assert difference.data.tolist() == [-1, 100]
    for kind in (np.int32, np.int64, np.uint8):
        assert (Tensor(np.ones(2, kind)) * np.ones(2, np.float32)).data.dtype == np.float32
