def pool(node, x):
    kind, window, channels, flat = node["kind"], node["window"], x.shape[-1], []
    own = Value(x.shape, x.numbers(), is_float=x.is_float)
    best = {"maxpool": max, "sumpool": sum, "avgpool": None}[kind]
    n = window["size"][0] * window["size"][1]
    for at in taps_of(window, x.shape):
        for c in range(channels):
            seen = [own.flat[p * channels + c] for p in at if p is not None]
            flat.append(mean(seen, n) if best is None else best(seen))
    shape = after(window, x.shape, channels)
    if x.rows is None or kind != "maxpool":
        return Value(shape, flat, is_float=own.is_float)
    codes = {}
    for row in x.rows:
        for i in range(channels):
            bits = [plane >> i & 1 for plane in row]
            signs = zip(x.coefficients, bits)
            codes[sum(c if bit else -c for c, bit in signs) + x.offset] = bits
    rows = []
    for start in range(0, len(flat), channels):
        each = [codes[v] for v in flat[start : start + channels]]
        rows.append([bits_of([bits[b] for bits in each]) for b in range(len(x.coefficients))])
    return Value(shape, rows=rows, book=x.book)


def mean(seen, n):
    total = 0.0
    for v in seen:
        total = f32(total + v)
    return f32(total / n)


def reshape(node, x):
    shape = node.get("shape")
    fixed = lambda own: own if isinstance(own, int) else size([known(p) for p in own.split("*")])
    known = lambda p: STEPS if p == "T" else 1 if p == "B" else int(p)
    shape = [fixed(own) for own in shape] if shape else (x.shape[0], size(x.shape[1:]))
    if x.rows is None:
        return Value(shape, x.flat, is_float=x.is_float)
    n, per = x.shape[-1], shape[-1] // x.shape[-1]
    rows = []
    for start in range(0, len(x.rows), per):
        own = x.rows[start : start + per]
        rows.append([sum(r[b] << i * n for i, r in enumerate(own)) for b in range(len(own[0]))])
    return Value(shape, rows=rows, book=x.book)


def float_rows(flat, n, weight, bias):
    """Return the products of rows of n floats with those of a matrix, each summed in order."""
    found, m = [], size(weight.shape) // n
    for start in range(0, len(flat), n):
        for j in range(m):
            total = 0.0
            for k in range(n):
                total = f32(total + f32(flat[start + k] * weight.flat[j * n + k]))
            found.append(f32(total + bias.flat[j]) if bias else total)
    return found


def numbers_of(weight):
    """Return weights as floats."""
    return weight if weight.rows is None else unpack(None, weight)


def float_linear(node, x, weight, bias=None):
    weight, n = numbers_of(weight), x.shape[-1]
    flat = float_rows(x.flat, n, weight, bias)
    return Value((size(x.shape[:-1]), weight.shape[0]), flat, is_float=True)


def float_conv(node, x, weight, bias=None):
    weight, window, groups = numbers_of(weight), node["window"], node["groups"]
    n, m, flat, channels = weight.shape[-1], weight.shape[0], [], x.shape[-1]
    per, n_taps = m // groups, size(weight.shape[1:])
    border = [float(window["border"])] * n
    for at in taps_of(window, x.shape):
        for g in range(groups):
            row = []
            for p in at:
                start = 0 if p is None else p * channels + g * n
                row += border if p is None else x.flat[start : start + n]
            own = weight.flat[g * per * n_taps : (g + 1) * per * n_taps]
            own = Value((per, n_taps), own)
            part = bias and Value((per,), bias.flat[g * per : (g + 1) * per])
            flat += float_rows(row, n_taps, own, part)
    return Value(after(window, x.shape, m), flat, is_float=True)


def upsample(node, x):
    (down, right), (_, height, width, channels) = node["factors"], x.shape
    at = [
        i // down * width + j // right for i in range(height * down) for j in range(width * right)
    ]
    shape = (1, height * down, width * right, channels)
    if x.rows is not None:
        rows = [x.rows[p] for p in at]
        return Value(shape, rows=rows, book=x.book)
    flat = [v for p in at for v in x.flat[p * channels : (p + 1) * channels]]
    return Value(shape, flat, is_float=x.is_float)


