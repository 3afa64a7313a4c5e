"""Integers and scores of a frozen net in plain Python, written from docs/file-format.md alone:
python examples/read_by_hand.py [NET.npz [INPUTS.json]]     (default: NET.json beside the net)"""

import ast, hashlib, json, math, pathlib, struct, sys, zipfile
from functools import partial, reduce
from itertools import product

TYPES = {"|b1": "?", "|u1": "B", "|i1": "b", "<i4": "i", "<i8": "q", "<f4": "f"}
WINDOW = "size", "stride", "padding"
SIGNS = {"patterns": [0, 1], "coefficients": [1], "offset": 0}
UPPER = 4095, 2552550, 523783260, 41247931725, 1159525191825, 7905853580625  # of tanh
LOWER = 120120, 41351310, 5237832600, 252070693875, 3794809718700, 7905853580625
# numbers: an operation on float32 numbers in float64, then f32, is rounded as one in float32
f32 = lambda x: struct.unpack("<f", struct.pack("<f", x))[0]
dot = lambda a, b, rounded: reduce(lambda t, p: rounded(t + rounded(p[0] * p[1])), zip(a, b), 0)
mean = lambda x: f32(dot(x, [1.0] * len(x), f32) / len(x))
clip = lambda x, most: min(max(x, -most), most)
series = lambda first, ks, s: reduce(lambda t, k: f32(f32(t * s) + f32(k)), ks, first)
lambert = lambda x, s: f32(f32(x * series(1.0, UPPER, s)) / series(91.0, LOWER, s))
tanh = lambda x: clip(lambert(clip(x, 9.0), f32(clip(x, 9.0) * clip(x, 9.0))), 1.0)
logistic = lambda x: f32(f32(tanh(f32(x * 0.5)) * 0.5) + 0.5)
scaled = lambda z, unit: f32(f32(z) * f32(unit))
normed = lambda x, mean, scale, shift: f32(f32(f32(f32(x) - mean) * scale) + shift)
# arrays: nested lists; packed values are kept as their integers
Pixel = type("Pixel", (int,), {"__mul__": lambda p, w: (2 * int(p) - 255) * w})  # in products
flat = lambda x: [v for y in x for v in flat(y)] if isinstance(x, list) else [x]
cut = lambda x, n: [x[i : i + n] for i in range(0, len(x), n)]
nested = lambda x, shape: reduce(cut, reversed(shape[1:]), x)
size = lambda s, sizes: math.prod(sizes.get(p) or int(p) for p in str(s).split("*"))
is_row = lambda x: not isinstance(x[0], list)
of_row = lambda row, n: [row[i // 8] >> i % 8 & 1 for i in range(n)]
bits = lambda x, n: of_row(x, n) if is_row(x) else [bits(y, n) for y in x]
signed = lambda p, ks: sum(k * (p >> b & 1 or -1) for b, k in enumerate(ks))
repeat = lambda y, n: [y] * n if is_row(y) else y  # an operand of one axis belongs to the last one
rows = lambda f, x, *more: [each(f, *own) for own in zip(x, *(repeat(y, len(x)) for y in more))]
each = lambda f, x, *more: [*map(f, x, *more)] if is_row(x) else rows(f, x, *more)
channels = lambda f, taps: [f(own) for own in zip(*filter(None, taps))]
pool = lambda f, out: lambda self, n, x: windows(partial(channels, f), n, x, out * len(x[0][0][0]))
part = lambda x, own: x[slice(*own["slice"])] if isinstance(own, dict) else x[own]
stored = lambda n: bits(n["bits"] if n["codebook"] else [n["bits"]], n["columns"])
coded = lambda codes, *ones: codes[sum(one << j for j, one in enumerate(ones))]
uniform = lambda k: SIGNS | {"patterns": range(1 << k), "coefficients": [1 << b for b in range(k)]}


def sums(taps, filters, groups=1, bias=None):  # of one patch; of floats with a bias
    size, rounded, found = len(taps[0]) // groups, f32 if bias else int, []
    for m, own in enumerate(filters):
        at = m * groups // len(filters) * size
        z = dot([v for tap in taps for v in tap[at : at + size]], flat(own), rounded)
        found.append(f32(z + bias[m]) if bias else z)
    return found


def windows(function, n, x, outside):  # of the taps of each output pixel
    (rows, columns), (down, right), ((above, below), (left, after)) = map(n["window"].get, WINDOW)
    wide, found = [outside] * (left + len(x[0][0]) + after), []
    for image in x:
        own = [wide] * above + [wide[:left] + y + wide[:after] for y in image] + [wide] * below
        spans = range(0, len(own) - rows + 1, down), range(0, len(wide) - columns + 1, right)
        taps = ([row[j : j + columns] for row in own[i : i + rows]] for i, j in product(*spans))
        found.append(cut([function(sum(box, [])) for box in taps], len(spans[1])))
    return found


class Net:
    def __init__(self, path):
        content = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(content[:-64]).hexdigest().encode() != content[-64:]:
            sys.exit(f"{path}: expected a file that ends with its SHA-256")
        with zipfile.ZipFile(path) as archive:
            arrays = {name[:-4]: self.npy(archive.read(name)) for name in archive.namelist()}
        self.header = json.loads(bytes(arrays.pop("header")))
        if self.header["version"] != 2 or self.header.get("prepare"):
            sys.exit(f"{path}: expected format 2, and images that need no preparation")
        for name, array in arrays.items():
            self.header["nodes"][int(name.split(".")[0])][name.split(".")[1]] = array

    def npy(self, content):
        begin = 10 + struct.unpack("<H", content[8:10])[0]
        text = ast.literal_eval(content[10:begin].decode().strip())
        values = struct.iter_unpack("<" + TYPES[text["descr"]], content[begin:])
        return nested([v for (v,) in values], text["shape"])

    def run(self, inputs):  # the value of each node, for the inputs of a .json
        self.inputs, self.sizes, values = iter(inputs), {}, []
        for i, n in enumerate(self.header["nodes"]):
            if (kind := n["kind"].replace(" ", "_")) not in vars(Net):
                sys.exit(f"node {i}: this reader does not know the kind {n['kind']!r}")
            first = self.header["nodes"][n["inputs"][0]] if n["inputs"] else {}
            planes = n.get("planes", 8 if kind == "pixels" else 0)
            own = uniform(planes) if planes else n.get("codebook", first.get("book")) or SIGNS
            codes = [signed(p, own["coefficients"]) + own["offset"] for p in own["patterns"]]
            n |= {"book": own, "codes": codes}
            values.append(getattr(self, kind)(n, *(values[j] for j in n["inputs"])))
        return values

    def given(self, n):
        own = next(self.inputs)
        self.sizes |= zip(map(str, n["shape"]), own["shape"])
        data = (float.fromhex(v) if isinstance(v, str) else v for v in own["values"])
        return nested([Pixel(v) if n["kind"] == "pixels" else v for v in data], own["shape"])

    def conv(self, n, x, filters, bias=None):
        border, book = n["window"]["border"], SIGNS if bias else n["book"]
        border = border and border * sum(book["coefficients"]) + book["offset"]
        run = lambda taps: sums(taps, filters, n["groups"], bias)
        return windows(run, n, x, [border] * len(x[0][0][0]))

    def thresholds(self, n, z):
        steps = [tuple(flat(row)) for row in n["thresholds"]]
        code = lambda v, own, up: n["codes"][sum(v >= t if up else v <= t for t in own)]
        return each(code, z, steps, bits(n["increasing"], len(steps)))

    def lstm(self, n, z, weight, h, c):
        states = []
        for own in z:
            q = self.rescale(n | {"bias": own}, self.linear(n, self.quantize(n, h), weight))
            i, f, g, o = ([cut(row, len(row) // 4)[k] for row in q] for k in range(4))
            i, f, o, g = *(each(logistic, gate) for gate in (i, f, o)), each(tanh, g)
            c = each(lambda i, f, g, c: f32(f32(f * c) + f32(i * g)), i, f, g, c)
            states.append(h := each(lambda o, c: f32(o * tanh(c)), o, c))
        return [*states, c]

    linear = lambda self, n, x, w, *b: [sums([v], w, 1, *b) for v in cut(flat(x), len(w[0]))]
    float_conv, float_linear, pixels, signs, numbers, ids = conv, linear, given, given, given, given
    avgpool, maxpool, sumpool = pool(mean, [0]), pool(max, []), pool(sum, [0])
    add = lambda self, n, x, y: each(lambda a, b: f32(a + b), x, y)
    affine = lambda self, n, x: each(normed, x, n["mean"], n["scale"], n["shift"])
    constant = lambda self, n: n["array"]
    flatten = lambda self, n, x: [*map(flat, x)]
    gather = lambda self, n, table, ids: each(lambda i: table[i], ids)
    planes = lambda self, n, x: each(lambda v: n["codes"][v >> 8 - n["planes"]], x)
    prelu = lambda self, n, x, y: each(lambda v, slope: v if v > 0 else f32(slope * v), x, y)
    quantize = lambda self, n, x: each(lambda v: n["codes"][sum(v >= e for e in n["edges"])], x)
    relu = lambda self, n, x: each(lambda v: max(v, 0.0), x)
    reshape = lambda self, n, x: nested(flat(x), [size(s, self.sizes) for s in n["shape"]])
    rescale = lambda self, n, z: each(lambda v, b: f32(scaled(v, n["unit"]) + b), z, n["bias"])
    weights = lambda self, n: each(partial(coded, n["codes"]), *stored(n))
    slice = lambda self, n, x: part(x, *n["index"])  # of one part


if __name__ == "__main__":
    conformance = pathlib.Path(__file__).parents[1] / "tests/conformance"
    path, *more = map(pathlib.Path, sys.argv[1:] or [conformance / "mlp.npz"])
    given = more[0] if more else path.with_suffix(".json")
    text = given.read_text() if given.is_file() else sys.exit(f"{given}: expected a file of inputs")
    values = (net := Net(path)).run(json.loads(text)["inputs"])
    for i, node in enumerate(net.header["nodes"]):
        if node["kind"] in ("linear", "conv") or i in net.header["outputs"]:
            print(f"node {i}, {node['kind']}: {values[i]}")
