"""HTML tables, in which notebooks show nets and counts: escaped text, no script."""

from html import escape

LEFT = ' style="text-align:left"'


def html_table(title, titles, rows, notes=()):
    """Return an HTML table with a caption above, and notes below; align the first column left."""
    cells = [_row("th", titles), *(_row("td", row) for row in rows)]
    caption = f'<caption style="caption-side:top">{escape(title)}</caption>'
    below = "".join(f"<div><small>{escape(note)}</small></div>" for note in notes)
    return f"<table>{caption}{''.join(cells)}</table>{below}"


def _row(tag, cells):
    """Return a row of an HTML table."""
    ways = (LEFT if i == 0 else "" for i in range(len(cells)))
    own = (f"<{tag}{way}>{escape(cell)}</{tag}>" for way, cell in zip(ways, cells, strict=True))
    return f"<tr>{''.join(own)}</tr>"
