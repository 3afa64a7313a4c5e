"""Tables for a terminal: columns of equal width, names to the left and numbers to the right."""


def aligned(rows, left=1):
    """Rows of text as lines with aligned columns, the first ones to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    ways = [str.ljust] * left + [str.rjust] * (len(widths) - left)
    return [
        "  ".join(way(cell, w) for way, cell, w in zip(ways, row, widths, strict=True)).rstrip()
        for row in rows
    ]


def count(number):
    """A whole number with commas; 0 or None, which says that there is none, as a dash."""
    return f"{number:,}" if number else "-"


def percent(share):
    """A share from 0 to 1 as per cent with one decimal."""
    return f"{100 * share:.1f} %"
