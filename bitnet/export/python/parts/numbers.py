def thresholds(node, z):
    m, steps = z.shape[-1], node["thresholds"]
    levels, bits = len(steps.flat) // m, node["increasing"].flat
    codes = []
    for k, v in enumerate(z.flat):
        j = k % m
        own = steps.flat[j * levels : (j + 1) * levels]
        up = bits[j // 8] >> j % 8 & 1
        codes.append(sum(v >= t for t in own) if up else sum(v <= t for t in own))
    return packed(z.shape, codes, node)


def quantize(node, x):
    edges = node["edges"].flat
    return packed(x.shape, [sum(v >= e for e in edges) for v in x.flat], node)


def top_planes(node, x):
    k, rows = node["planes"], planes_of(x).rows
    book = (tuple(1 << b for b in range(k)), 0, 1.0)
    return Value(x.shape, rows=[row[8 - k :] for row in rows], book=book)


def elementwise(function, *operands):
    """Return a function of the elements of operands, which broadcast."""
    n = max(len(own.shape) for own in operands)
    shapes = [(1,) * (n - len(own.shape)) + own.shape for own in operands]
    shape = [max(sizes) if min(sizes) else 0 for sizes in zip(*shapes)]
    flats = [own.numbers() for own in operands]
    if any(size(own) != size(shape) for own in shapes):
        flats = [expanded(flat, own, shape) for flat, own in zip(flats, shapes)]
    return shape, [function(*own) for own in zip(*flats)]


def expanded(flat, own, shape):
    """Return the elements of an array that broadcasts to a shape."""
    found = []
    for k in range(size(shape)):
        at, step = 0, 1
        for n, m in zip(reversed(own), reversed(shape)):
            at, step, k = at + (k % m if n > 1 else 0) * step, step * n, k // m
        found.append(flat[at])
    return found


def floats(x):
    """Return numbers as float32."""
    return Value(x.shape, [f32(v) for v in x.numbers()], is_float=True)


def arithmetic(node, *operands):
    kind = node["kind"]
    as_floats = any(own.is_float for own in operands) or kind in ("divide", "prelu", "hardtanh")
    operands = [floats(own) for own in operands] if as_floats else operands
    r = f32 if as_floats else int
    functions = {"add": lambda a, b: r(a + b), "subtract": lambda a, b: r(a - b)}
    functions["multiply"] = lambda a, b: r(a * b)
    functions["divide"] = lambda a, b: r(a / b)
    functions["prelu"] = lambda a, b: a if a > 0 else r(a * b)
    functions["maximum"], functions["minimum"] = max, min
    functions["negate"], functions["abs"] = lambda a: -a, abs
    functions["relu"] = lambda a: max(a, r(0))
    functions["hardtanh"] = lambda a: min(max(a, -1.0), 1.0)
    shape, flat = elementwise(functions[kind], *operands)
    return Value(shape, flat, is_float=as_floats)


def affine(node, x):
    step = lambda v, mean, scale, shift: f32(f32(f32(v - mean) * scale) + shift)
    shape, flat = elementwise(step, floats(x), node["mean"], node["scale"], node["shift"])
    return Value(shape, flat, is_float=True)


def rescale(node, z):
    unit = f32(node["unit"])
    shape, flat = elementwise(lambda v, b: f32(f32(f32(v) * unit) + b), z, node["bias"])
    return Value(shape, flat, is_float=True)
