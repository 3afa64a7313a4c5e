"""The base class of quantizers: values, surrogate, slope, name, and checks of settings."""

import dataclasses
import functools
import math

import numpy as np

from bitnet.arrays import Array, like
from bitnet.errors import InputError, is_whole
from bitnet.kernels import Codebook

SMALL, LARGE = 1e-18, 1e18  # products of two such numbers are in the range of float32


class Quantizer:
    """The base class of quantizers: real values to k-bit codes, with a surrogate.

    Subclasses are frozen dataclasses of their settings.  They define `codes(x)` for floats of any
    shape, and the `edges` of the surrogate, or `surrogate(x)` and `slope(x)` if it is smooth.
    Quantizers with the same settings are equal.

    Attributes
    ----------
    bits : int
        k, the number of bits per code.
    codebook : kernels.Codebook
        The values of the codes.
    name : str
        The name for `quantizer_named`, with the settings that differ from the defaults.
    formula : str
        The forward pass in one line, for plots.
    smooth : bool
        Whether the slope of the surrogate has values other than 0 and 1.
    elementwise : bool
        Whether each code depends only on its own value, as activations require.

    Examples
    --------
    >>> from bitnet.quantizers import LinearQuant
    >>> quantizer = LinearQuant(2, 0.5)
    >>> quantizer.codes(np.float32([-9.0, 0.3])), quantizer.values(np.float32([-9.0, 0.3]))
    (array([0, 3], dtype=uint8), array([-1. ,  0.5], dtype=float32))
    >>> quantizer.slope(np.float32([-9.0, 0.3])), quantizer.surrogate(np.float32([-9.0, 0.3]))
    (array([0., 1.], dtype=float32), array([-1. ,  0.3], dtype=float32))
    >>> quantizer.name
    'linear:2:0.5'
    """

    bits: int
    word: str  # the first part of the name
    smooth = False
    elementwise = True

    @functools.cached_property
    def codebook(self) -> Codebook:
        """The values of the codes, a `kernels.Codebook`."""
        return self._codebook()

    def _codebook(self) -> Codebook:
        raise TypeError(f"{type(self).__name__} has no _codebook; a Quantizer defines one")

    @property
    def edges(self) -> tuple[float, float]:
        """The range in which gradients pass."""
        raise TypeError(f"{type(self).__name__} has no edges; a Quantizer defines edges or slope")

    def codes(self, x: Array) -> Array:
        """Return the codes of floats, uint8 of the same shape."""
        raise TypeError(f"{type(self).__name__} has no codes; a Quantizer defines codes(x)")

    def values(self, x: Array) -> Array:
        """Return the quantized values of floats, of the same shape and dtype."""
        return like(self.codebook.values(x.dtype), x)[self.codes(x)]

    def surrogate(self, x: Array) -> Array:
        """Return the surrogate of floats: by default x clipped to `edges`."""
        return x.clip(*self.edges)

    def passes(self, x: Array) -> Array:
        """Return where gradients pass, inside the edges, as bool."""
        low, high = map(x.dtype.type, self.edges)
        return (low <= x) & (x <= high)

    def slope(self, x: Array) -> Array:
        """Return the slope of the surrogate: 1 where gradients pass, otherwise 0."""
        return self.passes(x).astype(x.dtype)

    @property
    def name(self) -> str:
        """The word of the quantizer and its settings, without trailing defaults."""
        fields = [*dataclasses.fields(self)]  # type: ignore[arg-type]  # of a subclass
        while fields and getattr(self, fields[-1].name) == self._usual(fields[-1]):
            fields.pop()
        return ":".join([self.word, *(_text(getattr(self, field.name)) for field in fields)])

    def _usual(self, field):
        """Return the default of a setting."""
        return field.default

    def _whole(self, name, least, most, why=""):
        """Raise InputError unless a setting is a whole number in its range."""
        value = getattr(self, name)
        if not is_whole(value) or not least <= value <= most:
            expected = f"a whole number from {least} to {most}{why}"
            raise InputError(f"{type(self).__name__}: {name} is {value!r}; expected {expected}")
        object.__setattr__(self, name, int(value))

    def _number(self, name, most=LARGE):
        """Raise InputError unless a setting is a number in its range."""
        value = getattr(self, name)
        real = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        if not real or not SMALL <= value <= most:
            end = f" to {most:g}" if most < math.inf else " up, or inf"
            raise InputError(
                f"{type(self).__name__}: {name} is {value!r}; expected a number from {SMALL:g}{end}"
            )
        object.__setattr__(self, name, float(value))

    def _flag(self, name):
        """Raise InputError unless a setting is True or False."""
        if not isinstance(getattr(self, name), (bool, np.bool_)):
            value = getattr(self, name)
            raise InputError(f"{type(self).__name__}: {name} is {value!r}; expected True or False")


def _text(setting):
    """Return the text of a setting in a name."""
    if isinstance(setting, bool):
        return "signed" if setting else "unsigned"
    return repr(setting).removesuffix(".0")
