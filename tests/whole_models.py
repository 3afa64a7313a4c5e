"""A strategy that draws whole models, each with inputs whose batch norms meet exact ties.

A model is drawn layer by layer.  Each layer is applied to some inputs at once, so that what may
follow is known from the result, and a batch norm is spoilt so that its results are 0 there.
"""

import dataclasses
from typing import Any

import numpy as np
from hypothesis import strategies as st
from own_modules import Apply, Classifier, Joined, Several, Shortcut, Twice, in_order
from strategies import SMALLEST, seeds

from bitnet import kernels, nn
from bitnet.autograd import Tensor
from bitnet.kernels import BitPlanes, Bits
from bitnet.nn.module import evaluating

WIDTHS = (2, 1, 3, 63, 64, 65, 127, 128, 129)
FEW = (2, 1, 4, 6, 8, 64, 66)  # channels
WEIGHTS = (
    *(
        1,
        1,
        1,
        1,
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        8,
        "ternary",
        "linear:2:0.5",
        "linear:8:0.01",
        "log:2",
        "log:3:1",
    ),
    *("log:5", "log:5", "dorefa:3", "dorefa:1", "linear:1:0.5:unsigned", "uniform:1:0.5"),
)
ACTIVATIONS = (
    *(1, 2, 3, 4, 5, 6, 7, 8, "linear:4:0.25", "linear:3:0.2:unsigned", "log:3"),
    *("log:3:0:unsigned", "log:5", "log:5", "linear:1:0.5:unsigned", "dorefa-activation:2"),
    *("log:1:0:unsigned", "uniform:3:0.5", "uniform:2:100", "linear:8:1", "approx-sign"),
    *("swish-sign:2", "uniform:1:0.5"),
)
ROWS, STEPS = 5, 3  # of the inputs with which a model is drawn
INT32 = 2**31 - 1


@dataclasses.dataclass
class Whole:
    """A model, what it takes, and whether its integers may not fit int32."""

    model: Any
    inputs: tuple
    axes: list
    too_large: bool
    origin: str = ""

    def __repr__(self):
        kinds = [f"{getattr(x, 'dtype', 'Bits')} {x.shape}" for x in self.inputs]
        return f"{self.origin}: {self.model!r} of {', '.join(kinds)}{' too large' * self.too_large}"

    def rows(self, *numbers):
        """Return inputs with these elements of the batch."""
        index = np.array(numbers, np.int64)
        pairs = zip(self.inputs, self.axes, strict=True)
        return tuple(x[:, index] if own == "TB" else x[index] for x, own in pairs)


