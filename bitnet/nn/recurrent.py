"""Recurrent layers in float or with k bits: RNN, LSTM, GRU.

    Embedding -> LSTM -> ScaledLinear

With low-bit weights and activations, the inputs of every matrix product are quantized, and so is
the state; gates, elementwise products and the LSTM's cell stay floats.  Each weight matrix has a
scale, see `functional.quantize_scaled`.
"""

import math
from typing import Any

import numpy as np

from bitnet.autograd import Parameter, Tensor
from bitnet.errors import InputError, check_choice, check_count, unfit
from bitnet.kernels import GATES
from bitnet.nn import functional
from bitnet.nn.functional.ste import as_packed
from bitnet.nn.quantized import QuantizedLayer, activation_quantizer_of
from bitnet.quantizers import Quantizer


def detach(state: Any) -> Any:
    """Return a state detached from the graph, so that gradients stop here.

    Truncated backpropagation through time passes the state from one sequence to the next, but not
    its gradients.

    Parameters
    ----------
    state : Tensor, or tuple of such or of such tuples, or None
        A state that a recurrent layer returned.

    Examples
    --------
    >>> from bitnet import Tensor
    >>> detach((Tensor([1.0]), None))
    (Tensor(array([1.], dtype=float32)), None)
    """
    if isinstance(state, tuple):
        return tuple(map(detach, state))
    return None if state is None else state.detach()


class _Recurrent(QuantizedLayer):
    """The base of RNN, LSTM and GRU: the weights of each layer, and the pass over all layers."""

    gates, n_states = GATES["rnn"], 1
    relu = False

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        rng: np.random.Generator,
        num_layers: int = 1,
        dropout: float = 0.0,
        weight_quantizer: int | str | Quantizer | None = None,
        activation_quantizer: int | str | Quantizer | None = None,
        **backward: Any,
    ) -> None:
        name = type(self).__name__
        check_count(name, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        self.set_numbers(rng, weight_quantizer, **{"grad_format": "float32", **backward})
        if not 0 <= dropout < 1:
            raise InputError(f"{name}: dropout is {dropout!r}; expected 0 to below 1")
        if (weight_quantizer is None) != (activation_quantizer is None):
            raise InputError(
                f"{name}: weight_quantizer is {weight_quantizer!r} and activation_quantizer "
                f"{activation_quantizer!r}; expected both, or neither for floats"
            )
        self.activation_quantizer = None
        if activation_quantizer is not None:
            self.activation_quantizer = activation_quantizer_of(
                name, activation_quantizer, self.relu
            )
        self.input_size, self.hidden_size = int(input_size), int(hidden_size)
        self.num_layers = int(num_layers)
        self.dropout = float(dropout)
        half, rows = 1 / math.sqrt(hidden_size), self.gates * hidden_size
        widths = [input_size] + [hidden_size] * (num_layers - 1)
        self.input_weights = [self.scaled_weight((rows, width), half) for width in widths]
        self.state_weights = [self.scaled_weight((rows, hidden_size), half) for _ in widths]
        self.biases = [Parameter(self.first_bias()) for _ in widths]

    def first_bias(self):
        """Return the bias of a layer before training."""
        return np.zeros(self.gates * self.hidden_size, np.float32)

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, tuple]:
        """Return all states of the last layer, and the final states of all layers, for x (T, B, N).

        `state` is the state that an earlier call returned: the tuple of states of each layer.
        """
        if x.ndim != 3 or x.shape[2] != self.input_size:
            raise unfit(repr(self), f"an input (T, B, {self.input_size})", x)
        if state is not None and len(state) != self.num_layers:
            raise InputError(f"{self!r}: {len(state)} states; expected one for each layer")
        states = []
        for i, before in enumerate(state or [None] * self.num_layers):
            if self.weight_quantizer is not None:
                x = as_packed(x, self.activation_quantizer)
            if i and self.dropout and self.training:
                x = functional.dropout(x, self.dropout, self.rng)
            weights = self.input_weights[i], self.state_weights[i]
            x, after = self.run(x, *weights, self.biases[i], before)
            states.append(after)
        return x, tuple(states)

    def run(self, x, weight, state_weight, bias, state):
        """Run one layer."""
        options = {}
        if self.weight_quantizer is not None:
            weight, state_weight = self.quantized(weight), self.quantized(state_weight)
            options = {"quantizer": self.activation_quantizer, "grad_format": self.grad_format}
            options["rng"] = self.rounding_rng
        return self.function(x, weight, state_weight, bias, state, **options)

    def __repr__(self):
        more = f", num_layers={self.num_layers}" if self.num_layers > 1 else ""
        more += f", {self.weight_quantizer!r}" if self.weight_quantizer else ""
        return f"{type(self).__name__}({self.input_size}, {self.hidden_size}{more})"


