"""`InputError`, which `bitnet` raises for invalid input, and checks of counts and choices."""

import difflib
import numbers


class InputError(ValueError):
    """Invalid input: the message says what came, what was expected and what to do next.

    Every check of arguments, arrays and files raises this class.  A program can show its message
    to the user and keep tracebacks for its own errors.  It is a `ValueError`.

    Examples
    --------
    >>> import bitnet
    >>> try:
    ...     bitnet.nn.BatchNorm(0)
    ... except bitnet.InputError as error:
    ...     print(error)
    BatchNorm: num_features is 0; expected a whole number of 1 or more
    """


def visible(text, kept=""):
    """Return text with control characters, such as ESC and line ends, escaped but for `kept`."""
    hidden = (c for c in set(text) if not c.isprintable() and c not in kept)
    escapes = {ord(c): c.encode("unicode_escape").decode() for c in hidden}
    return text.translate(escapes)


def is_whole(value):
    """Return whether a value is a Python or NumPy integer and not a bool."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def check_count(who, least=1, most=None, **counts):
    """Raise InputError unless each value is an integer from `least` (default: 1) to `most`."""
    for name, value in counts.items():
        if not is_whole(value) or value < least or (most is not None and value > most):
            span = f"of {least} or more" if most is None else f"from {least} to {most}"
            raise InputError(f"{who}: {name} is {value!r:.60}; expected a whole number {span}")


def check_choice(who, choices, **values):
    """Raise InputError unless each value is one of the strings `choices`; name a similar one."""
    for name, value in values.items():
        if not isinstance(value, str) or value not in choices:
            near = difflib.get_close_matches(str(value), choices, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            what = f"{who}: {name}" if who else name
            known = ", ".join(choices)
            raise InputError(f"{what} is {value!r:.60}; expected one of {known}{hint}")


def unfit(name, expected, *operands):
    """Return the InputError for operands whose types or shapes do not fit."""
    came = ", ".join(map(_in_words, operands))
    do = "does" if len(operands) == 1 else "do"
    return InputError(f"{name}: {came} {do} not fit; expected {expected}")


def _in_words(x):
    """Return the type and shape of an operand, or the start of its repr if it has no shape."""
    if not hasattr(x, "shape"):
        return f"{x!r:.60}"
    x = getattr(x, "data", x) if hasattr(x, "requires_grad") else x  # the array of a Tensor
    return f"{getattr(x, 'dtype', type(x).__name__)} {x.shape}"