def concatenate(node, *parts):
    ends, rows = [own.shape[-1] for own in parts], size(parts[0].shape[:-1])
    shape = parts[0].shape[:-1] + (sum(ends),)
    if parts[0].rows is None:
        pairs = list(zip(parts, ends))
        flat = [v for r in range(rows) for own, n in pairs for v in own.flat[r * n : r * n + n]]
        return Value(shape, flat, is_float=parts[0].is_float)
    found = []
    for r in range(rows):
        row, at = [0] * len(parts[0].coefficients), 0
        for own, n in zip(parts, ends):
            row, at = [a | b << at for a, b in zip(row, own.rows[r])], at + n
        found.append(row)
    return Value(shape, rows=found, book=parts[0].book)


def sliced(node, x):
    """Return the elements at an index of whole numbers and slices."""
    at, shape, left = [0], [], list(x.shape)
    index = list(node["index"])
    where = index.index("...") if "..." in index else len(index)
    missing = len(left) - sum(part not in ("...", "new axis") for part in index)
    index[where : where + 1] = [{"slice": [None, None, None]}] * missing
    for part in index:
        if part == "new axis":
            shape.append(1)
            continue
        n = left.pop(0)
        start, stop, step = part["slice"] if isinstance(part, dict) else (part % n, part % n + 1, 1)
        chosen = list(range(n))[start:stop:step]
        shape += [len(chosen)] if isinstance(part, dict) else []
        at = [start + own * size(left) for start in at for own in chosen]
    return Value(shape, [x.flat[i] for i in at], is_float=x.is_float)


def gather(node, table, ids):
    shape, n = ids.shape + (table.shape[-1],), table.shape[-1]
    if table.rows is not None:
        rows = [table.rows[i] for i in ids.flat]
        return Value(shape, rows=rows, book=table.book)
    flat = [v for i in ids.flat for v in table.flat[i * n : i * n + n]]
    return Value(shape, flat, is_float=table.is_float)


def unpack(node, x):
    unit = f32(x.unit)
    return Value(x.shape, [f32(v * unit) for v in x.numbers()], is_float=True)


def series(first, numbers, square):
    for k in numbers:
        first = f32(f32(first * square) + f32(k))
    return first


def tanh(x):
    x = min(max(x, -9.0), 9.0)
    square = f32(x * x)
    y = f32(f32(x * series(1.0, TOP, square)) / series(91.0, BOTTOM, square))
    return min(max(y, -1.0), 1.0)


def logistic(x):
    return f32(f32(tanh(f32(x * 0.5)) * 0.5) + 0.5)


def cell(node, z, weight, first, last=None):
    """Return the states of all steps of a recurrent cell; of an LSTM also the last cell."""
    kind, m, unit, states = node["kind"], first.shape[-1], f32(node["unit"]), []
    h, c, width = first.flat[-m:], last and list(last.flat[-m:]), z.shape[-1]
    for start in range(0, len(z.flat), width):
        if weight.rows is None:
            own = float_rows(h, m, weight, None)
        else:
            own = linear(node, quantize(node, Value((1, m), h)), weight).flat
        own = [f32(f32(v) * unit) for v in own]
        z_of = z.flat[start : start + width]
        both = [f32(a + b) for a, b in zip(z_of, own)]
        if kind == "rnn":
            h = [max(v, 0.0) if node["relu"] else tanh(v) for v in both]
        elif kind == "lstm":
            i, f, g, o = (both[k * m : (k + 1) * m] for k in range(4))
            i, f, o, g = [list(map(logistic, gate)) for gate in (i, f, o)] + [list(map(tanh, g))]
            c = [f32(f32(f[k] * c[k]) + f32(i[k] * g[k])) for k in range(m)]
            h = [f32(o[k] * tanh(c[k])) for k in range(m)]
        else:
            r, u = list(map(logistic, both[:m])), list(map(logistic, both[m : 2 * m]))
            inner = [f32(r[k] * own[2 * m + k]) for k in range(m)]
            n = [tanh(f32(z_of[2 * m + k] + inner[k])) for k in range(m)]
            h = [f32(n[k] + f32(u[k] * f32(h[k] - n[k]))) for k in range(m)]
        states.append(h)
    states += [c] if kind == "lstm" else []
    flat = [v for state in states for v in state]
    return Value((len(states), 1, m), flat, is_float=True)
