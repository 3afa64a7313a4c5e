"""Quantizers: numbers as codes of a few bits, and what the backward pass pretends.

Each has the codes of the forward pass above its surrogate, the function whose slope takes the
place of the quantizer's own, which is 0 almost everywhere (the straight-through estimator).
Codes rise with the numbers; `codebook` says what they stand for.

    Uniform       2^k numbers from -max_value to max_value, without 0; of one bit it is the sign
    LinearQuant        whole multiples of a step, signed or not
    LogQuant   powers of two and 0, signed or not
    ApproxSign, SwishSign    the sign with other surrogates
    DoReFa        weights through tanh; its activations are LinearQuant, from 0 to 1
    Ternary       -1, 0, +1, for weights

`quantizer_named` makes each of them from its name.
"""

from bitnet.quantizers.logarithmic import LogQuant
from bitnet.quantizers.names import quantizer_named
from bitnet.quantizers.quantizer import Quantizer
from bitnet.quantizers.signs import ApproxSign, SwishSign
from bitnet.quantizers.steps import LinearQuant, Uniform, dorefa_activation
from bitnet.quantizers.weights import DoReFa, Ternary
