"""Quantizers: real values to k-bit codes, each with a surrogate for the backward pass.

Each class defines the codes of the forward pass above its surrogate: the function whose slope
replaces that of the quantizer, which is 0 almost everywhere (the straight-through estimator).
Larger values have larger codes; `codebook` gives the value of each code.

    Uniform                  2^k values from -max_value to max_value, without 0; 1 bit is the sign
    LinearQuant              integer multiples of a step, signed or unsigned
    LogQuant                 powers of two and 0, signed or unsigned
    ApproxSign, SwishSign    the sign with other surrogates
    DoReFa                   weights through tanh; its activations are LinearQuant from 0 to 1
    Ternary                  -1, 0 and +1, for weights

`quantizer_named` returns a quantizer from its name.
"""

from bitnet.quantizers.logarithmic import LogQuant
from bitnet.quantizers.names import quantizer_named
from bitnet.quantizers.quantizer import Quantizer
from bitnet.quantizers.signs import ApproxSign, SwishSign
from bitnet.quantizers.steps import LinearQuant, Uniform, dorefa_activation
from bitnet.quantizers.weights import DoReFa, Ternary

__all__ = [
    "ApproxSign",
    "DoReFa",
    "LinearQuant",
    "LogQuant",
    "Quantizer",
    "SwishSign",
    "Ternary",
    "Uniform",
    "dorefa_activation",
    "quantizer_named",
]
