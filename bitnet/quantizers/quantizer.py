"""What all quantizers share: values from codes, a slope, a name, and checks of ranges."""

import dataclasses
import functools
import math

import numpy as np

from bitnet.arrays import like
from bitnet.errors import InputError, is_whole

SMALL, LARGE = 1e-18, 1e18  # whose products with other such numbers float32 still holds


class Quantizer:
    """Numbers to k-bit codes and back, with a surrogate for the backward pass.

    Subclasses are frozen dataclasses of their settings with `codes(x)` and the `edges` of their
    surrogate, or `surrogate(x)` and `slope(x)` where smooth; x are floats of any shape.
    Quantizers of the same settings are equal.

    Attributes
    ----------
    bits : int
        k, the bits of a code.
    codebook : kernels.Codebook
        The numbers that the codes stand for.
    name : str
        With the settings that are not the default; `quantizer_named` reads it.
    formula : str
        The forward pass in a line, for pictures.
    smooth : bool
        Whether the slope of the surrogate has other values than 0 and 1.
    elementwise : bool
        Whether a code depends on its own number alone, as required of activations.

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

    smooth = False
    elementwise = True

    @functools.cached_property
    def codebook(self):
        """What the codes stand for, a `kernels.Codebook`."""
        return self._codebook()

    def values(self, x):
        """The numbers that `x` becomes, floats of its shape and type."""
        return like(self.codebook.values(x.dtype), x)[self.codes(x)]

    def surrogate(self, x):
        """The function whose slope is the quantizer's: by default x clipped to its `edges`."""
        return x.clip(*self.edges)

    def passes(self, x):
        """Where gradients pass: inside the edges."""
        low, high = map(x.dtype.type, self.edges)
        return (low <= x) & (x <= high)

    def slope(self, x):
        """The factor of the gradient: 1 where it passes, otherwise 0."""
        return self.passes(x).astype(x.dtype)

    @property
    def name(self):
        """The word of the quantizer and its settings, without those at the end that are usual."""
        fields = [*dataclasses.fields(self)]
        while fields and getattr(self, fields[-1].name) == self._usual(fields[-1]):
            fields.pop()
        return ":".join([self.word, *(_text(getattr(self, field.name)) for field in fields)])

    def _usual(self, field):
        """What a setting is where it is not given."""
        return field.default

    def _whole(self, name, least, most, why=""):
        """Refuse a setting that is no whole number in its range."""
        value = getattr(self, name)
        if not is_whole(value) or not least <= value <= most:
            expected = f"a whole number from {least} to {most}{why}"
            raise InputError(f"{type(self).__name__}: {name} is {value!r}; expected {expected}")
        object.__setattr__(self, name, int(value))

    def _number(self, name, most=LARGE):
        """Refuse a setting that is no number in its range."""
        value = getattr(self, name)
        real = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        if not real or not SMALL <= value <= most:
            end = f" to {most:g}" if most < math.inf else " on, or inf"
            raise InputError(
                f"{type(self).__name__}: {name} is {value!r}; expected a number from {SMALL:g}{end}"
            )
        object.__setattr__(self, name, float(value))

    def _flag(self, name):
        """Refuse a setting that is neither True nor False."""
        if not isinstance(getattr(self, name), (bool, np.bool_)):
            value = getattr(self, name)
            raise InputError(f"{type(self).__name__}: {name} is {value!r}; expected True or False")


def _text(setting):
    """A setting as it stands in a name."""
    if isinstance(setting, bool):
        return "signed" if setting else "unsigned"
    return repr(setting).removesuffix(".0")
