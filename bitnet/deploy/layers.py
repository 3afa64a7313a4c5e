"""The layers of a frozen net: integer products of bits, then integer comparisons in each unit."""

import dataclasses
import functools
import math
import operator

import numpy as np

from bitnet import kernels
from bitnet.arrays import array_module, is_array
from bitnet.deploy.unique import Reuse
from bitnet.errors import InputError
from bitnet.kernels import Bits, Levels, Planes, Thresholds, Window

__all__ = ["FrozenConv", "FrozenLayer", "FrozenOutput"]


PIXEL, POOLINGS = Window((1, 1)), ("max", "average")
MAX_INPUTS = (1 << 31) // 256  # of a unit: pixels count as up to 255 each, and sums are int32


class _Weighted:
    """What layers share: their weights laid out."""

    @functools.cached_property
    def weight(self):
        """The bits, which keep what the products lay out of them."""
        return kernels.prepare(self.bits)


class _Hidden(_Weighted):
    """What hidden layers share: thresholds, and what comes out of them."""

    @functools.cached_property
    def steps(self):
        """The thresholds as the kernels take them."""
        return Thresholds(self.thresholds, self.rising)

    def activations(self, z):
        """What the thresholds make of integers (..., M): Bits, or Planes of several bits."""
        if self.levels is None:
            return kernels.threshold(z, self.steps)
        return self.levels.planes(kernels.rank(z, self.steps))

    def is_binary(self, x):
        """Whether inputs, weights and outputs are signs, so that the integers stay in registers."""
        return self.levels is None and isinstance(x, Bits) and isinstance(self.bits, Bits)


@dataclasses.dataclass(frozen=True)
class FrozenLayer(_Hidden):
    """A hidden layer: XNOR products, then `2^k - 1` integer comparisons in each unit.

    Attributes
    ----------
    bits : Bits or Planes
        The weights, shape (M, N).
    thresholds : numpy.ndarray
        int32 of shape (M,), or (M, L) for outputs of L + 1 codes.
    rising : numpy.ndarray
        Booleans of shape (M,): a threshold is passed where `z >= threshold` (True), or where
        `z <= threshold` (False).
    levels : Levels or None
        What the output codes, the numbers of thresholds that are passed, stand for; None for
        signs, +1 where the threshold is passed.
    weight_levels : Levels or None
        What the codes of the weights stand for, if they are Planes.

    Examples
    --------
    >>> bits = kernels.pack(np.array([[1.0, 1.0, -1.0]]))
    >>> layer = FrozenLayer(bits, np.array([1], np.int32), np.array([True]))
    >>> layer.outputs(np.array([[3], [-1]], np.int32)).signs()
    array([[ 1],
           [-1]], dtype=int8)
    """

    bits: Bits | Planes
    thresholds: np.ndarray
    rising: np.ndarray
    levels: Levels | None = None
    weight_levels: Levels | None = None

    def __repr__(self):
        return f"FrozenLayer({self.bits!r}{_outputs(self)})"

    def integers(self, x):
        """The pre-activations, int32 (B, M), of pixels, Bits or Planes with N numbers a row."""
        return product(x, self.weight)

    def outputs(self, z):
        """What comes out for integer pre-activations (B, M): Bits or Planes (B, M)."""
        return self.activations(z)

    def run(self, x):
        """`outputs(integers(x))`; of signs the integers stay in registers."""
        if not self.is_binary(x):
            return self.outputs(self.integers(x))
        return kernels.xnor_sign(kernels.flatten(x), self.weight, self.steps)


