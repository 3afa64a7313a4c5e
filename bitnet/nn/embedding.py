"""The vectors of words or characters as a layer."""

from bitnet.devices import check_generator
from bitnet.errors import check_count
from bitnet.nn import functional
from bitnet.nn.functional.embedding import check_ids
from bitnet.nn.functional.scaled import QuantizeScaled
from bitnet.nn.module import Module
from bitnet.nn.quantized import activation_quantizer, uniform
from bitnet.quantizers.scales import scale_of


class Embedding(Module):
    """The vectors of words or characters: rows of a table by their numbers.

    With a quantizer the rows are packed, with one scale for the table, as the next layer's inputs.

    Parameters
    ----------
    count, width : int
        Rows V and columns N of the table.
    rng : numpy.random.Generator
        The source of the first numbers, U(-half, half).
    activations : int or Quantizer or str, optional
        Bits, from 1 to 8, or a quantizer or its name; floats by default.
    half : float, optional
        The bound of the first numbers.

    Attributes
    ----------
    weight : Parameter
        The table, float32 of shape (V, N).

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> Embedding(50, 8, rng)(np.zeros((35, 20), int)).shape
    (35, 20, 8)
    >>> Embedding(50, 8, rng, activations=4)([[1, 2]]).data.shape
    (1, 2, 8)
    """

    shown = ("count", "width")

    def __init__(self, count, width, rng, activations=None, half=0.1):
        check_count("Embedding", count=count, width=width)
        check_generator("Embedding", rng)
        self.count, self.width = int(count), int(width)
        self.activations = None
        if activations is not None:
            self.activations = activation_quantizer("Embedding", activations)
        self.weight = uniform(rng, (count, width), half, self.activations)

    def __call__(self, ids):
        return self.forward(check_ids("Embedding", ids, self.count))

    def forward(self, ids):
        rows = functional.embedding(ids, self.weight)
        if self.activations is None:
            return rows
        return QuantizeScaled(self.activations, self.scale)(rows)

    @property
    def scale(self):
        """What the rows are divided by before they are quantized."""
        quantizer = self.activations
        return self.weight.derived(f"scale {quantizer.name}", lambda x: scale_of(x, quantizer))
