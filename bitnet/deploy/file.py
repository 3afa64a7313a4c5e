"""The file of a frozen net: its bits, thresholds and last batch norm, and nothing else.

An archive of `bitnet.archive`.  Member `I.bits` holds the weights of layer I, one bit each:
row after row, ceil(N / 8) bytes a row, element i in bit `i % 8` of byte `i // 8`, 1 for +1,
padding 0.  `I.thresholds` (int32) and `I.rising` (one bit a unit, in the same order) belong
to hidden layers, `I.mean`, `I.scale` and `I.shift` (float32) to the last one.  The filters of a
convolution have the shape (M, rows, columns, ceil(C / 8)); its window and that of its pooling
stand in the header, beside the rows and columns of the images.

Weights of k bits are stored as k planes, (k, M, ...) bytes: bit j of the code of each weight in
plane j.  What their codes stand for is in the header, `weights`, one entry a layer, and so is
what the outputs of the hidden layers stand for, `outputs`, with as many thresholds (M, L) as
there are codes but one; null is ±1.

In a net that is no chain the `plan` in the header says which layer follows which
(`bitnet.deploy.plan`).  Averages are in `pooling`, one entry a convolution, and
`average` is the window of the last one, whose filters are 1x1.

The header may also name the `classes`, the `data` set, the rows, columns and channels of its
`picture`s, and the header of a preparation, `prepare`, whose arrays are `prepare.NAME`.
"""

import dataclasses
import math

from bitnet import kernels
from bitnet.archive import read_archive, write_archive
from bitnet.arrays import to_cpu
from bitnet.deploy.layers import POOLINGS, check_layer
from bitnet.deploy.plan import (
    described,
    follow,
    plan_of,
    shape_of_all,
    shape_of_pool,
    window_from,
)
from bitnet.deploy.runtime import FrozenConv, FrozenLayer, FrozenNet, FrozenOutput
from bitnet.errors import InputError
from bitnet.kernels import Bits, Levels, Planes
from bitnet.preparation import Preparation

__all__ = ["contents", "load", "save"]

KIND, VERSION = "frozen net", 1
CONVENTION = {
    "bits": "1 is +1, 0 is -1; element i of a row is bit i%8 of byte i//8; padding 0",
    "numbers": "little-endian",
    "pixels": "p counts as 2p-255",
    "rising": "1: z>=threshold gives +1; 0: z<=threshold gives +1",
}
MAX_BYTES = 1 << 30
USUAL = {"groups": 1, "pooling": "max"}  # of convolutions
LEVELS = ("patterns", "coefficients", "unit", "offset")


def save(net, path):
    """Write a frozen net, whole or not at all.

    Parameters
    ----------
    net : FrozenNet
        What to write.
    path : str or path
        The file, commonly `NAME.npz`.

    Raises
    ------
    OSError
        If it cannot be written; what was there stays.

    Examples
    --------
    >>> import tempfile
    >>> import bitnet
    >>> import numpy as np
    >>> net = bitnet.freeze(bitnet.models.binary_mlp([9, 5, 3], np.random.default_rng(0)))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(net, f"{folder}/net.npz")
    """
    write_archive(path, KIND, VERSION, *contents(net))


def contents(net):
    """What the file of a net holds.

    Parameters
    ----------
    net : FrozenNet
        The net.

    Returns
    -------
    header : dict
        What is not in the arrays: sizes, conventions and windows.
    arrays : dict of str to numpy.ndarray
        By name; the arrays of layer I begin with "I.".

    Examples
    --------
    >>> import bitnet
    >>> import numpy as np
    >>> net = bitnet.freeze(bitnet.models.binary_mlp([9, 5, 3], np.random.default_rng(0)))
    >>> [*contents(net)[1]][:3]
    ['0.bits', '0.thresholds', '0.rising']
    """
    arrays, net = {}, to_cpu(net)
    for i, layer in enumerate(net.layers):
        arrays[f"{i}.bits"] = _code_planes(layer).to_bytes()
        if not isinstance(layer, FrozenOutput):
            arrays[f"{i}.thresholds"] = layer.thresholds.astype("<i4", copy=False)
            arrays[f"{i}.rising"] = kernels.pack(layer.rising).to_bytes()
        else:
            for name in ("mean", "scale", "shift"):
                arrays[f"{i}.{name}"] = getattr(layer, name).astype("<f4", copy=False)
    header = {"input": net.input, "sizes": net.sizes, "convention": CONVENTION}
    weights = [layer.weight_levels for layer in net.layers]
    outputs = [layer.levels for layer in net.layers[:-1]]
    for name, levels in (("weights", weights), ("outputs", outputs)):
        if any(levels):
            header[name] = [own and _described(own) for own in levels]
    if len(net.shape) > 1:
        convolutions = [layer for layer in net.layers if isinstance(layer, FrozenConv)]
        windows = [[layer.window, layer.pool] for layer in convolutions]
        header["image"] = list(net.shape)
        header["windows"] = [[w and dataclasses.asdict(w) for w in pair] for pair in windows]
        for name, usual in USUAL.items():
            own = [getattr(layer, name) for layer in convolutions]
            if any(value != usual for value in own):
                header[name] = own
        if net.layers[-1].pool is not None:
            header["average"] = dataclasses.asdict(net.layers[-1].pool)
    if not net.is_chain:
        header["plan"] = described(net.plan)
    about = {"classes": net.classes, "data": net.data, "picture": net.picture}
    header |= {name: value for name, value in about.items() if value is not None}
    if net.preparation is not None:
        header["prepare"] = net.preparation.header
        arrays |= {f"prepare.{name}": a for name, a in net.preparation.arrays.items()}
    return header, arrays


