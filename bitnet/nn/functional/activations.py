"""Float activations: ReLU for the float twin, and the hard tanh, the surrogate of the sign."""

from bitnet.arrays import array_module
from bitnet.autograd import Function, Tensor, TensorLike


class ReLU(Function):
    """max(x, 0), with slope 0 at 0."""

    def forward(self, x):
        self.positive = x > 0
        return array_module(x).maximum(x, 0)

    def backward(self, grad_y):
        return grad_y * self.positive


def relu(x: TensorLike) -> Tensor:
    """Return `max(x, 0)`; the slope at 0 is 0.

    Parameters
    ----------
    x : Tensor
        Floats of any shape.

    Examples
    --------
    >>> relu([-1.0, 2.0]).data
    array([0., 2.], dtype=float32)
    """
    return ReLU()(x)


class HardTanh(Function):
    """x clipped to [-1, 1], with slope 1 on the boundary."""

    def forward(self, x):
        self.inside = abs(x) <= 1
        return array_module(x).clip(x, -1, 1)

    def backward(self, grad_y):
        return grad_y * self.inside


def hardtanh(x: TensorLike) -> Tensor:
    """Return the hard tanh, `clip(x, -1, 1)`, equation 5 of the papers; slope 1 where |x| <= 1.

    Parameters
    ----------
    x : Tensor
        Floats of any shape.

    Examples
    --------
    >>> hardtanh([-3.0, 0.5]).data
    array([-1. ,  0.5], dtype=float32)
    """
    return HardTanh()(x)
