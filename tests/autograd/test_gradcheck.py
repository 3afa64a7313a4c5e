"""The checker itself: it must find what is wrong."""

import numpy as np
import pytest

import bitnet.nn.functional as F  # noqa: N812
from bitnet import Function, InputError
from bitnet.autograd import check_gradient


def off_by(factor):
    class Scaled(Function):
        def forward(self, x):
            return x * x

        def backward(self, grad_y):
            return factor * 2 * grad_y * self.inputs[0].data

    return lambda x: Scaled()(x)


def test_a_right_gradient_passes_and_a_wrong_one_does_not():
    x = np.random.default_rng(0).standard_normal((3, 4))
    check_gradient(off_by(1.0), x)
    for factor in (0.0, -1.0, 1.00001):
        with pytest.raises(AssertionError, match="direction"):
            check_gradient(off_by(factor), x)


def test_a_gradient_that_depends_on_the_layout_is_found():
    class Raw(Function):
        def forward(self, x):
            self.strided = not x.flags.c_contiguous
            return x * 3

        def backward(self, grad_y):
            return grad_y * (4 if self.strided else 3)

    with pytest.raises(AssertionError):
        check_gradient(lambda x: Raw()(x), np.ones((2, 2)))


def test_a_function_that_fails_without_rows_is_found():
    check_gradient(F.arithmetic.negate, np.array(2.0), batched=())
    with pytest.raises(InputError, match=r"mean.*batched=\(\)"):
        check_gradient(F.shapes.mean, np.ones((2, 2)))
    check_gradient(F.shapes.mean, np.ones((2, 2)), batched=())


def test_the_wrong_surrogate_is_found():
    x = np.array([[0.5, 2.0]])
    with pytest.raises(AssertionError):
        check_gradient(lambda x: F.unpack(F.sign(x), np.float64), x, surrogate=lambda x: x)


def test_kinks_are_kept_clear_of():
    check_gradient(F.relu, np.zeros((2, 3)), kinks=(0,))


def test_no_inputs_are_refused():
    with pytest.raises(InputError):
        check_gradient(F.relu)
