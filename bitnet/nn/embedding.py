"""The embedding layer: the vectors of words or characters."""

from typing import Any

import numpy as np

from bitnet.autograd import Tensor
from bitnet.devices import check_generator
from bitnet.errors import check_count
from bitnet.nn import functional
from bitnet.nn.functional.embedding import check_ids
from bitnet.nn.functional.scaled import QuantizeScaled
from bitnet.nn.module import Module
from bitnet.nn.quantized import activation_quantizer_of, uniform
from bitnet.quantizers import Quantizer
from bitnet.quantizers.scales import scale_of


class Embedding(Module):
    """A table with one vector per word or character.

    With a quantizer the rows are packed, with one scale for the whole table.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        Rows V and columns N of the table.
    rng : numpy.random.Generator
        The generator of the initial values, U(-half, half).
    activation_quantizer : int or Quantizer or str, optional
        A number of bits from 1 to 8, a quantizer, or its name; floats by default.
    half : float, optional
        The bound of the initial values.

    Attributes
    ----------
    weight : Parameter
        The table, float32 of shape (V, N).

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> Embedding(50, 8, rng=rng)(np.zeros((35, 20), int)).shape
    (35, 20, 8)
    >>> Embedding(50, 8, rng=rng, activation_quantizer=4)([[1, 2]]).data.shape
    (1, 2, 8)
    """

    shown: tuple[str, ...] = ("num_embeddings", "embedding_dim")

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        *,
        rng: np.random.Generator,
        activation_quantizer: int | str | Quantizer | None = None,
        half: float = 0.1,
    ) -> None:
        check_count("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        check_generator("Embedding", rng)
        self.num_embeddings, self.embedding_dim = int(num_embeddings), int(embedding_dim)
        self.activation_quantizer = None
        if activation_quantizer is not None:
            self.activation_quantizer = activation_quantizer_of("Embedding", activation_quantizer)
        self.weight = uniform(rng, (num_embeddings, embedding_dim), half, self.activation_quantizer)

    def forward(self, ids: Any) -> Tensor:
        """Return the rows with these ids, packed if there is a quantizer."""
        rows = functional.embedding(check_ids("Embedding", ids, self.num_embeddings), self.weight)
        if self.activation_quantizer is None:
            return rows
        return QuantizeScaled(self.activation_quantizer, self.scale)(rows)

    @property
    def scale(self):
        """The divisor of the rows before they are quantized."""
        quantizer = self.activation_quantizer
        return self.weight.derived(f"scale {quantizer.name}", lambda x: scale_of(x, quantizer))
