"""Quantizers by name, as settings and files write them."""

import re

from bitnet.errors import InputError, check_choice, is_whole
from bitnet.quantizers.logarithmic import LogQuant
from bitnet.quantizers.quantizer import Quantizer
from bitnet.quantizers.signs import ApproxSign, SwishSign
from bitnet.quantizers.steps import LinearQuant, Uniform, dorefa_activation
from bitnet.quantizers.weights import DoReFa, Ternary

# word: how it is made, and the types of its settings
NAMES = {
    "sign": (lambda clip_value=1.0: Uniform(1, clip_value=clip_value), ("clip_value",)),
    "uniform": (Uniform, ("bits", "max_value", "clip_value")),
    "linear": (LinearQuant, ("bits", "step", "signed")),
    "log": (LogQuant, ("bits", "largest", "signed")),
    "ternary": (Ternary, ("threshold",)),
    "dorefa": (DoReFa, ("bits",)),
    "dorefa-activation": (dorefa_activation, ("bits",)),
    "approx-sign": (ApproxSign, ()),
    "swish-sign": (SwishSign, ("beta",)),
}
NEEDED = {"uniform": 1, "linear": 2, "log": 1, "dorefa": 1, "dorefa-activation": 1}
WHOLE = re.compile(r"-?[0-9]{1,3}")
NUMBER = re.compile(r"inf|[0-9]{1,20}(\.[0-9]{1,20})?(e[-+]?[0-9]{1,2})?")
LONGEST = 100


def quantizer_named(name):
    """The quantizer with a name: a word, and its settings after colons.

    ================================ ===========================================================
    sign[:CLIP_VALUE]                    `Uniform(1, clip_value=CLIP_VALUE)`
    uniform:K[:MAX_VALUE[:CLIP_VALUE]]       `Uniform(K, MAX_VALUE, CLIP_VALUE)`
    linear:K:STEP[:unsigned]         `LinearQuant(K, STEP, signed)`
    log:K[:LARGEST[:unsigned]]       `LogQuant(K, LARGEST, signed)`
    ternary[:THRESHOLD]              `Ternary(THRESHOLD)`
    dorefa:K, dorefa-activation:K    `DoReFa(K)`, `dorefa_activation(K)`
    approx-sign, swish-sign[:BETA]   `ApproxSign()`, `SwishSign(BETA)`
    ================================ ===========================================================

    Parameters
    ----------
    name : str
        As above; `quantizer.name` is one.

    Examples
    --------
    >>> quantizer_named("uniform:2")
    Uniform(bits=2, max_value=1.0, clip_value=1.0)
    >>> quantizer_named("log:3:1:unsigned").name
    'log:3:1:unsigned'
    """
    if not isinstance(name, str) or len(name) > LONGEST:
        raise InputError(f"quantizer: got {name!r:.100}; expected a name as 'uniform:2'")
    word, *texts = name.split(":")
    check_choice(None, NAMES, quantizer=word)
    make, settings = NAMES[word]
    needed = NEEDED.get(word, 0)
    if not needed <= len(texts) <= len(settings):
        form = ":".join([word, *map(str.upper, settings)])
        raise InputError(f"quantizer: got {name!r}; expected {form}, the first {needed} at least")
    return make(*(_setting(name, *pair) for pair in zip(settings, texts, strict=False)))


def _setting(name, setting, text):
    """One setting of a name from its text."""
    if setting == "signed" and text in ("signed", "unsigned"):
        return text == "signed"
    if setting in ("bits", "largest") and WHOLE.fullmatch(text):
        return int(text)
    if setting not in ("signed", "bits", "largest") and NUMBER.fullmatch(text):
        return float(text)
    kinds = {"signed": "signed or unsigned", "bits": "a whole number", "largest": "a whole number"}
    raise InputError(
        f"quantizer: {setting} of {name!r} is {text!r}; expected {kinds.get(setting, 'a number')}"
    )


def quantizer_of(who, value):
    """A quantizer itself, the one of a name, or `Uniform` of a number of bits."""
    if isinstance(value, str):
        return quantizer_named(value)
    if isinstance(value, Quantizer):
        return value
    if is_whole(value) and 1 <= value <= 8:
        return Uniform(int(value))
    raise InputError(f"{who}: got {value!r}; expected bits from 1 to 8, or a quantizer or its name")


def elementwise_quantizer_of(who, value):
    """As `quantizer_of`, for activations: a code may not depend on the other numbers."""
    quantizer = quantizer_of(who, value)
    if not quantizer.elementwise:
        raise InputError(
            f"{who}: the codes of {quantizer!r} depend on all numbers of a batch; expected "
            "a quantizer of single numbers, as Uniform, LinearQuant or LogQuant"
        )
    return quantizer