def _code_planes(layer):
    """The weights of a layer as Bits, with a plane for each bit of their codes."""
    levels = layer.weight_levels
    if levels is None:
        return layer.bits
    return Levels.uniform(levels.bits).planes(levels.codes(layer.bits)).bits


def _described(levels):
    """Levels as JSON holds them."""
    patterns, coefficients = levels.patterns.tolist(), list(levels.coefficients)
    return dict(zip(LEVELS, (patterns, coefficients, levels.unit, levels.offset), strict=True))


def load(path, max_bytes=MAX_BYTES):
    """Read a frozen net, or refuse the file.

    Parameters
    ----------
    path : str or path
        What `save` wrote.
    max_bytes : int, optional
        The largest file to read, 1 GiB.

    Returns
    -------
    FrozenNet
        Ready to predict.

    Raises
    ------
    InputError
        If a byte of the file was changed, it is cut off, of another kind or version, too
        large, or its shapes do not fit together.
    OSError
        If it cannot be opened or read.

    Examples
    --------
    >>> import tempfile
    >>> import bitnet
    >>> import numpy as np
    >>> net = bitnet.freeze(bitnet.models.binary_mlp([9, 5, 3], np.random.default_rng(0)))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     net.save(f"{folder}/net.npz")
    ...     load(f"{folder}/net.npz")
    FrozenNet(9-5-3, pixels)
    """
    header, arrays = read_archive(path, KIND, VERSION, max_bytes)
    try:
        return _net(header, arrays)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _net(header, arrays):
    """The net that a header and its arrays describe."""
    sizes = header.get("sizes")
    if not isinstance(sizes, list) or not all(type(n) is int and n > 0 for n in sizes):
        raise InputError(f"the header has sizes {sizes!r}; expected widths of 1 or more")
    if header.get("convention") != CONVENTION:
        raise InputError("the header states other conventions of bits than this bitnet's")
    about = _about(header, arrays, sizes)
    last = len(sizes) - 2
    if last < 0 or len(arrays) != 3 * last + 4:
        raise InputError(f"{len(arrays)} arrays for the {len(sizes)} sizes that the header states")
    names = [f"{i}.{part}" for i in range(last) for part in ("bits", "thresholds", "rising")]
    names += [f"{last}.{part}" for part in ("bits", "mean", "scale", "shift")]
    if missing := sorted(set(names) - set(arrays)):
        raise InputError(f"the file lacks the array {missing[0]}")
    shape, windows = _images(header, sizes[0], last)
    weights, outputs = _levels(header, "weights", last + 1), _levels(header, "outputs", last)
    groups = _each(header, "groups", len(windows), lambda g: type(g) is int and g > 0)
    poolings = _each(header, "pooling", len(windows), lambda kind: kind in POOLINGS)
    average = window_from(header["average"]) if "average" in header else None
    plan = plan_of(header.get("plan", list(range(last + 1))), last + 1)
    layers = []

    def build(i, shape):
        m, n = sizes[i + 1], math.prod(shape)
        if i < len(windows):
            n = kernels.check_groups(f"layer {i}", shape[-1], m, groups[i])
        elif i == last and average is not None:
            n = shape[-1]
        bits = _weights(i, Bits.from_bytes(arrays[f"{i}.bits"], n), weights[i])
        if i < last:
            steps = arrays[f"{i}.thresholds"], Bits.from_bytes(arrays[f"{i}.rising"], m).signs() > 0
            own = {"levels": outputs[i], "weight_levels": weights[i]}
            if i < len(windows):
                window, pool = windows[i]
                own |= {"window": window, "pool": pool, "groups": groups[i]}
                layers.append(FrozenConv(bits, *steps, **own, pooling=poolings[i]))
            else:
                layers.append(FrozenLayer(bits, *steps, **own))
        else:
            norm = (arrays[f"{i}.{name}"] for name in ("mean", "scale", "shift"))
            layers.append(FrozenOutput(bits, *norm, weights[i], average))
        if bits.shape[0] != m:
            raise InputError(f"layer {i} has bits of shape {bits.shape}; expected {m} rows")
        return check_layer(i, layers[-1], shape)

    follow(plan, shape, build, shape_of_pool, shape_of_all)
    image = header["image"][:2] if windows else None
    return FrozenNet(layers, header.get("input"), image, **about, plan=plan)


