"""The one exception that `bitnet` raises for input it refuses, and the check of counts."""

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
    BatchNorm: features is 0; expected a whole number of 1 or more
    """


def check_count(name, value, least=1, most=None):
    """Return `value` as an int; refuse what is no whole number from `least` to `most`."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        span = f"of {least} or more" if most is None else f"from {least} to {most}"
        raise InputError(f"{name} is {value!r:.40}; expected a whole number {span}")
    return int(value)
