"""Float activations: ReLU, PReLU, and the hard tanh, the surrogate of the sign."""

from bitnet.arrays import array_module, floats
from bitnet.autograd import Function, Tensor, TensorLike, as_tensor
from bitnet.errors import unfit


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


class PReLU(Function):
    """x where it is above 0, otherwise slope * x."""

    def forward(self, x, slope):  # (..., C), (C,) or (1,)
        self.x, self.slope = floats(x), slope
        self.positive = self.x > 0
        return array_module(x).where(self.positive, self.x, self.x * slope)

    def backward(self, grad_y):
        xp = array_module(grad_y)
        grad_x = xp.where(self.positive, grad_y, grad_y * self.slope)
        parts = xp.where(self.positive, 0, grad_y * self.x)
        axes = tuple(range(parts.ndim - (len(self.slope) > 1)))
        return grad_x, parts.sum(axis=axes).reshape(self.slope.shape)


def prelu(x: TensorLike, slope: TensorLike) -> Tensor:
    """Return `x` where it is above 0, and `slope * x` elsewhere (He et al., arXiv 1502.01852).

    Parameters
    ----------
    x : Tensor or array
        Floats of shape (..., C), or integers, which count as float32.
    slope : Tensor or array
        Floats of shape (C,), or (1,) for one slope for all channels.

    Returns
    -------
    Tensor
        Floats of the shape of x.

    Examples
    --------
    >>> prelu([[-2.0, -2.0], [3.0, -4.0]], [0.25, 0.5]).data
    array([[-0.5, -1. ],
           [ 3. , -2. ]], dtype=float32)
    """
    x, slope = as_tensor(x), as_tensor(slope)
    if not slope.is_float or not x.ndim or slope.shape not in ((1,), x.shape[-1:]):
        raise unfit("prelu", "numbers (..., C), and slopes of floats, (C,) or (1,)", x, slope)
    return PReLU()(x, slope)


class HardTanh(Function):
    """x clipped to [-1, 1], with slope 1 on the boundary."""

    def forward(self, x):
        x = floats(x)
        self.inside = abs(x) <= 1
        return array_module(x).clip(x, -1, 1)

    def backward(self, grad_y):
        return grad_y * self.inside


def hardtanh(x: TensorLike) -> Tensor:
    """Return the hard tanh, `clip(x, -1, 1)`, equation 5 of the papers; slope 1 where |x| <= 1.

    Parameters
    ----------
    x : Tensor
        Floats of any shape, or integers, which count as float32.

    Examples
    --------
    >>> hardtanh([-3.0, 0.5]).data
    array([-1. ,  0.5], dtype=float32)
    """
    return HardTanh()(x)
