"""The activations of ReActNet (arXiv 2003.03488): a sign and a PReLU with learned shifts."""

from bitnet.autograd import Tensor
from bitnet.nn import functional
from bitnet.nn.activations import Quantize
from bitnet.nn.elementwise import _PerChannel
from bitnet.quantizers import Quantizer


class RSign(_PerChannel):
    """A sign with a learned threshold for each channel: `sign(x + bias)`.

    After integers it freezes into their thresholds.

    Parameters
    ----------
    num_features : int
        The size C of the last axis, or 1 for one threshold for all channels.
    quantizer : int or Quantizer or str, optional
        The quantizer with its estimator: by default the sign with the hard tanh; "approx-sign" has
        the quadratic surrogate of Bi-Real Net.

    Attributes
    ----------
    bias : Parameter
        float32 of shape (num_features,), at first 0; the threshold is its negative.

    Examples
    --------
    >>> layer = RSign(2)
    >>> layer.bias.assign([1.0, -1.0])
    >>> layer([[-0.5, 0.5]]).data.signs()
    array([[ 1, -1]], dtype=int8)
    """

    def __init__(self, num_features: int, quantizer: int | str | Quantizer = 1) -> None:
        super().__init__(num_features)
        self.bias = self.numbers(0.0)
        self.quantizer = Quantize(quantizer).quantizer

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        return functional.quantize(x + self.bias, self.quantizer)


class RPReLU(_PerChannel):
    """A PReLU with learned shifts before and after it: `prelu(x + before, slope) + after`.

    Parameters
    ----------
    num_features : int
        The size C of the last axis, or 1 for the same numbers for all channels.

    Attributes
    ----------
    before, slope, after : Parameter
        float32 of shape (num_features,), at first 0, 0.25 and 0.

    Examples
    --------
    >>> layer = RPReLU(2)
    >>> layer.after.assign([1.0, 0.0])
    >>> layer([[-2.0, 2.0]]).data
    array([[0.5, 2. ]], dtype=float32)
    """

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features)
        self.before, self.slope = self.numbers(0.0), self.numbers(0.25)
        self.after = self.numbers(0.0)

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        return functional.prelu(x + self.before, self.slope) + self.after