class RNN(_Recurrent):
    """Plain recurrent layers with tanh or ReLU; see `functional.rnn`.

    The second paper (arXiv 1609.07061, section 4.5) has one layer of 2048 ReLU units.
    A call with x (T, B, inputs) and a state returns all states of the last layer and the final
    state `((h,), ...)`, one tuple per layer.  Gradients flow through the final state unless it is
    passed to `detach`.

    Parameters
    ----------
    input_size, hidden_size : int
        Sizes N of the input and H of the state.
    rng : numpy.random.Generator
        The generator of the initial weights, U(-a, a) with a = 1 / sqrt(H), of dropout and of
        stochastic rounding.
    num_layers : int, optional
        Number of layers, one after the other.
    activation : {"tanh", "relu"}, optional
        The activation function f.
    **options : optional
        `dropout`, `weight_quantizer`, `activation_quantizer`, `grad_format` and `rounding`, as for
        `LSTM`.

    Attributes
    ----------
    input_weights, state_weights, biases : list of Parameter
        One per layer, of shapes (H, N), (H, H) and (H,).

    Examples
    --------
    >>> bits = {"weight_quantizer": 4, "activation_quantizer": 4}
    >>> layer = RNN(8, 16, rng=np.random.default_rng(0), activation="relu", **bits)
    >>> y, state = layer(np.ones((5, 2, 8), np.float32))
    >>> y.shape, state[0][0].shape
    ((5, 2, 16), (2, 16))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        rng: np.random.Generator,
        num_layers: int = 1,
        activation: str = "tanh",
        **options: Any,
    ) -> None:
        check_choice("RNN", ("tanh", "relu"), activation=activation)
        self.activation, self.relu = activation, activation == "relu"
        super().__init__(input_size, hidden_size, rng=rng, num_layers=num_layers, **options)

    def function(self, *operands, **options):
        """See `functional.rnn`."""
        return functional.rnn(*operands, activation=self.activation, **options)


class LSTM(_Recurrent):
    """LSTM layers; see `functional.lstm`.

    The second paper has one layer of 300 units.  A state is `((h, c), ...)`, one tuple per layer.
    The bias of the forget gate starts at 1, the others at 0 (Jozefowicz et al., 2015).

    Parameters
    ----------
    input_size, hidden_size, rng, num_layers : optional
        As for `RNN`; the first three are required.
    dropout : float, optional
        The probability of dropping an input of each layer except the first, in training; states
        are not dropped (Zaremba et al., arXiv 1409.2329).
    weight_quantizer : int or Quantizer or str, optional
        A number of bits for all weights, from 1 to 8, a quantizer, or its name; floats by default.
    activation_quantizer : int or Quantizer or str, optional
        The same for inputs and states; required together with `weight_quantizer`.  For ReLU units,
        a number of bits selects an unsigned `LinearQuant` from 0 to 3.
    **backward : optional
        `grad_format` and `rounding`, as for `QuantLinear`; "float32" by default, as for
        `language_model`.

    Attributes
    ----------
    input_weights, state_weights, biases : list of Parameter
        One per layer, of shapes (4H, N), (4H, H) and (4H,), in the order i, f, g, o.

    Examples
    --------
    >>> layer = LSTM(8, 16, rng=np.random.default_rng(0), num_layers=2)
    >>> y, state = layer(np.ones((5, 2, 8), np.float32))
    >>> y, state = layer(np.ones((5, 2, 8), np.float32), detach(state))
    >>> y.shape, len(state), len(state[0])
    ((5, 2, 16), 2, 2)
    """

    gates, n_states = GATES["lstm"], 2
    function = staticmethod(functional.lstm)

    def first_bias(self):
        """Return the bias: 1 for the forget gate, otherwise 0."""
        bias = super().first_bias()
        bias[self.hidden_size : 2 * self.hidden_size] = 1
        return bias


class GRU(_Recurrent):
    """GRU layers; see `functional.gru`.

    Parameters
    ----------
    input_size, hidden_size, rng, num_layers, dropout, **options : optional
        As for `LSTM`; the first three are required.

    Attributes
    ----------
    input_weights, state_weights, biases : list of Parameter
        One per layer, of shapes (3H, N), (3H, H) and (3H,), in the order r, u, n.

    Examples
    --------
    >>> layer = GRU(8, 16, rng=np.random.default_rng(0), weight_quantizer=3, activation_quantizer=4)
    >>> layer(np.ones((5, 2, 8), np.float32))[0].shape
    (5, 2, 16)
    """

    gates = GATES["gru"]
    function = staticmethod(functional.gru)
