"""The file of a frozen net: its bits, thresholds and last batch norm, and nothing else.

An archive of `bitnet.archive`.  Member `I.bits` holds the weights of layer I, one bit each:
row after row, ceil(N / 8) bytes a row, element i in bit `i % 8` of byte `i // 8`, 1 for +1,
padding 0.  `I.thresholds` (int32) and `I.rising` (one bit a unit, in the same order) belong
to hidden layers, `I.mean`, `I.scale` and `I.shift` (float32) to the last one.
"""

import itertools

from bitnet import kernels
from bitnet.archive import read_archive, write_archive
from bitnet.deploy.runtime import FrozenLayer, FrozenNet, FrozenOutput
from bitnet.errors import InputError
from bitnet.kernels import Bits

__all__ = ["load", "save"]

KIND, VERSION = "frozen net", 1
CONVENTION = {
    "bits": "1 is +1, 0 is -1; element i of a row is bit i%8 of byte i//8; padding 0",
    "numbers": "little-endian",
    "pixels": "p counts as 2p-255",
    "rising": "1: z>=threshold gives +1; 0: z<=threshold gives +1",
}
MAX_BYTES = 1 << 30


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
    arrays = {}
    for i, layer in enumerate(net.layers):
        arrays[f"{i}.bits"] = layer.bits.to_bytes()
        if isinstance(layer, FrozenLayer):
            arrays[f"{i}.thresholds"] = layer.thresholds.astype("<i4", copy=False)
            arrays[f"{i}.rising"] = kernels.pack(layer.rising).to_bytes()
        else:
            for name in ("mean", "scale", "shift"):
                arrays[f"{i}.{name}"] = getattr(layer, name).astype("<f4", copy=False)
    header = {"input": net.input, "sizes": net.sizes, "convention": CONVENTION}
    write_archive(path, KIND, VERSION, header, arrays)


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
    last = len(sizes) - 2
    if last < 0 or len(arrays) != 3 * last + 4:
        raise InputError(f"{len(arrays)} arrays for the {len(sizes)} sizes that the header states")
    names = [f"{i}.{part}" for i in range(last) for part in ("bits", "thresholds", "rising")]
    names += [f"{last}.{part}" for part in ("bits", "mean", "scale", "shift")]
    if missing := sorted(set(names) - set(arrays)):
        raise InputError(f"the file lacks the array {missing[0]}")
    layers = []
    for i, (n, m) in enumerate(itertools.pairwise(sizes)):
        bits = Bits.from_bytes(arrays[f"{i}.bits"], n)
        if bits.shape != (m, n):
            raise InputError(f"layer {i} has bits of shape {bits.shape}; expected ({m}, {n})")
        if i < last:
            rising = Bits.from_bytes(arrays[f"{i}.rising"], m).signs() > 0
            layers.append(FrozenLayer(bits, arrays[f"{i}.thresholds"], rising))
        else:
            norm = (arrays[f"{i}.{name}"] for name in ("mean", "scale", "shift"))
            layers.append(FrozenOutput(bits, *norm))
    return FrozenNet(layers, header.get("input"))
