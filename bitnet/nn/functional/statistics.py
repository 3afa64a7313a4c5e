"""Functions made of other operations, which freeze as these: variances, softmax, roots, axes."""

from bitnet.autograd import Axes, Tensor, TensorLike, as_tensor
from bitnet.errors import InputError, is_whole
from bitnet.nn.functional import shapes
from bitnet.nn.functional.arithmetic import power


def sqrt(x: TensorLike) -> Tensor:
    """Return the square root; also the method `x.sqrt`.

    Examples
    --------
    >>> sqrt([4.0, 9.0]).data
    array([2., 3.], dtype=float32)
    """
    return power(x, 0.5)


def min(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return the minimum over some axes; equal minima share the gradient; also `x.min`.

    Examples
    --------
    >>> min([[1.0, 3.0], [0.5, 2.0]], axis=1).data
    array([1. , 0.5], dtype=float32)
    """
    return -shapes.max(-as_tensor(x), axis, keepdims)


def var(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return the mean squared deviation from the mean over some axes; also `x.var`.

    Examples
    --------
    >>> var([1.0, 3.0]).item()
    1.0
    """
    x = as_tensor(x)
    return shapes.mean((x - shapes.mean(x, axis, keepdims=True)) ** 2, axis, keepdims)


def std(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return the square root of `var`; also `x.std`.

    Examples
    --------
    >>> std([1.0, 5.0]).item()
    2.0
    """
    return sqrt(var(x, axis, keepdims))


def softmax(x: TensorLike, axis: int = -1) -> Tensor:
    """Return the softmax over an axis: `exp(x) / sum exp(x)`; also the method `x.softmax`.

    Parameters
    ----------
    x : Tensor or array
        Floats of any shape with axes.
    axis : int, optional
        The axis over which exponentials are added.

    Returns
    -------
    Tensor
        Positive floats that add up to 1.

    Examples
    --------
    >>> softmax([[0.0, 0.0]]).data
    array([[0.5, 0.5]], dtype=float32)
    """
    x = as_tensor(x)
    powers = (x - shapes.max(x, axis, keepdims=True)).exp()
    return powers / shapes.sum(powers, axis, keepdims=True)


def log_softmax(x: TensorLike, axis: int = -1) -> Tensor:
    """Return the logarithm of the softmax over an axis; also the method `x.log_softmax`.

    Parameters
    ----------
    x : Tensor or array
        Floats of any shape with axes.
    axis : int, optional
        The axis over which exponentials are added.

    Returns
    -------
    Tensor
        Floats of at most 0.

    Examples
    --------
    >>> log_softmax([[0.0, 1000.0]]).data
    array([[-1000.,     0.]], dtype=float32)
    """
    x = as_tensor(x)
    x = x - shapes.max(x, axis, keepdims=True)
    return x - shapes.sum(x.exp(), axis, keepdims=True).log()


def squeeze(x: TensorLike, axis: int) -> Tensor:
    """Return x without an axis of size 1; also the method `x.squeeze`.

    Examples
    --------
    >>> squeeze([[1.0, 2.0]], 0).shape
    (2,)
    """
    x = as_tensor(x)
    if not is_whole(axis) or not -x.ndim <= axis < x.ndim or x.shape[axis] != 1:
        came = f"axis {axis!r:.40} of the shape {x.shape}"
        raise InputError(f"squeeze: got {came}; expected an axis of size 1")
    index = (slice(None),) * (int(axis) % x.ndim)
    return shapes.getitem(x, (*index, 0))


def unsqueeze(x: TensorLike, axis: int) -> Tensor:
    """Return x with a new axis of size 1 at a position; also the method `x.unsqueeze`.

    Examples
    --------
    >>> unsqueeze([1.0, 2.0], -1).shape
    (2, 1)
    """
    x = as_tensor(x)
    if not is_whole(axis) or not -x.ndim - 1 <= axis <= x.ndim:
        came = f"axis {axis!r:.40} for the shape {x.shape}"
        raise InputError(f"unsqueeze: got {came}; expected {-x.ndim - 1} to {x.ndim}")
    index = (slice(None),) * (int(axis) % (x.ndim + 1))
    return shapes.getitem(x, (*index, None))


def stack(*parts: TensorLike, axis: int = 0) -> Tensor:
    """Return Tensors of one shape along a new axis.

    Parameters
    ----------
    *parts : Tensor or array
        One or more, of one shape and type.
    axis : int, optional
        The position of the new axis.

    Returns
    -------
    Tensor
        With one more axis, whose size is the number of parts.

    Examples
    --------
    >>> stack([1.0, 2.0], [3.0, 4.0], axis=1).data
    array([[1., 3.],
           [2., 4.]], dtype=float32)
    """
    tensors = [as_tensor(part) for part in parts]
    if not tensors or len({own.shape for own in tensors}) > 1:
        came = ", ".join(str(own.shape) for own in tensors) or "nothing"
        raise InputError(f"stack: got {came}; expected Tensors of one shape")
    n = tensors[0].ndim
    y = shapes.concatenate(*(unsqueeze(own, n) for own in tensors))
    if not is_whole(axis) or not -n - 1 <= axis <= n:
        raise InputError(f"stack: axis is {axis!r:.40}; expected {-n - 1} to {n}")
    order = [*range(n)]
    order.insert(int(axis) % (n + 1), n)
    return shapes.transpose(y, order)