def _levels(header, name, count):
    """What the codes of each layer stand for, Levels or None."""
    described = header.get(name, [None] * count)
    if not isinstance(described, list) or len(described) != count:
        raise InputError(f"the header has {name} {described!r:.60}; expected {count} of them")
    return [None if own is None else _levels_of(name, own) for own in described]


def _levels_of(name, own):
    """The Levels that a header describes."""
    if not isinstance(own, dict) or set(own) != set(LEVELS):
        raise InputError(f"the header has {name} {own!r:.60}; expected {', '.join(LEVELS)}")
    patterns, coefficients, unit, offset = (own[key] for key in LEVELS)
    numbers = [patterns, coefficients, [offset]]
    whole = all(
        isinstance(some, list) and all(type(n) is int and abs(n) < 1 << 31 for n in some)
        for some in numbers
    )
    if not whole or min(patterns, default=0) < 0 or not isinstance(unit, float):
        raise InputError(f"the header has {name} {own!r:.60}; expected whole numbers and a unit")
    if not math.isfinite(unit):
        raise InputError(f"the header has {name} with the unit {unit}; expected a number above 0")
    return Levels(patterns, coefficients, unit, offset)


def _weights(i, bits, levels):
    """The weights of layer i as Bits or Planes, of their code planes."""
    if levels is None:
        return bits
    if bits.ndim < 3 or bits.shape[0] != levels.bits:
        raise InputError(f"layer {i} has weights {bits.shape}; expected {levels.bits} planes")
    codes = Levels.uniform(levels.bits)
    return levels.planes(codes.codes(Planes(bits, codes.coefficients)))


def _about(header, arrays, sizes):
    """What the header says about the data, and the preparation, whose arrays are taken out."""
    classes, data, picture = (header.get(name) for name in ("classes", "data", "picture"))
    if classes is not None:
        named = isinstance(classes, list) and all(type(name) is str for name in classes)
        if not named or len(classes) != sizes[-1]:
            raise InputError(f"the header has classes {classes!r:.60}; expected {sizes[-1]} names")
        classes = tuple(classes)
    if data is not None and type(data) is not str:
        raise InputError(f"the header has data {data!r:.60}; expected a name")
    if picture is not None:
        whole = isinstance(picture, list) and all(type(n) is int and n > 0 for n in picture)
        if not whole or len(picture) != 3 or math.prod(picture) != sizes[0]:
            raise InputError(
                f"the header has picture {picture!r:.60}; expected [rows, columns, channels] with "
                f"{sizes[0]} numbers"
            )
        picture = tuple(picture)
    of_preparation = [name for name in arrays if name.startswith("prepare.")]
    prepare = {name.removeprefix("prepare."): arrays.pop(name) for name in of_preparation}
    preparation = None
    if "prepare" in header or prepare:
        preparation = Preparation.from_arrays(header.get("prepare"), prepare)
        image = preparation.header["image"]
        if math.prod(image) != sizes[0] or (picture and tuple(image) not in (picture, picture[:2])):
            raise InputError(f"{preparation!r} is of other images than the net")
    return {"classes": classes, "data": data, "picture": picture, "preparation": preparation}


def _images(header, n, last):
    """The shape of an input, and the windows of each convolution."""
    if "image" not in header and "windows" not in header:
        return (n,), []
    image, windows = header.get("image"), header.get("windows")
    whole = isinstance(image, list) and all(type(v) is int and v > 0 for v in image)
    if not whole or len(image) != 3 or math.prod(image) != n:
        raise InputError(f"the header has image {image!r}; expected [rows, columns, channels]")
    if not isinstance(windows, list) or not 1 <= len(windows) <= last:
        raise InputError(f"the header has windows {windows!r:.60}; expected 1 to {last} pairs")
    return tuple(image), [_windows(pair) for pair in windows]


def _each(header, name, count, fits):
    """What the header says of each convolution, or what is usual."""
    given = header.get(name, [USUAL[name]] * count)
    if not isinstance(given, list) or len(given) != count or not all(map(fits, given)):
        raise InputError(f"the header has {name} {given!r:.60}; expected {count} of them")
    return given


def _windows(pair):
    """The Window of a convolution, and that of its pooling or None."""
    if not isinstance(pair, list) or len(pair) != 2:
        raise InputError(f"the header has the windows {pair!r:.60}, which are none")
    return window_from(pair[0]), None if pair[1] is None else window_from(pair[1])
