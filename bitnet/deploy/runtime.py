"""A frozen net: integers from the first product to the last, then one batch norm in float.

Needs NumPy alone; with Numba installed the same integers come faster.  Algorithm 4 of the papers,
with batch norm and sign as one integer comparison, or batch norm and a k-bit quantizer as 2^k - 1
of them.
"""

import copy
import math

import numpy as np

from bitnet import kernels
from bitnet.arrays import array_module, as_array, is_array, like, moved, read_only, to_cpu
from bitnet.data.preparation import Preparation
from bitnet.deploy import file
from bitnet.deploy.layers import FrozenConv, FrozenLayer, FrozenOutput, check_layer, layer_from
from bitnet.deploy.plan import described, follow, plan_of, shape_of_all, shape_of_pool
from bitnet.devices import full_memory_named, mover
from bitnet.errors import InputError, check_choice
from bitnet.kernels import Bits

INPUTS = ("pixels", "signs")
ENTRIES = ("input", "image", "layers", "plan", "classes", "data", "picture", "prepare")
MAX_LAYERS = 1 << 16
# at once: what lies between the layers stays in the processor's cache, or keeps a GPU busy
BATCH, BATCH_OF_IMAGES = {"cpu": 200, "gpu": 10_000}, {"cpu": 64, "gpu": 256}


