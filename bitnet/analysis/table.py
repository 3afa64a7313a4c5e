"""Tables for a terminal: columns of equal width, names to the left and numbers to the right."""

__all__ = ["aligned", "count", "percent"]


def aligned(rows, left=1):
    """Rows of text as lines with aligned columns.

    Parameters
    ----------
    rows : list of sequence of str
        All of the same length, the titles among them.
    left : int, optional
        How many of the first columns are aligned to the left; the others are to the right.

    Returns
    -------
    list of str
        A line a row, without spaces at its end.

    Examples
    --------
    >>> print(*aligned([("layer", "bits"), ("0 linear", "1,024")]), sep="\\n")
    layer      bits
    0 linear  1,024
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def count(number):
    """A whole number with commas; 0, which says that there is none, as a dash.

    Parameters
    ----------
    number : int or None
        The number.

    Returns
    -------
    str

    Examples
    --------
    >>> count(1234567), count(0)
    ('1,234,567', '-')
    """
    return f"{number:,}" if number else "-"


def percent(share):
    """A share as per cent with one decimal.

    Parameters
    ----------
    share : float
        From 0 to 1.

    Returns
    -------
    str

    Examples
    --------
    >>> percent(0.42)
    '42.0 %'
    """
    return f"{100 * share:.1f} %"
