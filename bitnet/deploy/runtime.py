"""A frozen net: integers from the first product to the last, then one batch norm in float.

Needs `bitnet.kernels` only, that is, NumPy; with Numba installed the same integers come
faster.  Algorithm 4 of the papers, with batch norm and sign as one integer comparison.
"""

import dataclasses
import functools
import math

import numpy as np

from bitnet import kernels
from bitnet.errors import InputError
from bitnet.kernels import Bits, Thresholds

__all__ = ["INPUTS", "FrozenLayer", "FrozenNet", "FrozenOutput"]

INPUTS = ("pixels", "signs")
BATCH = 200  # rows at once: what lies between the layers stays in the cache


@dataclasses.dataclass(frozen=True)
class FrozenLayer:
    """A hidden layer: XNOR products, then one integer comparison a unit.

    Attributes
    ----------
    bits : Bits
        The ±1 weights, shape (M, N).
    thresholds : numpy.ndarray
        int32 of shape (M,).
    rising : numpy.ndarray
        Booleans of shape (M,): the unit gives +1 where `z >= threshold` (True), or where
        `z <= threshold` (False).

    Examples
    --------
    >>> bits = kernels.pack(np.array([[1.0, 1.0, -1.0]]))
    >>> layer = FrozenLayer(bits, np.array([1], np.int32), np.array([True]))
    >>> layer.outputs(np.array([[3], [-1]], np.int32)).signs()
    array([[ 1],
           [-1]], dtype=int8)
    """

    bits: Bits
    thresholds: np.ndarray
    rising: np.ndarray

    def __repr__(self):
        return f"FrozenLayer({self.bits!r})"

    @functools.cached_property
    def steps(self):
        """The thresholds as the kernels take them."""
        return Thresholds(self.thresholds, self.rising)

    def outputs(self, z):
        """The signs that the unit gives to integer pre-activations: (B, M) to Bits (B, M)."""
        return kernels.threshold(z, self.steps)


@dataclasses.dataclass(frozen=True)
class FrozenOutput:
    """The last layer: XNOR products, then its batch norm `(z - mean) * scale + shift`.

    Attributes
    ----------
    bits : Bits
        The ±1 weights, shape (C, N).
    mean, scale, shift : numpy.ndarray
        float32 of shape (C,).

    Examples
    --------
    >>> bits = kernels.pack(np.array([[1.0, 1.0]]))
    >>> half = np.array([0.5], np.float32)
    >>> FrozenOutput(bits, half, half, half).outputs(np.array([[2]], np.int32))
    array([[1.25]], dtype=float32)
    """

    bits: Bits
    mean: np.ndarray
    scale: np.ndarray
    shift: np.ndarray

    def __repr__(self):
        return f"FrozenOutput({self.bits!r})"

    def outputs(self, z):
        """The scores from integer pre-activations: int32 (B, C) to float32 (B, C)."""
        return (z.astype(np.float32) - self.mean) * self.scale + self.shift


