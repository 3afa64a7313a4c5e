"""The one exception that `bitnet` raises for input it refuses."""

__all__ = ["InputError"]


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
