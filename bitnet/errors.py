"""The exception that `bitnet` raises for input it refuses, and checks of counts and names."""

import difflib
import numbers


class InputError(ValueError):
    """Input that cannot be used: the message says what came, what was expected, what to do.

    Every check of arguments, arrays and files raises this class, so that a program can show
    the sentence to its user and keep tracebacks for errors of its own.  It is a `ValueError`.

    Examples
    --------
    >>> import bitnet
    >>> try:
    ...     bitnet.nn.BatchNorm(0)
    ... except bitnet.InputError as error:
    ...     print(error)
    BatchNorm: num_features is 0; expected a whole number of 1 or more
    """


def is_whole(value):
    """Whether a value is an integer, of Python or NumPy, and no truth value."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def check_count(who, least=1, most=None, **counts):
    """Refuse values that are no whole numbers from `least` to `most`, by default 1 or more."""
    for name, value in counts.items():
        if not is_whole(value) or value < least or (most is not None and value > most):
            span = f"of {least} or more" if most is None else f"from {least} to {most}"
            raise InputError(f"{who}: {name} is {value!r}; expected a whole number {span}")


def check_choice(who, choices, **values):
    """Refuse values that are none of the choices, which are strings; says which one is near."""
    for name, value in values.items():
        if not isinstance(value, str) or value not in choices:
            near = difflib.get_close_matches(str(value), choices, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            what = f"{who}: {name}" if who else name
            known = ", ".join(choices)
            raise InputError(f"{what} is {value!r:.60}; expected one of {known}{hint}")


def unfit(name, expected, *operands):
    """The error that operands do not fit: what came, and what was expected."""
    came = ", ".join(map(_in_words, operands))
    do = "does" if len(operands) == 1 else "do"
    return InputError(f"{name}: {came} {do} not fit; expected {expected}")


def _in_words(x):
    """The type and the shape of an operand; the beginning of its repr if it has no shape."""
    if not hasattr(x, "shape"):
        return f"{x!r:.60}"
    x = getattr(x, "data", x) if hasattr(x, "requires_grad") else x  # what a Tensor holds
    return f"{getattr(x, 'dtype', type(x).__name__)} {x.shape}"