class FrozenNet:
    """A net of bits, thresholds and one last batch norm, as `bitnet.freeze` makes it.

    Parameters
    ----------
    layers : list of FrozenLayer, the last a FrozenOutput
        In order; the outputs of each are the inputs of the next.
    input : {"pixels", "signs"}
        What the first layer takes: uint8 pixels, or ±1.

    Attributes
    ----------
    layers : list
        `layers[i].bits` are the ±1 weights of layer i.  The arrays are read-only: a net is
        changed by building another one.

    Raises
    ------
    InputError
        If the layers do not fit together.

    Examples
    --------
    >>> import bitnet
    >>> rng = np.random.default_rng(0)
    >>> net = bitnet.freeze(bitnet.models.binary_mlp([784, 64, 10], rng))
    >>> net
    FrozenNet(784-64-10, pixels)
    >>> net.predict(np.zeros((3, 784), np.uint8)).shape
    (3,)
    >>> net.scores(np.zeros((3, 784), np.uint8)).dtype
    dtype('float32')
    """

    def __init__(self, layers, input="pixels"):
        self.layers, self.input = list(layers), input
        if input not in INPUTS:
            raise InputError(f"FrozenNet: input is {input!r}; expected one of {INPUTS}")
        kinds = [type(layer) for layer in self.layers]
        if not kinds or kinds != [FrozenLayer] * (len(kinds) - 1) + [FrozenOutput]:
            raise InputError("FrozenNet: expected FrozenLayers and, at the end, a FrozenOutput")
        for i, layer in enumerate(self.layers):
            _check_layer(i, layer, self.layers[i - 1].bits.shape[0] if i else None)
        for layer in self.layers:  # what the products lay out and keep stays true
            arrays = [value for value in vars(layer).values() if isinstance(value, np.ndarray)]
            for array in (layer.bits.words, *arrays):
                array.flags.writeable = False
        self._weights = [kernels.prepare(layer.bits) for layer in self.layers]

    @property
    def sizes(self):
        """The widths of the input, of each hidden layer, and of the output."""
        return [self.layers[0].bits.shape[1], *(layer.bits.shape[0] for layer in self.layers)]

    def __repr__(self):
        return f"FrozenNet({'-'.join(map(str, self.sizes))}, {self.input})"

    def pre_activations(self, x):
        """The integer pre-activations of every layer, the last one included.

        Parameters
        ----------
        x : numpy.ndarray or Bits
            As for `scores`.

        Returns
        -------
        list of numpy.ndarray
            int32 of shape (B, M), one a layer.

        Raises
        ------
        InputError
            If the input does not fit.
        """
        return self._run(self.check_input(x))

    def scores(self, x):
        """The outputs of the last batch norm.

        Parameters
        ----------
        x : numpy.ndarray or Bits
            For "pixels": uint8 of shape (B, N), or (B, height, width) with N pixels in all.
            For "signs": Bits, or numbers that are +1 and -1, of shape (B, N).  B may be 0.

        Returns
        -------
        numpy.ndarray
            float32 of shape (B, C).

        Raises
        ------
        InputError
            If the input does not fit.
        """
        x = self.check_input(x)
        parts = [self._integers(x[i : i + BATCH]) for i in range(0, max(1, len(x)), BATCH)]
        return self.layers[-1].outputs(np.concatenate(parts))

    def predict(self, x):
        """The classes: the index of the largest score.

        Parameters
        ----------
        x : numpy.ndarray or Bits
            As for `scores`.

        Returns
        -------
        numpy.ndarray
            int64 of shape (B,).

        Raises
        ------
        InputError
            If the input does not fit.
        """
        return self.scores(x).argmax(axis=1)

    def save(self, path):
        """Write the net to a file; see `bitnet.deploy.file.save`."""
        from bitnet.deploy import file

        file.save(self, path)

    def _run(self, x):
        """The pre-activations of all layers for a checked input."""
        first, *others = self._weights
        z = [_product(x, first)]
        for layer, weight in zip(self.layers, others, strict=False):
            z.append(kernels.xnor_gemm(layer.outputs(z[-1]), weight))
        return z

    def _integers(self, x):
        """The pre-activations of the last layer; those of the others stay in registers."""
        *hidden, last = self._weights
        layers = list(zip(self.layers, hidden, strict=False))
        if not isinstance(x, Bits):
            if not layers:
                return _product(x, last)
            layer, weight = layers.pop(0)
            x = layer.outputs(_product(x, weight))
        for layer, weight in layers:
            x = kernels.xnor_sign(x, weight, layer.steps)
        return kernels.xnor_gemm(x, last)

    def check_input(self, x):
        """The input, once it fits, as uint8 pixels (B, N) or as Bits (B, N)."""
        n = self.sizes[0]
        if isinstance(x, Bits):
            if self.input != "signs" or x.ndim != 2 or x.shape[1] != n:
                raise InputError(
                    f"{self}: got Bits of shape {x.shape}; expected {self.input} of shape (B, {n})"
                )
            return x
        try:
            x = np.asarray(x)
        except ValueError:
            raise InputError(f"{self}: got rows of different length; expected (B, {n})") from None
        if x.ndim < 2 or math.prod(x.shape[1:]) != n:
            raise InputError(
                f"{self}: got an array of shape {x.shape}; expected (B, {n}), "
                "one row an image (for a single image: image[None])"
            )
        x = x.reshape(len(x), n)
        if self.input == "pixels":
            if x.dtype != np.uint8:
                raise InputError(
                    f"{self}: got {x.dtype}; expected uint8 pixels from 0 to 255 "
                    "(of floats from 0 to 1: (255 * x).round().astype(numpy.uint8))"
                )
            return x
        if x.dtype.kind not in "fi" or not (abs(x) == 1).all():
            raise InputError(f"{self}: got other numbers than +1 and -1")
        return kernels.pack(x)


def _product(x, bits):
    """The first product: of signs or of pixels."""
    return kernels.xnor_gemm(x, bits) if isinstance(x, Bits) else kernels.plane_gemm(x, bits)


def _check_layer(i, layer, n_previous):
    """Refuse a layer whose arrays do not fit each other or the layer before."""
    m, n = layer.bits.shape if layer.bits.ndim == 2 else (0, 0)
    if m < 1 or n < 1 or n_previous not in (None, n):
        raise InputError(
            f"layer {i} has weights of shape {layer.bits.shape}; "
            f"expected (M, {n_previous or 'N'}) with M and N of 1 or more"
        )
    types = {"thresholds": np.int32, "rising": np.bool_}
    types |= dict.fromkeys(("mean", "scale", "shift"), np.float32)
    for field in dataclasses.fields(layer)[1:]:
        array = getattr(layer, field.name)
        if array.shape != (m,) or array.dtype != types[field.name]:
            raise InputError(
                f"layer {i}: {field.name} is {array.dtype} of shape {array.shape}; "
                f"expected {np.dtype(types[field.name])} of shape ({m},)"
            )
        if not np.isfinite(array).all():
            raise InputError(f"layer {i}: {field.name} holds NaN or infinity")
