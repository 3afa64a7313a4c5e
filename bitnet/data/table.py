"""Tables as text: CSV files with commas, semicolons or tabs, and one row per input."""

import csv
import io
import pathlib

import numpy as np

from bitnet.data.text import read_text
from bitnet.errors import InputError, check_choice, visible

SUFFIXES = (".csv", ".tsv")
DELIMITERS = ",;\t"
LABELS = ("label", "labels", "class", "target", "y")  # names of label columns, without case
MISSING = ("na", "n/a", "null", "none", "?", "-", ".")  # as nan, which is a number
MAX_COLUMNS, MAX_NAME = 100_000, 256  # per row, and characters of a class


class Table:
    """The columns of a table by name: float64 of shape (count,), or tuples of text."""

    def __init__(self, path, columns):
        self.path, self.columns = path, columns

    def __len__(self):
        return len(next(iter(self.columns.values())))

    def inputs(self, names):
        """Return the numbers in these columns, float32 (count, N); text is refused."""
        if missing := [name for name in names if name not in self.columns]:
            came = ", ".join(map(visible, self.columns))
            raise InputError(
                f"{self.path}: no column {visible(missing[0])!r:.60}, which the net takes; its "
                f"columns are {came:.200}"
            )
        for name in names:
            if isinstance(column := self.columns[name], tuple):
                row = next(i for i, cell in enumerate(column) if _number(cell) is None)
                cell = visible(column[row])
                cure = "use one column of 0 and 1 for each value, or leave the column out with drop"
                cure = "fill it in, or remove the row" if cell.lower() in MISSING else cure
                cure = "use a decimal point" if _number(cell.replace(",", ".")) else cure
                raise InputError(
                    f"{self.path}: column {visible(name)!r:.60} has {cell!r:.60} in row {row + 1}; "
                    f"expected numbers; {cure}"
                )
        with np.errstate(over="ignore"):
            rows = np.stack([self.columns[name] for name in names], axis=1).astype(np.float32)
        if not np.isfinite(rows).all():
            row, column = np.argwhere(~np.isfinite(rows))[0]
            raise InputError(
                f"{self.path}: column {visible(names[column])!r:.60} has a number too large for "
                f"float32 in row {row + 1}; use other units"
            )
        return rows

    def labels(self, names):
        """Return the columns of labels, (count,) for a single one, otherwise (count, K)."""
        columns = [self.columns[name] for name in names]
        if len(columns) == 1 and not isinstance(columns[0], tuple):
            return columns[0]
        if len(columns) == 1:
            if max(map(len, columns[0])) > MAX_NAME:
                raise InputError(
                    f"{self.path}: a class in column {visible(names[0])!r:.60} has more than "
                    f"{MAX_NAME} characters; name another label column"
                )
            return np.array(columns[0])
        for name, column in zip(names, columns, strict=True):
            if isinstance(column, tuple):
                raise InputError(
                    f"{self.path}: the label column {visible(name)!r:.60} has text; expected "
                    "numbers in each of several label columns"
                )
        return np.stack(columns, axis=1)

    def roles(self, label=(), drop=(), inputs=None):
        """Return the names of the input columns, which may be given, and of the label columns."""
        for option, names in (("label", label), ("drop", drop)):
            for name in names:
                check_choice(f"{self.path}", self.columns, **{option: name})
        if lost := [name for name in inputs or () if name not in self.columns]:
            raise InputError(
                f"{self.path} has no column {visible(lost[0])!r:.60}, which the net takes; add it"
            )
        if both := set(label) & set(drop):
            raise InputError(f"{self.path}: {min(both)!r:.60} is in label and in drop; remove one")
        rest = [name for name in self.columns if name not in drop and name not in (inputs or ())]
        if not label:
            named = [name for name in rest if name.lower() in LABELS]
            if len(named) > 1 or (inputs and not named and len(rest) > 1):
                both = " and ".join(repr(visible(name)) for name in (named or rest)[:2])
                raise InputError(
                    f"{self.path}: columns {both} may both be labels; name one with label"
                )
            label = named or rest[-1:]
        inputs = tuple(inputs or (name for name in rest if name not in label))
        if not inputs or not label:
            raise InputError(
                f"{self.path}: no column is left for the {'labels' if inputs else 'inputs'}; "
                "expected one or more of each"
            )
        return inputs, tuple(label)


def read_table(path):
    """Read a table; each row must have all its cells."""
    path = pathlib.Path(path)
    text = read_text(path)
    first = text.lstrip("\r\n").partition("\n")[0]
    delimiter = max(DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows = []
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if rows and len(cells) != len(rows[0]):
                raise InputError(
                    f"{path}, line {reader.line_num}: {len(cells)} cells; expected "
                    f"{len(rows[0])}, as in the first line"
                )
            if "" in cells and rows:
                raise InputError(
                    f"{path}, line {reader.line_num}: cell {cells.index('') + 1} is empty; fill it "
                    "in, or remove the row"
                )
            rows.append(cells)
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: {error}; expected CSV") from None
    names = _names(path, rows)
    return Table(path, {name: _column(path, name, c) for name, c in names.items()})


def _names(path, rows):
    """Return the cells of each column by its name: that in the first line, or its number."""
    first, *rest = rows
    if len(first) < 2 or len(first) > MAX_COLUMNS:
        came = f"{len(first)} column{'s' * (len(first) != 1)}"
        what = "separated by commas, semicolons or tabs, one of them with the labels"
        raise InputError(f"{path}: {came}; expected 2 to {MAX_COLUMNS}, {what}")
    numeric = [_number(cell) is not None for cell in first]
    titles = rest and any(
        not own and _number(cell) is not None for own, cell in zip(numeric, rest[0], strict=True)
    )
    if not titles and any(numeric):
        rest, first = rows, [str(i) for i in range(1, len(first) + 1)]
    if not rest:
        raise InputError(f"{path}: no row after the names of the columns; expected two or more")
    if "" in first:
        cure = "; remove the index with to_csv(index=False)" if first[0] == "" else ""
        raise InputError(
            f"{path}: column {first.index('') + 1} has no name; expected a name for each{cure}"
        )
    if len(set(first)) < len(first):
        twice = next(name for name in first if first.count(name) > 1)
        raise InputError(f"{path}: two columns are named {visible(twice)!r:.60}; rename one")
    return dict(zip(first, zip(*rest, strict=True), strict=True))


def _column(path, name, cells):
    """Return the cells of a column as float64 if all are numbers, otherwise as they are."""
    numbers = list(map(_number, cells))
    if None in numbers:
        return cells
    column = np.array(numbers)
    if not np.isfinite(column).all():
        row = int(np.flatnonzero(~np.isfinite(column))[0])
        raise InputError(
            f"{path}: column {visible(name)!r:.60} has {cells[row]!r:.20} in row {row + 1}; fill "
            "it in, or remove the row"
        )
    return column


def _number(cell):
    """Return a cell as a float, or None."""
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None