class FrozenNet:
    """A net of bits, thresholds and one last batch norm, as `bitnet.freeze` makes it.

    Parameters
    ----------
    layers : list of FrozenConv and then of FrozenLayer, the last a FrozenOutput
        In order; the outputs of each are the inputs of the next.
    input : {"pixels", "signs"}
        What the first layer takes: uint8 pixels, or ±1.
    image : (int, int), optional
        Rows and columns of the images, for a net that begins with a FrozenConv.
    plan : list, optional
        The way through a net that is no chain, see `bitnet.deploy.plan`.

    Attributes
    ----------
    layers : list
        `layers[i].bits` are the weights of layer i, Bits or BitPlanes.  The arrays are read-only: a
        net is changed by building another one.
    shapes : list of (tuple of int, tuple of int)
        What comes into each layer, and what comes out, without the batch.
    classes : tuple of str or None
        The names of the classes; may be set, as all below.
    data : str or None
        The data set that the net was trained on.
    picture : (int, int, int) or None
        Rows, columns and channels of the images in that data set.
    preparation : Preparation or None
        What has to happen to such images before `scores` and `predict`; `prepare` does it.

    Raises
    ------
    InputError
        If the layers do not fit together.

    Examples
    --------
    >>> import bitnet
    >>> rng = np.random.default_rng(0)
    >>> net = bitnet.freeze(bitnet.nn.models.binary_mlp([784, 64, 10], rng=rng))
    >>> net
    FrozenNet(784-64-10, pixels)
    >>> net.predict(np.zeros((3, 784), np.uint8)).shape
    (3,)
    >>> net.scores(np.zeros((3, 784), np.uint8)).dtype
    dtype('float32')
    """

    kind = file.KIND

    classes = data = picture = preparation = None

    def __init__(self, layers, input="pixels", image=None, plan=None):
        self.layers, self.input = list(layers), input
        self.plan = list(range(len(self.layers))) if plan is None else plan
        check_choice("FrozenNet", INPUTS, input=input)
        kinds = [type(layer) for layer in self.layers]
        n_convolutions = kinds.count(FrozenConv)
        hidden = [FrozenConv] * n_convolutions + [FrozenLayer] * (len(kinds) - n_convolutions - 1)
        if not kinds or kinds != [*hidden, FrozenOutput]:
            expected = "FrozenConvs, FrozenLayers and, at the end, a FrozenOutput"
            raise InputError(f"FrozenNet: expected {expected}")
        self.shape = _input_shape(self.layers[0], image)
        self.shapes = []

        def check(i, shape):
            self.shapes.append((shape, check_layer(i, self.layers[i], shape)))
            return self.shapes[-1][1]

        follow(self.plan, self.shape, check, shape_of_pool, shape_of_all)
        for layer in self.layers:
            for array in (layer.bits._held, *filter(is_array, vars(layer).values())):
                read_only(array)  # what the products keep of them stays true
        self.batch = self._usual_batch()

    @property
    def device(self):
        """Where the arrays are: "cpu" or "gpu"."""
        return "cpu" if array_module(self.layers[0].bits) is np else "gpu"

    def to(self, device):
        """Move the net, and return it; inputs may be on either device, and so are the results."""
        move = mover(device)
        with full_memory_named():
            self._put(moved(self.layers, move))
        return self

    def _moved(self, move):
        """A net with its arrays moved; see `bitnet.arrays.moved`."""
        net = copy.copy(self)
        net._put(moved(self.layers, move))
        return net

    def _put(self, layers):
        """Have the layers of another device, and take as many inputs at once as is usual there."""
        usual = self.batch == self._usual_batch()
        self.layers = layers
        self.batch = self._usual_batch() if usual else self.batch

    def _usual_batch(self):
        """How many inputs are taken at once, unless `batch` is set."""
        convolves = any(isinstance(layer, FrozenConv) for layer in self.layers)
        return (BATCH_OF_IMAGES if convolves else BATCH)[self.device]

    @property
    def sizes(self):
        """The elements of an input, and the units or channels of each layer."""
        return [math.prod(self.shape), *(layer.bits.shape[0] for layer in self.layers)]

    def __repr__(self):
        first = "x".join(map(str, self.shape))
        if self.plan != list(range(len(self.layers))):  # no chain
            return f"FrozenNet({first}-{len(self.layers)} layers-{self.sizes[-1]}, {self.input})"
        sizes = zip(self.layers, self.sizes[1:], strict=True)
        names = [f"{m}C" if isinstance(layer, FrozenConv) else str(m) for layer, m in sizes]
        return f"FrozenNet({'-'.join([first, *names])}, {self.input})"

    def prepare(self, images):
        """uint8 images (count, H, W[, C]) as in files, as what `scores` and `predict` take."""
        if self.preparation is None:
            return images
        images, own = np.asarray(images), tuple(self.preparation.header["image"])
        if images.ndim > 2 and images.shape[1:] in ((*own, 1), own[:2]) and own[2:] in ((), (1,)):
            images = images.reshape(len(images), *own)  # the axis of one channel may be left out
        return self.preparation(images)

    def pre_activations(self, x):
        """The integer pre-activations of every layer, before a pooling, for inputs of `scores`.

        A list of int32 arrays (B, M) or (B, H, W, M).
        """
        with full_memory_named():
            integers = self._run(like(self.check_input(x), self.layers[0].bits))
            return [like(z, x) for z in integers]

    def scores(self, x):
        """The outputs of the last batch norm, float32 (B, C).

        For "pixels" `x` is uint8 (B, N), or (B, height, width) with N pixels in all; for
        convolutions (B, H, W, C), or (B, H, W) if C is 1.  For "signs" it is Bits, or numbers
        that are +1 and -1.  B may be 0.
        """
        given, own = x, self.layers[0].bits
        x = self.check_input(x)
        starts = range(0, max(1, len(x)), self.batch)
        with full_memory_named():
            parts = [self._integers(like(x[i : i + self.batch], own)) for i in starts]
            return like(self.layers[-1].outputs(array_module(own).concatenate(parts)), given)

    def predict(self, x):
        """The classes, int64 (B,): the index of the largest score."""
        return self.scores(x).argmax(axis=1)

    def save(self, path):
        """Write the net to a file, whole or not at all."""
        file.save(self, path)

    def contents(self):
        """What a file holds of the net: a header, and arrays by name."""
        own = to_cpu(self)
        layers, arrays = file.contents_of(dict(enumerate(own.layers)))
        image = list(self.shape[:2]) if len(self.shape) > 1 else None
        header = {"input": self.input, "image": image, "layers": list(layers.values())}
        header |= {"plan": described(self.plan), "classes": self.classes, "data": self.data}
        prepare = self.preparation
        header |= {"picture": self.picture, "prepare": prepare and prepare.header}
        kept = {} if prepare is None else prepare.arrays
        return header, arrays | {f"prepare.{name}": array for name, array in kept.items()}

    @classmethod
    def from_contents(cls, header, arrays):
        """The net that a file describes."""
        file.check_names("the header", header, ENTRIES)
        headers, parts = header["layers"], file.apart(arrays)
        file.check_list("layers", headers, MAX_LAYERS)
        prepare = parts.pop("prepare", {})
        file.check_names("the file", parts, [str(i) for i in range(len(headers))])
        layers = [layer_from(i, own, parts[str(i)]) for i, own in enumerate(headers)]
        plan = plan_of(header["plan"], len(layers))
        net = cls(layers, header["input"], header["image"], plan=plan)
        net._take_about(header, prepare)
        return net

    def _take_about(self, header, prepare):
        """What a file says about the data, and its preparation, once they fit the net."""
        n, n_classes = self.sizes[0], self.sizes[-1]
        fits = {
            "data": lambda own: isinstance(own, str),
            "classes": lambda own: _is_list(own, str, n_classes),
            "picture": lambda own: _is_list(own, int, 3) and min(own) > 0 and math.prod(own) == n,
        }
        for name, fit in fits.items():
            own = header[name]
            if own is not None and not fit(own):
                raise InputError(f"the header has {name} {own!r:.60}, which does not fit {self}")
            setattr(self, name, tuple(own) if isinstance(own, list) else own)
        if header["prepare"] is None and not prepare:
            return
        self.preparation = Preparation.from_arrays(header["prepare"], prepare)
        image = tuple(self.preparation.header["image"])
        shown = [image] if self.picture is None else [self.picture, self.picture[:2]]
        if math.prod(image) != n or image not in shown:
            raise InputError(f"{self.preparation!r} is of other images than the net")

    def _run(self, x):
        """The pre-activations of all layers for a checked input."""
        integers = []

        def run(i, x):
            integers.append(self.layers[i].integers(x))
            return self.layers[i].outputs(integers[-1])

        follow(self.plan, x, run)
        return integers

    def _integers(self, x):
        """The pre-activations of the last layer; those of the others stay in registers."""
        *hidden, last = self.plan
        x = follow(hidden, x, lambda i, x: self.layers[i].run(x))
        return self.layers[last].integers(x)

    def check_input(self, x):
        """The input, once it fits, as uint8 pixels or as Bits of shape (B, *self.shape)."""
        expected = ", ".join(map(str, ("B", *self.shape)))
        if isinstance(x, Bits):
            if self.input != "signs" or x.shape[1:] != self.shape:
                came = f"Bits of shape {x.shape}"
                raise InputError(f"{self}: got {came}; expected {self.input} of shape ({expected})")
            return x
        try:
            x = as_array(x)
        except ValueError:
            came = "rows of different length"
            raise InputError(f"{self}: got {came}; expected ({expected})") from None
        fits = x.ndim > 1 and math.prod(x.shape[1:]) == math.prod(self.shape)
        if fits and len(self.shape) > 1:  # images, of one channel without its axis
            fits = x.shape[1:] in (self.shape, self.shape[:2])
        if not fits:
            rows = f"({expected}), one row an image (for a single image: image[None])"
            raise InputError(f"{self}: got an array of shape {x.shape}; expected {rows}")
        x = x.reshape(len(x), *self.shape)
        if self.input == "pixels":
            if x.dtype != np.uint8:
                how = "(of floats from 0 to 1: (255 * x).round().astype(numpy.uint8))"
                pixels = f"uint8 pixels from 0 to 255 {how}"
                raise InputError(f"{self}: got {x.dtype}; expected {pixels}")
            return x
        if x.dtype.kind not in "fi" or not (abs(x) == 1).all():
            raise InputError(f"{self}: got other numbers than +1 and -1")
        return kernels.pack(x)


def _is_list(given, kind, count):
    """Whether something from a file is a list of so many values of a type."""
    return isinstance(given, list) and [type(value) for value in given] == [kind] * count


def _input_shape(first, image):
    """The shape of an input: (N,), or (H, W, C) before a convolution."""
    if not isinstance(first, FrozenConv):
        if image is not None:
            raise InputError(f"FrozenNet: image is {image!r}, but the first layer is {first!r}")
        return (first.bits.shape[-1],)
    given = isinstance(image, (tuple, list)) and len(image) == 2
    if not given or not all(type(n) is int and n > 0 for n in image):
        raise InputError(f"FrozenNet: image is {image!r:.60}; expected rows and columns, (H, W)")
    return (*image, first.bits.shape[-1] * first.groups)
