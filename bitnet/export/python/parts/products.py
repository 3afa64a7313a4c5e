def filters(weight, n):
    """Return the rows of weights (M, ..., C) with all taps side by side, and their elements."""
    m, taps = weight.shape[0], size(weight.shape[1:-1])
    if not hasattr(weight, "joined"):
        rows = []
        for i in range(m):
            own = weight.rows[i * taps : (i + 1) * taps]
            joined = [sum(tap[b] << j * n for j, tap in enumerate(own)) for b in range(len(own[0]))]
            rows.append(joined)
        weight.joined = rows
        if np is not None and m * taps * n >= LARGE:
            flat = Value((m, taps * n), rows=rows, book=weight.book)
            weight.matrix = np.array(flat.numbers(), np.int64).reshape(m, -1)
    return weight.joined


def products(row, mask, n, book, weight, units):
    """Return the integers of some units for one row of planes, inside a mask of its n elements."""
    rows, found = filters(weight, weight.shape[-1]), []
    if hasattr(weight, "matrix"):
        x = Value((1, n), rows=[row], book=book).numbers()
        x = np.array(x, np.int64) * np.array([mask >> i & 1 for i in range(n)], np.int64)
        return (weight.matrix[units.start : units.stop] @ x).tolist()
    inside, coefficients, offset = ones(mask), book[0], book[1]
    sum_x = sum(c * (2 * ones(own & mask) - inside) for c, own in zip(coefficients, row))
    for m in units:
        z = weight.offset * (sum_x + offset * inside)
        for d, own in zip(weight.coefficients, rows[m]):
            z += offset * d * (2 * ones(own & mask) - inside)
            for c, x in zip(coefficients, row):
                z += c * d * (inside - 2 * ones((x ^ own) & mask))
        found.append(z)
    return found


def planes_of(x):
    """Return packed values, or pixels as their eight planes."""
    if x.rows is not None:
        return x
    n, rows = x.shape[-1], []
    for start in range(0, len(x.flat), n):
        own = x.flat[start : start + n]
        rows.append([bits_of([p >> b & 1 for p in own]) for b in range(8)])
    return Value(x.shape, rows=rows, book=(tuple(1 << b for b in range(8)), 0, 1.0))


def linear(node, x, weight):
    x, n, m = planes_of(x), x.shape[-1], weight.shape[0]
    book, full = x.book, (1 << n) - 1
    flat = [z for row in x.rows for z in products(row, full, n, book, weight, range(m))]
    return Value((len(x.rows), m), flat)


def taps_of(window, shape):
    """Yield for each output the positions of its taps, None outside the image."""
    (rows, columns), (down, right) = window["size"], window["stride"]
    (above, below), (left, after) = window["padding"]
    apart, (height, width) = window.get("dilation", (1, 1)), shape[1:3]
    for i in range(0, height + above + below - (rows - 1) * apart[0], down):
        for j in range(0, width + left + after - (columns - 1) * apart[1], right):
            at = []
            for r in range(rows):
                for c in range(columns):
                    y, x = i - above + r * apart[0], j - left + c * apart[1]
                    inside = 0 <= y < height and 0 <= x < width
                    at.append(y * width + x if inside else None)
            yield at


def after(window, shape, channels):
    """Return the shape of the outputs of a window."""
    found = []
    for k in (0, 1):
        n, apart = shape[1 + k] + sum(window["padding"][k]), window.get("dilation", (1, 1))[k]
        found.append((n - (window["size"][k] - 1) * apart - 1) // window["stride"][k] + 1)
    return 1, found[0], found[1], channels


def conv(node, x, weight):
    x, window, groups, m = planes_of(x), node["window"], node["groups"], weight.shape[0]
    n, flat, border = weight.shape[-1], [], window["border"]
    book, per = x.book, m // groups
    empty = [(1 << n) - 1 if border == 1 else 0] * len(x.coefficients)
    for at in taps_of(window, x.shape):
        for g in range(groups):
            low = (1 << n) - 1
            cut = [empty if p is None else [b >> g * n & low for b in x.rows[p]] for p in at]
            row = [sum(tap[b] << j * n for j, tap in enumerate(cut)) for b in range(len(empty))]
            mask = sum(low << j * n for j, p in enumerate(at) if p is not None or border)
            units = range(g * per, g * per + per)
            flat += products(row, mask, n * len(at), book, weight, units)
    return Value(after(window, x.shape, m), flat)