@dataclasses.dataclass(frozen=True)
class FrozenConv(_Hidden):
    """A convolution: XNOR products, max-pooling if there is one, comparisons in each channel.

    The sign of the largest integer is +1 where one of the signs is, if the channel rises, and
    where all of them are, if it falls: pooling is OR or AND of bits.

    Attributes
    ----------
    bits : Bits or Planes
        The filters, shape (M, rows, columns, C / groups).
    thresholds, rising, levels, weight_levels : optional
        As for `FrozenLayer`.
    window : Window
        The taps of the convolution.
    pool : Window or None
        Those of the pooling behind it.
    groups : int
        Groups of channels, each with filters of its own.
    pooling : {"max", "average"}
        Which pooling; the average of integers is their sum.

    Examples
    --------
    >>> bits = kernels.pack(np.ones((1, 2, 2, 1)))
    >>> steps = np.array([2], np.int32), np.array([True])
    >>> layer = FrozenConv(bits, *steps, Window((2, 2)), Window((2, 2), (2, 2)))
    >>> layer
    FrozenConv(Bits(shape=(1, 2, 2, 1), 32 bytes), pooled 2x2)
    >>> layer.run(kernels.pack(np.ones((1, 3, 3, 1)))).signs().ravel()
    array([1], dtype=int8)
    """

    bits: Bits | Planes
    thresholds: np.ndarray
    rising: np.ndarray
    window: Window
    pool: Window | None = None
    groups: int = 1
    levels: Levels | None = None
    weight_levels: Levels | None = None
    pooling: str = "max"

    def __repr__(self):
        pooled = f", pooled {self.pool.size[0]}x{self.pool.size[1]}" if self.pool else ""
        groups = f", groups={self.groups}" if self.groups > 1 else ""
        return f"FrozenConv({self.bits!r}{groups}{pooled}{_outputs(self)})"

    def integers(self, x):
        """The pre-activations, int32 (B, H', W', M), of pixels, Bits or Planes (B, H, W, C)."""
        return kernels.plane_conv(x, self.weight, self.window, self.groups)

    def outputs(self, z):
        """What comes out for integer pre-activations, pooled: Bits or Planes (B, H'', W'', M)."""
        if self.pool and self.pooling == "average":
            z = sums(z, self.pool)
        elif self.pool:
            z, _ = kernels.max_pool(z, self.pool)
        return self.activations(z)

    @functools.cached_property
    def reuse(self):
        """The same convolution, of one group, with equal or opposite filters multiplied once."""
        return Reuse(self.bits, self.steps, self.window)

    def run(self, x):
        """`outputs(integers(x))`; of signs the integers stay in registers."""
        if self.pool and self.pooling == "average":
            return self.outputs(self.integers(x))
        reusable = self.groups == 1 and self.levels is None and isinstance(self.bits, Bits)
        reusable = reusable and array_module(self.bits) is np
        if reusable and not isinstance(x, Planes) and self.reuse.pays(x):
            y = self.reuse.signs(x)
        elif self.is_binary(x):
            y = kernels.xnor_conv_sign(x, self.weight, self.window, self.steps, self.groups)
        else:
            return self.outputs(self.integers(x))
        return self._pooled(y) if self.pool else y

    def _pooled(self, y):
        """OR over each window for channels that rise, AND for those that fall."""
        falling = kernels.pack(~self.rising).words  # AND is OR of the opposites
        words = y.words ^ falling
        if any(map(any, self.pool.padding)):
            words = array_module(words).pad(words, ((0, 0), *self.pool.padding, (0, 0)))
        words = functools.reduce(operator.or_, self.pool.seen(words)) ^ falling
        return Bits(words, (*words.shape[:3], y.shape[3]))

    def shape_after(self, height, width):
        """Rows and columns of the outputs for images of this size."""
        size = self.window.output(height, width)
        return self.pool.output(*size) if self.pool else size


@dataclasses.dataclass(frozen=True)
class FrozenOutput(_Weighted):
    """The last layer: XNOR products, then its batch norm `(z - mean) * scale + shift`.

    Behind the last average of a net without other fully connected layers, the weights are 1x1
    filters: the products of all pixels are added.

    Attributes
    ----------
    bits : Bits or Planes
        The weights, shape (C, N), or (C, 1, 1, N) for images.
    mean, scale, shift : numpy.ndarray
        float32 of shape (C,).
    weight_levels : Levels or None
        As for `FrozenLayer`.
    pool : Window or None
        The whole of the images, for 1x1 filters.

    Examples
    --------
    >>> half = np.array([0.5], np.float32)
    >>> FrozenOutput(kernels.pack(half[None]), half, half, half).outputs(np.array([[1]]))
    array([[0.75]], dtype=float32)
    """

    bits: Bits | Planes
    mean: np.ndarray
    scale: np.ndarray
    shift: np.ndarray
    weight_levels: Levels | None = None
    pool: Window | None = None

    def __repr__(self):
        return f"FrozenOutput({self.bits!r})"

    def integers(self, x):
        """The pre-activations, int32 (B, C), of pixels, Bits or Planes with N numbers a row.

        Of images with 1x1 filters (B, H, W, C), before they are added.
        """
        if self.pool:
            return kernels.plane_conv(x, self.weight, PIXEL)
        return product(x, self.weight)

    def outputs(self, z):
        """The scores from integer pre-activations: int32 (B, ...) to float32 (B, C)."""
        if self.pool:
            z = sums(z, self.pool)[:, 0, 0]
        return (z.astype(np.float32) - self.mean) * self.scale + self.shift