class Drawing:
    """The layers drawn so far, and their result for some inputs."""

    def __init__(self, rng, x, depth, most=0):
        self.rng, self.x, self.layers, self.depth, self.most = rng, x, [], depth, most
        self.first = x
        self.largest = 255 if self.kind == "uint8" else 1
        self.too_large = False

    def one_of(self, *options):
        return options[self.rng.integers(len(options))]

    @property
    def kind(self):
        """The type of the result: "uint8", "packed", "int32", "int64", "bool" or "float"."""
        if isinstance(self.x, (Bits, BitPlanes)):
            return "packed"
        return "float" if self.x.dtype.kind == "f" else str(self.x.dtype)

    @property
    def is_image(self):
        return self.x.ndim == 4

    def add(self, layer):
        """Append a layer, and apply it if its integers fit."""
        self.layers.append(layer)
        if self.too_large:
            return
        with evaluating(layer), np.errstate(all="ignore"):
            self.x = layer(Tensor(self.x)).data

    def inner(self, depth=0, most=0):
        """Return a drawing that begins where this one is."""
        own = Drawing(self.rng, self.x, depth, most)
        own.largest = self.largest
        return own

    def sequence(self):
        """Return the layers as one."""
        return in_order(self.layers, self.one_of("flat", "flat", "nested", "lists"))

    # layers for the results of each type

    def product(self):
        """A product of bits, with its integers counted."""
        c, quantizer = self.x.shape[-1], self.one_of(*WEIGHTS)
        if self.x.ndim == 3:
            own = {"padding": self.one_of("same", "causal", "valid"), "rng": self.rng}
            own["dilation"] = self.one_of(*(n for n in (1, 2) if n <= self.x.shape[1]))
            size = self.one_of(*(n for n in (1, 2) if (n - 1) * own["dilation"] < self.x.shape[1]))
            layer = nn.QuantConv1d(
                c, self.one_of(2, 1, 65), size, **own, weight_quantizer=quantizer
            )
            n_terms = layer.weight.size // layer.out_channels
        elif self.is_image:
            groups = self.one_of(*(n for n in (1, 2, 3) if c % n == 0))
            m = groups * self.one_of(1, 2, 3, 32, 33)
            layer = nn.QuantConv2d(c, m, **self.window(groups), weight_quantizer=quantizer)
            n_terms = layer.weight.size // m
        elif quantizer == 1 and self.one_of(False, True):
            layer, n_terms = nn.BinaryLinear(c, self.one_of(*WIDTHS), rng=self.rng), c
        else:
            balance = self.one_of(False, True)
            own = {"rng": self.rng, "weight_quantizer": quantizer, "balance": balance}
            layer, n_terms = nn.QuantLinear(c, self.one_of(*WIDTHS), **own), c
        if self.kind != "float":
            self.sum_of(n_terms, layer.weight_quantizer.codebook.largest)
        self.add(nn.ChannelScale(layer) if self.one_of(*[False] * 5, True) else layer)

    def sum_of(self, n_terms, largest=1):
        """Count the largest integer of a sum of products."""
        self.largest *= n_terms * largest
        self.too_large |= self.largest > INT32

    def window(self, groups=1):
        """Return the arguments of a convolution that fits."""
        size = self.one_of(*(n for n in (1, 2, 3) if n <= min(self.x.shape[1:3])))
        padding = self.one_of("same", "valid", *([1, ((0, 1), (1, 0))] if size > 1 else []))
        own = {"kernel_size": size, "stride": self.one_of(1, 2), "padding": padding}
        least = min(self.x.shape[1:3])
        own["dilation"] = self.one_of(1, *(n for n in (2, 3) if (size - 1) * n < least >= n))
        return own | {"groups": groups, "border": self.one_of(0, 1, -1), "rng": self.rng}

    def norm(self):
        """A batch norm with gammas of both signs, 0, tiny and huge ones, and exact ties."""
        c = self.x.shape[-1]
        norm = self.one_of(nn.BatchNorm, nn.BatchNorm, nn.ShiftBatchNorm)(c)
        rows = self.x.reshape(-1, c).astype(np.float32)
        met = rows[self.rng.integers(0, len(rows), c), np.arange(c)]
        huge = [1e8] if abs(rows).max(initial=0) < 1e6 else []
        gammas = [1.0, -1.0, 0.3, -2.0, 0.0, -0.0, 1e-30, -1e-30, SMALLEST, *huge]
        norm.gamma.data[:] = self.rng.choice(gammas, c)
        norm.running_inv_std[:] = self.rng.choice([1.0, 0.25, 0.1, 1 / 3, 100.0], c)
        means = [met, np.round(met), met + np.float32(0.5), 0 * met, self.rng.normal(size=c)]
        norm.running_mean[:] = self.rng.choice(means)
        mean, scale, _ = norm.affine()
        with np.errstate(all="ignore"):
            tie = -((met - mean) * scale)
        betas = [tie, tie, 0 * tie, np.full(c, 0.5), np.full(c, -1.0), -0.0 * abs(tie)]
        norm.beta.data[:] = self.rng.choice(betas)
        norm.beta.data[~np.isfinite(norm.beta.data)] = 0
        self.add(norm)

    def quantize(self):
        layer = self.one_of(nn.Sign(), nn.Quantize)
        layer = nn.Quantize(self.one_of(*ACTIVATIONS)) if layer is nn.Quantize else layer
        if self.one_of(*[False] * 5, True) and self.kind in ("float", "int32"):
            layer = nn.RSign(self.one_of(self.x.shape[-1], 1), self.one_of(1, "approx-sign", 2))
            layer.bias.data[:] = self.rng.choice([0.0, 0.5, -3.0], layer.bias.shape)
        self.add(layer)
        own = getattr(layer, "quantizer", None)
        self.largest = 1 if own is None else own.codebook.largest

    def pool(self):
        kind = self.one_of(nn.MaxPool2d, nn.AvgPool2d)
        size = self.one_of(*(n for n in (1, 2, 3) if n <= min(self.x.shape[1:3])))
        padding = self.one_of(0, *([1] if size > 2 else []))
        layer = kind(size, self.one_of(1, 2), padding)
        if kind is nn.AvgPool2d and self.kind != "float":
            self.sum_of(size * size)
        self.add(layer)

    def whole_average(self):
        if self.kind != "float":
            self.sum_of(int(np.prod(self.x.shape[1:3])))
        self.add(nn.AvgPool2d(self.x.shape[1:3]))

    def flatten(self):
        self.add(nn.Flatten())

    def dropout(self):
        self.add(nn.Dropout(0.5, rng=self.rng))

    def planes(self):
        k = self.one_of(*range(1, 9))
        self.add(nn.PixelPlanes(k))
        self.largest = 2**k - 1

    def elementwise(self):
        """A float layer with parameters, or ReLU or HardTanh."""
        kind = self.one_of(nn.ReLU, nn.HardTanh, nn.PReLU, nn.Shift, nn.Scale, nn.RPReLU)
        if kind in (nn.ReLU, nn.HardTanh):
            self.add(kind())
            return
        layer = kind(self.one_of(self.x.shape[-1], 1))
        values = [0.25, -0.5, 0.0, -0.0, 1.0, 3.0, SMALLEST]
        for parameter in layer.parameters():
            parameter.data[:] = self.rng.choice(values, parameter.shape)
        self.add(layer)

    def upsample(self):
        self.add(nn.Upsample(self.one_of(2, (1, 2), (3, 1))))

    def global_average(self):
        if self.kind != "float":
            self.sum_of(int(np.prod(self.x.shape[1:-1])))
        self.add(nn.GlobalAvgPool())

    def function(self):
        """An own Module with one operation."""
        names = ["tanh", "sigmoid", "abs", "negate", "halved", "third", "from 1", "twice"]
        names += [
            "exp",
            "log",
            "positive",
            "above mean",
            "centred",
            "max",
            "first",
            "last",
            "every other",
        ]
        names += ["clamp", "maximum", "where", "softmax", "deviation"] * (self.kind == "float")
        names += ["stacked"] * (self.kind == "float")
        names += ["one channel", "backwards", "transpose", "rows", "spread"]
        names += ["by position"] if self.is_image else []
        names += ["sum", "mean"] if self.kind != "int64" else []
        bounded = abs(self.x.astype(np.float64)).max(initial=0) < 1e4
        names += ["square"] if bounded and self.kind == "float" else []
        names += ["power"] if bounded else []
        if not self.is_image:
            names += ["image"] + ["pairs"] * (self.x.shape[-1] % 2 == 0 and self.x.ndim == 2)
        name = self.one_of(*names)
        if name in ("from 1", "halved") and self.kind == "bool":
            name = "negate"
        if self.x.ndim == 3 and name in ("transpose", "image"):
            name = "first"
        factor = {"twice": 2, "sum": int(np.prod(self.x.shape[1:-1] or (self.x.shape[-1],)))}
        self.add(Apply(name))
        if self.kind in ("int32", "int64") and name in ("twice", "negate"):
            self.largest *= factor.get(name, 1)
            self.too_large |= self.largest > INT32 and self.kind == "int32"

    def float_product(self):
        c = self.x.shape[-1]
        if self.is_image:
            groups = self.one_of(*(n for n in (1, 2) if c % n == 0))
            layer = nn.Conv2d(c, groups * self.one_of(1, 2, 5), **self.window(groups))
        else:
            layer = nn.Linear(c, self.one_of(2, 1, 3, 65), rng=self.rng)
        layer.bias.data[:] = self.rng.normal(size=layer.bias.shape)
        self.add(layer)

    def scaled(self):
        own = {"weight_quantizer": self.one_of(1, 2, 4, 8, "ternary", "dorefa:3")}
        own["activation_quantizer"] = quantizer = self.one_of(*ACTIVATIONS)
        layer = nn.ScaledLinear(self.x.shape[-1], self.one_of(2, 1, 3, 65), rng=self.rng, **own)
        if self.kind == "float":
            self.largest = nn.Quantize(quantizer).quantizer.codebook.largest
        self.sum_of(self.x.shape[-1], layer.weight_quantizer.codebook.largest)
        self.add(layer)

    def shortcut(self):
        """x + norm(product(quantize(x))) of numbers."""
        inner = self.inner()
        inner.quantize()
        c, own = self.x.shape[-1], {"rng": self.rng, "weight_quantizer": self.one_of(1, 2, 3)}
        product = nn.QuantLinear(c, c, **own)
        if self.is_image:
            product = nn.QuantConv2d(c, c, 3, padding="same", border=self.one_of(0, 1, -1), **own)
        inner.sum_of(product.weight.size // c, product.weight_quantizer.codebook.largest)
        if inner.too_large:
            return
        pool = self.one_of(1, 1, 2) if self.is_image else 1
        if pool > 1:
            product = nn.QuantConv2d(c, 2 * c, 3, stride=2, padding="same", **own)
        inner.add(product)
        inner.norm()
        if pool > 1 or self.one_of(False, True):
            self.add(nn.Shortcut(*inner.layers, pool=pool, copies=pool))
            return
        self.add(Shortcut(in_order(inner.layers, self.one_of("flat", "nested", "lists"))))

    def branches(self):
        """Branches of packed values or of floats, side by side."""
        quantizer, parts, drawings = self.one_of(1, 2, "log:3"), [], []
        for _ in range(self.one_of(2, 1, 3)):
            own = self.inner()
            if own.kind == "packed" or own.kind == "uint8":
                c, m = self.x.shape[-1], self.one_of(1, 2, 65)
                product = nn.QuantLinear(c, m, rng=self.rng)
                if self.is_image:
                    product = nn.QuantConv2d(c, m, 3, padding="same", rng=self.rng)
                own.sum_of(product.weight.size // m)
                own.add(product)
                if own.too_large:
                    return
            own.norm()
            own.add(nn.Quantize(quantizer))
            own.largest = own.layers[-1].quantizer.codebook.largest
            drawings.append(own)
            parts.append(nn.Sequential(*own.layers))
        self.add(nn.Branches(*parts))
        self.largest = max(own.largest for own in drawings)

    def shared(self):
        """One block of product, norm and quantizer, applied two times."""
        c, inner = self.x.shape[-1], self.inner()
        inner.add(nn.QuantLinear(c, c, rng=self.rng, weight_quantizer=self.one_of(1, 2)))
        inner.norm()
        inner.quantize()
        largest = inner.largest
        inner.sum_of(c, 3)
        if not inner.too_large:
            self.add(Twice(nn.Sequential(*inner.layers)))
            self.largest = largest

    def options(self):
        """Return what may come next."""
        x, kind, is_row = self.x, self.kind, self.x.ndim == 2
        images = [self.pool, self.flatten, self.whole_average] if self.is_image else []
        images += [self.upsample, self.global_average] if self.is_image else []
        if kind == "uint8":
            images = [self.flatten, self.upsample] if self.is_image else []
            to_float = [lambda: self.add(Apply("float"))]
            return [
                self.product,
                self.product,
                self.planes,
                self.planes,
                self.dropout,
                *to_float,
                *images,
            ]
        if kind == "packed":
            own = [self.product] * 4 if x.ndim in (2, 4) else [self.scaled, self.product]
            own += [self.global_average] if x.ndim == 3 else []
            own += [self.branches] if x.ndim in (2, 4) else []
            own += [self.dropout, lambda: self.add(Apply(self.one_of("unpack", "unpack 64")))]
            own += [self.shared, self.scaled] if is_row else []
            return own + images
        if kind == "int32":
            own = [self.norm] * 4 + [self.quantize, self.elementwise, self.function, self.branches]
            return own + [self.shortcut] * (x.ndim in (2, 4)) + images + [self.pool] * self.is_image
        if kind in ("int64", "bool"):
            return [self.norm, self.function, self.elementwise]
        own = [self.quantize] * 4 + [self.norm, self.elementwise, self.dropout]
        own += [self.function] * 3
        if x.dtype == np.float64:
            return own
        own += [self.float_product, self.branches, self.shortcut] * (x.ndim in (2, 4))
        own += [self.product] * (x.ndim in (2, 4))
        return own + ([self.scaled] if x.ndim < 4 else []) + images

    def draw_layers(self):
        """Draw layers until there are as many products as the depth says, or most layers."""
        for _ in range(self.most):
            if self.too_large or self.x.ndim < 2 or not self.x.size or self.depth <= 0:
                return self
            before = self.x
            self.one_of(*self.options())()
            if self.x is not before and isinstance(self.layers[-1], PRODUCTS):
                self.depth -= 1
        return self


PRODUCTS = (nn.QuantLinear, nn.QuantConv2d, nn.Linear, nn.Conv2d, nn.ScaledLinear, Shortcut, Twice)
PRODUCTS += (nn.Shortcut, nn.ChannelScale)


def some_inputs(rng, shape):
    """Return ROWS inputs, as pixels, signs or floats."""
    kind = rng.choice(["pixels", "signs", "floats"])
    if kind == "pixels":
        return rng.choice(np.array([0, 1, 127, 128, 254, 255, 77], np.uint8), (ROWS, *shape))
    x = rng.standard_normal((ROWS, *shape)).astype(np.float32)
    x = np.where(rng.random(x.shape) < 0.2, np.float32(0), x * 2)
    return kernels.pack(x) if kind == "signs" else x


def feedforward(rng, shape, most):
    """Return a model of rows or images, with one output or several."""
    x = some_inputs(rng, shape)
    body = Drawing(rng, x, rng.integers(1, 6), most).draw_layers()
    model, too_large = body.sequence(), body.too_large
    if not too_large and most > 2 and rng.random() < 0.2:
        heads = [body.inner(1, most).draw_layers() for _ in range(rng.integers(1, 3))]
        too_large = any(own.too_large for own in heads)
        model = Several(model, *(own.sequence() for own in heads))
    return Whole(model, (x,), ["B"], too_large)


def of_two(rng, shapes, most):
    """Return a model of two inputs, which meet as codes of one quantizer."""
    parts, quantizer = [], nn.Quantize([1, 2, "log:3"][rng.integers(3)])
    for shape in shapes:
        part = Drawing(rng, some_inputs(rng, shape), 1, 2).draw_layers()
        if part.too_large or part.x.ndim < 2 or not part.x.size:
            part = Drawing(rng, some_inputs(rng, shape), 1)
        if part.kind == "packed":
            part.add(Apply("unpack"))
        elif part.kind == "uint8":
            part.add(Apply("float"))
        if part.x.ndim > 2:
            part.add(Apply("rows"))
        part.norm()
        part.add(quantizer)
        parts.append(part)
    both = kernels.concatenate([part.x for part in parts])
    end = Drawing(rng, both, rng.integers(1, 4), most)
    end.largest = quantizer.quantizer.codebook.largest
    end.draw_layers()
    model = Joined(parts[0].sequence(), parts[1].sequence(), end.sequence())
    return Whole(model, tuple(part.first for part in parts), ["B", "B"], end.too_large)


def of_rows(rng, most):
    """Return a model of rows."""
    if rng.random() < 0.15:
        return of_two(rng, [(n,) for n in rng.choice(WIDTHS, 2)], most)
    return feedforward(rng, (rng.choice(WIDTHS),), most)


def of_images(rng, most):
    """Return a model of small images."""
    if rng.random() < 0.1:
        return of_two(rng, [(rng.choice(WIDTHS),), (3, 2, rng.choice(FEW))], most)
    if rng.random() < 0.15:
        return feedforward(rng, (rng.choice([5, 2, 3]), rng.choice(FEW)), most)
    return feedforward(rng, (rng.choice([5, 2, 3]), rng.choice([4, 1, 3]), rng.choice(FEW)), most)


def recurrent_layer(rng, n):
    """Return recurrent layers of floats or k bits."""
    kind, own = rng.choice([nn.RNN, nn.LSTM, nn.GRU]), {"num_layers": rng.integers(1, 3)}
    if kind is nn.RNN:
        own["activation"] = str(rng.choice(["tanh", "relu"]))
    quantizers = [None, (1, 1), (2, 4), ("ternary", "log:3"), (8, 8), (3, "linear:2:0.5")]
    found = quantizers[rng.integers(len(quantizers))]
    if found is not None:
        own |= {"weight_quantizer": found[0], "activation_quantizer": found[1]}
    layer = kind(n, int(rng.choice([2, 1, 5, 65])), rng=rng, dropout=0.3, **own)
    for bias in layer.biases:
        bias.data[:] = rng.choice([0.0, 0.5, -1.0], bias.shape)
    return layer


def of_sequences(rng, most):
    """Return a classifier of sequences of floats or ids, with or without lengths."""
    n = int(rng.choice([2, 1, 65]))
    layer = recurrent_layer(rng, n)
    if rng.random() < 0.5:
        x, quantizer = rng.integers(0, 4, (STEPS, ROWS)), None
        if layer.activation_quantizer is not None and rng.random() < 0.5:
            quantizer = layer.activation_quantizer
        before = [nn.Embedding(4, n, rng=rng, activation_quantizer=quantizer)]
    else:
        x = rng.standard_normal((STEPS, ROWS, n)).astype(np.float32)
        drawing = Drawing(rng, x, 0)
        drawing.one_of(drawing.norm, drawing.elementwise, drawing.dropout)()
        before = drawing.layers
    x_after = nn.Sequential(*before).eval()(x)
    step = -1 if rng.random() < 0.3 and x_after.is_float else 1
    y, _ = layer.eval()(x_after[::step] if step < 0 else x_after)
    head = Drawing(rng, y[-1].data, rng.integers(1, 3), most).draw_layers()
    model = Classifier(nn.Sequential(*before), layer, head.sequence(), step)
    inputs = (x, rng.integers(1, STEPS + 1, ROWS))[: rng.integers(1, 3)]
    return Whole(model, inputs, ["TB", "B"][: len(inputs)], head.too_large)


KINDS = {"rows": of_rows, "images": of_images, "sequences": of_sequences}


def whole(kind, seed, most):
    """Return the model of a kind with a seed and at most so many layers at its top."""
    found = KINDS[kind](np.random.default_rng(seed), most)
    found.origin = f"whole({kind!r}, {seed}, {most})"
    return found


def whole_models(kind):
    """Return a strategy of models; the choices follow a seed, so that models differ."""
    return st.builds(whole, st.just(kind), seeds, st.integers(1, 14))
