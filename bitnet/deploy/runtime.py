"""A frozen net: integers from the first product to the last, then one batch norm in float.

This is Algorithm 4 of the papers, where one integer comparison replaces batch norm and sign, and
2^k - 1 comparisons replace batch norm and a k-bit quantizer.  Only NumPy is required; Numba
computes the same integers faster.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from bitnet import kernels
from bitnet.arrays import Array, array_module, as_array, is_array, like, moved, read_only, to_cpu
from bitnet.data.preparation import Preparation
from bitnet.deploy import file
from bitnet.deploy.html import html_table
from bitnet.deploy.layers import FrozenConv, FrozenLayer, FrozenOutput, check_layer, layer_from
from bitnet.deploy.plan import described, follow, plan_of, shape_of_all, shape_of_pool
from bitnet.devices import full_memory_named, mover
from bitnet.errors import InputError, check_choice
from bitnet.kernels import Bits

INPUTS = ("pixels", "signs")
ENTRIES = ("input", "image", "layers", "plan", "classes", "data", "picture", "prepare")
MAX_LAYERS = 1 << 16
TITLES = ("layer", "weights", "outputs", "weight bits", "output bits", "bytes")
# inputs at once: their activations fit into the cache of a processor, or keep a GPU busy
BATCH, BATCH_OF_IMAGES = {"cpu": 200, "gpu": 10_000}, {"cpu": 64, "gpu": 256}


class FrozenNet:
    """A net of bits, integer thresholds and one final batch norm, as `bitnet.freeze` returns it.

    Parameters
    ----------
    layers : sequence of FrozenConv, FrozenLayer and FrozenOutput
        Any number of FrozenConv, then any number of FrozenLayer, then one FrozenOutput.
    input : {"pixels", "signs"}, optional
        The inputs of the first layer: uint8 pixels (default), or ±1.
    image : (int, int), optional
        The rows and columns of the images; needed if the first layer is a FrozenConv.
    plan : list, optional
        The order of computation, see `bitnet.deploy.plan`; by default one layer after the other.

    Attributes
    ----------
    layers : list
        The layers; `layers[i].bits` are the weights of layer i, Bits or BitPlanes.  Their arrays
        are read-only: build another net to change them.
    shapes : list of (tuple of int, tuple of int)
        The shapes of the inputs and outputs of each layer, without the batch.
    classes : tuple of str or None
        The names of the classes; like the attributes below, it may be set.
    data : str or None
        The name of the data set that the net was trained on.
    picture : (int, int, int) or None
        The rows, columns and channels of the images in that data set.
    preparation : Preparation or None
        The transformation of such images, which `scores` and `predict` apply first.

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

    classes: Sequence[str] | None = None
    data: str | None = None
    picture: tuple[int, int, int] | None = None
    preparation: Preparation | None = None

    def __init__(
        self,
        layers: Sequence[FrozenConv | FrozenLayer | FrozenOutput],
        input: str = "pixels",
        image: tuple[int, int] | None = None,
        plan: list | None = None,
    ) -> None:
        self.layers, self.input = list(layers), input
        self.plan = list(range(len(self.layers))) if plan is None else plan
        check_choice("FrozenNet", INPUTS, input=input)
        kinds = [type(layer) for layer in self.layers]
        n_convolutions = kinds.count(FrozenConv)
        hidden = [FrozenConv] * n_convolutions + [FrozenLayer] * (len(kinds) - n_convolutions - 1)
        if not kinds or kinds != [*hidden, FrozenOutput]:
            came = ", ".join(kind.__name__ for kind in kinds) or "no layers"
            expected = "any number of FrozenConv, then of FrozenLayer, then one FrozenOutput"
            raise InputError(f"FrozenNet: got {came:.80}; expected {expected}")
        self.shape = _input_shape(self.layers[0], image)
        self.shapes: list[tuple[tuple[int, ...], tuple[int, ...]]] = []

        def check(i, shape):
            self.shapes.append((shape, check_layer(i, self.layers[i], shape)))
            return self.shapes[-1][1]

        follow(self.plan, self.shape, check, shape_of_pool, shape_of_all)
        for layer in self.layers:
            for array in (layer.bits._held, *filter(is_array, vars(layer).values())):
                read_only(array)  # so that the prepared weights stay equal to them
        self.batch = self._usual_batch()

    @property
    def device(self) -> str:
        """The device of the arrays, "cpu" or "gpu"."""
        return "cpu" if array_module(self.layers[0].bits) is np else "gpu"

    def to(self, device: str) -> Self:
        """Move the net to a device and return it.

        Inputs may be on either device; results are on the device of the inputs.
        """
        move = mover(device)
        with full_memory_named():
            self._put(moved(self.layers, move))
        return self

    def _moved(self, move):
        """Return a copy of the net with moved arrays; see `bitnet.arrays.moved`."""
        net = copy.copy(self)
        net._put(moved(self.layers, move))
        return net

    def _put(self, layers):
        """Replace the layers by those on another device, and `batch` by its default there."""
        usual = self.batch == self._usual_batch()
        self.layers = layers
        self.batch = self._usual_batch() if usual else self.batch

    def _usual_batch(self):
        """Return the default number of inputs that are computed at once."""
        convolves = any(isinstance(layer, FrozenConv) for layer in self.layers)
        return (BATCH_OF_IMAGES if convolves else BATCH)[self.device]

    @property
    def sizes(self) -> list[int]:
        """The elements of an input, then the units or channels of each layer."""
        return [math.prod(self.shape), *(layer.bits.shape[0] for layer in self.layers)]

    def __repr__(self) -> str:
        first, input = "x".join(map(str, self.shape)), self.input
        if self.preparation is not None:
            input += f" prepared by {' '.join(self.preparation.header['steps'])}"
        if self.plan != list(range(len(self.layers))):  # no chain
            return f"FrozenNet({first}-{len(self.layers)} layers-{self.sizes[-1]}, {input})"
        sizes = zip(self.layers, self.sizes[1:], strict=True)
        names = [f"{m}C" if isinstance(layer, FrozenConv) else str(m) for layer, m in sizes]
        return f"FrozenNet({'-'.join([first, *names])}, {input})"

    def _repr_html_(self) -> str:
        """Return a table of the layers for a notebook."""
        _, arrays = self.contents()
        parts, rows = file.apart(arrays), []
        for i, (layer, (_, outputs)) in enumerate(zip(self.layers, self.shapes, strict=True)):
            sizes = ("x".join(map(str, shape)) for shape in (layer.bits.shape, outputs))
            n_bytes = sum(array.nbytes for array in parts[str(i)].values())
            bits = _bits(layer.weight_codebook), _bits(getattr(layer, "codebook", None))
            bits = (bits[0], "float32") if isinstance(layer, FrozenOutput) else bits
            rows.append((f"{i} {type(layer).__name__}", *sizes, *bits, f"{n_bytes:,}"))
        return html_table(repr(self), TITLES, rows)

    def prepare(self, images: Array | Bits) -> Array | Bits:
        """Return prepared inputs for uint8 images (B, H, W[, C]) as in files."""
        if self.preparation is None:
            return images
        images, own = np.asarray(images), tuple(self.preparation.header["image"])
        if images.ndim > 2 and images.shape[1:] in ((*own, 1), own[:2]) and own[2:] in ((), (1,)):
            images = images.reshape(len(images), *own)  # the axis of a single channel is optional
        return self.preparation(images)

    def pre_activations(self, x: Array | Bits, prepared: bool = False) -> list[Array]:
        """Return the integer pre-activations of each layer, before pooling, for inputs of `scores`.

        They are int32 arrays (B, M) or (B, H, W, M).
        """
        x = x if prepared else self.prepare(x)
        with full_memory_named():
            integers = self._run(like(self.check_input(x), self.layers[0].bits))
            return [like(z, x) for z in integers]

    def scores(self, x: Array | Bits, prepared: bool = False) -> Array:
        """Return the scores of the classes, float32 (B, C).

        For "pixels", `x` is uint8 (B, N), or (B, H, W) with N pixels in all; for convolutions
        (B, H, W, C), or (B, H, W) if C is 1.  For "signs", it is Bits, or an array of +1 and -1.
        B may be 0.  A net with a `preparation` applies it, unless `prepared` says that `prepare`
        has done so.
        """
        x = x if prepared else self.prepare(x)
        given, own = x, self.layers[0].bits
        x = self.check_input(x)
        starts = range(0, max(1, len(x)), self.batch)
        with full_memory_named():
            parts = [self._integers(like(x[i : i + self.batch], own)) for i in starts]
            return like(self.layers[-1].outputs(array_module(own).concatenate(parts)), given)

    def predict(self, x: Array | Bits, prepared: bool = False) -> Array:
        """Return the classes, int64 (B,): the index of the largest of the `scores`."""
        return self.scores(x, prepared).argmax(axis=1)

    def save(self, path: Path | str) -> None:
        """Write the net to a file, completely or not at all."""
        file.save(self, path)

    def contents(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return the header of the net in a file, and its arrays by name."""
        own = to_cpu(self)
        layers, arrays = file.contents_of(dict(enumerate(own.layers)))
        image = list(self.shape[:2]) if len(self.shape) > 1 else None
        header: dict[str, Any] = {"input": self.input, "image": image}
        header["layers"] = list(layers.values())
        header |= {"plan": described(self.plan), "classes": self.classes, "data": self.data}
        prepare = self.preparation
        header |= {"picture": self.picture, "prepare": prepare and prepare.header}
        kept = {} if prepare is None else prepare.arrays
        return header, arrays | {f"prepare.{name}": array for name, array in kept.items()}

    @classmethod
    def from_contents(cls, header: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        """Return the net with this header and these arrays; refuse what does not fit."""
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
        """Set what a file says about the data and their preparation; refuse what does not fit."""
        n, n_classes = self.sizes[0], self.sizes[-1]
        fits = {
            "data": lambda own: isinstance(own, str),
            "classes": lambda own: _is_list(own, str, n_classes),
            "picture": lambda own: _is_list(own, int, 3) and min(own) > 0 and math.prod(own) == n,
        }
        for name, fit in fits.items():
            own = header[name]
            if own is not None and not fit(own):
                raise InputError(
                    f"the header has {name} {own!r:.60}; expected one that fits {self}"
                )
            setattr(self, name, tuple(own) if isinstance(own, list) else own)
        if header["prepare"] is None and not prepare:
            return
        self.preparation = Preparation.from_arrays(header["prepare"], prepare)
        image = tuple(self.preparation.header["image"])
        shown = [image] if self.picture is None else [self.picture, self.picture[:2]]
        if math.prod(image) != n or image not in shown:
            came = f"{self.preparation!r}, whose images differ from the net's"
            raise InputError(f"the file has {came}; expected images that fit {self}")

    def _run(self, x):
        """Return the pre-activations of all layers for a checked input."""
        integers = []

        def run(i, x):
            integers.append(self.layers[i].integers(x))
            return self.layers[i].outputs(integers[-1])

        follow(self.plan, x, run)
        return integers

    def _integers(self, x):
        """Return the pre-activations of the last layer; the others run fused kernels."""
        *hidden, last = self.plan
        x = follow(hidden, x, lambda i, x: self.layers[i].run(x))
        return self.layers[last].integers(x)

    def check_input(self, x: Array | Bits) -> Array | Bits:
        """Return an input as uint8 pixels or Bits of shape (B, *self.shape); refuse others."""
        expected = ", ".join(map(str, ("B", *self.shape)))
        if isinstance(x, Bits):
            if self.input != "signs" or x.shape[1:] != self.shape:
                came = f"Bits of shape {x.shape}"
                raise InputError(f"{self}: got {came}; expected {self.input} of shape ({expected})")
            return x
        try:
            x = as_array(x)
        except ValueError:
            came = "rows of different lengths"
            raise InputError(f"{self}: got {came}; expected ({expected})") from None
        fits = x.ndim > 1 and math.prod(x.shape[1:]) == math.prod(self.shape)
        if fits and len(self.shape) > 1:  # images, of one channel without its axis
            fits = x.shape[1:] in (self.shape, self.shape[:2])
        if not fits:
            rows = f"({expected}), one row per image (for a single image: image[None])"
            raise InputError(f"{self}: got an array of shape {x.shape}; expected {rows}")
        x = x.reshape(len(x), *self.shape)
        if self.input == "pixels":
            if x.dtype != np.uint8:
                how = "(for floats from 0 to 1: (255 * x).round().astype(numpy.uint8))"
                pixels = f"uint8 pixels from 0 to 255 {how}"
                raise InputError(f"{self}: got {x.dtype}; expected {pixels}")
            return x
        if x.dtype.kind not in "fi" or not (abs(x) == 1).all():
            expected = "signed integers or floats, each +1 or -1"
            raise InputError(f"{self}: got {x.dtype} values; expected {expected}")
        return kernels.pack(x)


def _bits(codebook):
    """Return the bits of a code as text; without a Codebook it is a sign."""
    return "1" if codebook is None else str(codebook.bits)


def _is_list(given, kind, count):
    """Return whether a value of a header is a list of `count` values of a type."""
    return isinstance(given, list) and [type(value) for value in given] == [kind] * count


def _input_shape(first, image):
    """Return the shape of an input: (N,), or (H, W, C) for a convolution."""
    if not isinstance(first, FrozenConv):
        if image is not None:
            how = f"None, as the first layer is {first!r}"
            raise InputError(f"FrozenNet: image is {image!r}; expected {how}")
        return (first.bits.shape[-1],)
    given = isinstance(image, (tuple, list)) and len(image) == 2
    if not given or not all(type(n) is int and n > 0 for n in image):
        raise InputError(f"FrozenNet: image is {image!r:.60}; expected rows and columns, (H, W)")
    return (*image, first.bits.shape[-1] * first.groups)