def product(x, weight):
    """The product of pixels (B, N), or of Bits or Planes as rows, with weights."""
    return kernels.plane_gemm(x if is_array(x) else kernels.flatten(x), weight)


def sums(z, window):
    """The sums of the integers that each window sees: (B, H, W, C) to (B, H', W', C)."""
    views = window.views(z)
    return sum(views[:, :, :, i, j] for i, j in np.ndindex(*window.size))


def _outputs(layer):
    """How many bits come out, for a repr."""
    return f", {layer.levels.bits} bits out" if layer.levels else ""


def check_layer(i, layer, shape):
    """Refuse a layer whose arrays do not fit each other or its inputs, of the given shape.

    Returns the shape of its outputs.
    """
    is_conv, wanted = isinstance(layer, FrozenConv), layer.bits.shape
    averages = isinstance(layer, FrozenOutput) and layer.pool is not None
    m, n, inputs = wanted[0], wanted[-1], math.prod(shape)
    if is_conv or averages:
        groups = layer.groups if is_conv else 1
        inputs = kernels.check_groups(f"layer {i}", shape[-1], m, groups)
    expected = ("M", "rows", "columns", inputs) if is_conv else ("M", inputs)
    if averages:
        expected = ("M", 1, 1, inputs)
    if len(wanted) != len(expected) or min(wanted) < 1 or n != expected[-1]:
        raise InputError(
            f"layer {i} has weights of shape {wanted}; expected "
            f"({', '.join(map(str, expected))}) with sizes of 1 or more"
        )
    levels = getattr(layer, "levels", None)
    arrays = {"thresholds": np.int32, "rising": np.bool_}
    arrays |= dict.fromkeys(("mean", "scale", "shift"), np.float32)
    for name in arrays.keys() & {field.name for field in dataclasses.fields(layer)}:
        array, fitting = getattr(layer, name), (m,)
        if name == "thresholds" and levels is not None:
            fitting = m, len(levels) - 1
        if array.shape != fitting or array.dtype != arrays[name]:
            raise InputError(
                f"layer {i}: {name} is {array.dtype} of shape {array.shape}; "
                f"expected {np.dtype(arrays[name])} of shape {fitting}"
            )
        if not np.isfinite(array).all():
            raise InputError(f"layer {i}: {name} holds NaN or infinity")
    if levels is not None and not _in_order(layer):
        raise InputError(f"layer {i}: its thresholds are not in order")
    if math.prod(wanted[1:]) > MAX_INPUTS:
        raise InputError(
            f"layer {i}: a unit has {math.prod(wanted[1:])} inputs; expected at most {MAX_INPUTS}"
        )
    if averages and (layer.pool.size != shape[:2] or any(map(any, layer.pool.padding))):
        raise InputError(f"layer {i}: {layer.pool!r} averages images of {shape[:2]}; expected all")
    if not is_conv:
        return (m,)
    if layer.pooling not in POOLINGS:
        raise InputError(f"layer {i}: pooling is {layer.pooling!r}; expected one of {POOLINGS}")
    if wanted[1:3] != tuple(layer.window.size):
        raise InputError(f"layer {i}: filters of shape {wanted} for {layer.window!r}")
    for window in (layer.window, layer.pool):
        if window and max(n for pair in window.padding for n in pair) >= max(window.size):
            raise InputError(f"layer {i}: {window!r}; expected a padding below the number of taps")
    try:
        return (*layer.shape_after(*shape[:2]), m)
    except InputError as error:
        raise InputError(f"layer {i}: {error}") from None


def _in_order(layer):
    """Whether thresholds rise along a row of units that rise, and fall where they fall."""
    steps = np.diff(layer.thresholds.astype(np.int64), axis=1)
    return bool(np.where(layer.rising[:, None], steps >= 0, steps <= 0).all())
