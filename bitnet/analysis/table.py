"""Text tables with aligned columns: names to the left, numbers to the right."""


def aligned(rows, left=1):
    """Return rows of text as lines with aligned columns; the first `left` ones to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    ways = [str.ljust] * left + [str.rjust] * (len(widths) - left)
    return [
        "  ".join(way(cell, w) for way, cell, w in zip(ways, row, widths, strict=True)).rstrip()
        for row in rows
    ]


def count(number):
    """Format a whole number with commas; 0 and None as a dash."""
    return f"{number:,}" if number else "-"


def percent(share):
    """Format a fraction from 0 to 1 in per cent, with one decimal."""
    return f"{100 * share:.1f} %"
