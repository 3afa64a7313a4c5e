"""Quantizers by name, as in settings and files."""

import re
from collections.abc import Callable

from bitnet.errors import InputError, check_choice, is_whole
from bitnet.quantizers.logarithmic import LogQuant
from bitnet.quantizers.quantizer import Quantizer
from bitnet.quantizers.signs import ApproxSign, SwishSign
from bitnet.quantizers.steps import LinearQuant, Uniform, dorefa_activation
from bitnet.quantizers.weights import DoReFa, Ternary

# word: the function that makes the quantizer, and its settings
NAMES: dict[str, tuple[Callable[..., Quantizer], tuple[str, ...]]] = {
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


def quantizer_named(name: str) -> Quantizer:
    """Return the quantizer with a name: a word, then its settings after colons.

    ================================== ====================================
    sign[:CLIP_VALUE]                  `Uniform(1, clip_value=CLIP_VALUE)`
    uniform:K[:MAX_VALUE[:CLIP_VALUE]] `Uniform(K, MAX_VALUE, CLIP_VALUE)`
    linear:K:STEP[:unsigned]           `LinearQuant(K, STEP, signed)`
    log:K[:LARGEST[:unsigned]]         `LogQuant(K, LARGEST, signed)`
    ternary[:THRESHOLD]                `Ternary(THRESHOLD)`
    dorefa:K, dorefa-activation:K      `DoReFa(K)`, `dorefa_activation(K)`
    approx-sign, swish-sign[:BETA]     `ApproxSign()`, `SwishSign(BETA)`
    ================================== ====================================

    Parameters
    ----------
    name : str
        One of the forms above, such as `quantizer.name`.

    Returns
    -------
    Quantizer

    Raises
    ------
    InputError
        If the word is unknown, or a setting is missing or invalid.

    Examples
    --------
    >>> quantizer_named("uniform:2")
    Uniform(bits=2, max_value=1.0, clip_value=1.0)
    >>> quantizer_named("log:3:1:unsigned").name
    'log:3:1:unsigned'
    """
    if not isinstance(name, str) or len(name) > LONGEST:
        raise InputError(f"quantizer: got {name!r:.100}; expected a name such as 'uniform:2'")
    word, *texts = name.split(":")
    check_choice(None, NAMES, quantizer=word)
    make, settings = NAMES[word]
    needed = NEEDED.get(word, 0)
    if not needed <= len(texts) <= len(settings):
        form = ":".join([word, *map(str.upper, settings)])
        expected = f"{form}, with at least {needed} of the settings"
        raise InputError(f"quantizer: got {name!r}; expected {expected}")
    return make(*(_setting(name, *pair) for pair in zip(settings, texts, strict=False)))


def _setting(name, setting, text):
    """Return a setting from its text in a name."""
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
    """Return a quantizer from itself, its name, or the number of bits of a `Uniform`."""
    if isinstance(value, str):
        return quantizer_named(value)
    if isinstance(value, Quantizer):
        return value
    if is_whole(value) and 1 <= value <= 8:
        return Uniform(int(value))
    raise InputError(f"{who}: got {value!r}; expected bits from 1 to 8, or a quantizer or its name")


def elementwise_quantizer_of(who, value):
    """Return a quantizer as `quantizer_of`; refuse codes that depend on the whole batch."""
    quantizer = quantizer_of(who, value)
    if not quantizer.elementwise:
        raise InputError(
            f"{who}: the codes of {quantizer!r} depend on all values of a batch; expected "
            "an elementwise quantizer, such as Uniform, LinearQuant or LogQuant"
        )
    return quantizer
