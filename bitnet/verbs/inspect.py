"""`bitnet inspect`: where the ±1 weights are, as text or as a picture, with their thresholds."""

import math
import pathlib

import numpy as np

from bitnet import plots
from bitnet.archive import check_writable, kind_of, replacing
from bitnet.deploy.runtime import FrozenOutput
from bitnet.errors import InputError
from bitnet.table import aligned, percent
from bitnet.trained import Trained, open_net
from bitnet.verbs.freeze import frozen

__all__ = ["layer_lines", "net_lines"]

HELP = "the bits of a layer, its thresholds and directions, as text or picture"
UNITS, WEIGHTS = 4, 4096  # shown without --all: units, and weights in all
WIDTH = 64  # weights a line where there is no picture
START = b"layer "  # of every text


def add_arguments(parser):
    """Give a parser the arguments of the verb."""
    parser.add_argument("file", metavar="FILE", help="what `bitnet train` or `freeze` wrote")
    parser.add_argument("--layer", type=int, metavar="I",
                        help="which binary layer, from 0 (none: a list of them)")  # fmt: skip
    parser.add_argument("--unit", type=int, metavar="J",
                        help=f"which unit or channel, from 0 (the first {UNITS})")  # fmt: skip
    parser.add_argument("--as", dest="form", choices=("text", "png", "svg"), default="text",
                        help="text, or a picture, which needs --out (text)")  # fmt: skip
    parser.add_argument("--signs", default="+-", metavar="PM", help="the two characters for the "
                        "weights +1 and -1 in text, as 10 or '#.' (+-)")  # fmt: skip
    parser.add_argument("--all", action="store_true", help=f"all units and weights, not only "
                        f"{UNITS} units and {WEIGHTS} weights; a picture has up to 1024 units "
                        "and 64 without")  # fmt: skip
    parser.add_argument("--out", help="file of the text or the picture (standard output)")


def main(args):
    """Print or draw the bits."""
    if len(args.signs) != 2 or args.signs[0] == args.signs[1] or not args.signs.isprintable():
        raise InputError(f"--signs is {args.signs!r}; expected two different characters, for "
                         "+1 and -1")  # fmt: skip
    if args.form != "text":
        _check_picture(args)
    elif args.out is not None:
        check_writable(args.out)
        _check_free(args.out)
    net = open_net(args.file)
    net = frozen(net, args.file) if isinstance(net, Trained) else net
    if args.layer is not None and not 0 <= args.layer < len(net.layers):
        raise InputError(f"--layer is {args.layer}; expected 0 to {len(net.layers) - 1}")
    if args.unit is not None:
        if args.layer is None:
            raise InputError("--unit needs --layer")
        m = net.layers[args.layer].bits.shape[0]
        if not 0 <= args.unit < m:
            raise InputError(f"--unit is {args.unit}; layer {args.layer} has units 0 to {m - 1}")
    if args.form != "text":
        bits = net.layers[args.layer].bits
        picture = net.picture if args.layer == 0 else None
        most = 1024 if args.all else 64
        shown = (most, 0) if args.unit is None else (1, args.unit)
        plots.plot_filters(bits, args.out, picture, *shown)
        print(f"{args.out}: layer {args.layer}")
        return
    if args.layer is None:
        lines = net_lines(net)
    else:
        lines = layer_lines(net, args.layer, args.unit, args.signs, args.all)
    if args.out is None:
        for line in lines:
            print(line)
        return
    with replacing(args.out) as file:
        file.writelines(f"{line}\n".encode() for line in lines)
    print(f"{args.out}: written")


def _check_free(out):
    """Refuse to write text over a net, or over anything but an earlier text of this verb."""
    if not pathlib.Path(out).exists():
        return
    try:
        kind = kind_of(out)
    except InputError:
        with open(out, "rb") as file:
            if file.read(len(START)) in (b"", START):
                return
        kind = "file of something else"
    raise InputError(f"--out: {out} is a {kind}; give another name")


def _check_picture(args):
    """Refuse a picture that cannot be drawn, before the work."""
    if args.layer is None or args.out is None:
        raise InputError(f"--as {args.form} needs --layer and --out FILE.{args.form}")
    if pathlib.Path(args.out).suffix.lower() != f".{args.form}":
        raise InputError(f"--as {args.form} needs a name that ends with .{args.form} for --out")
    plots.check_plot(args.out)


def net_lines(net):
    """The layers of a frozen net, a line each.

    Parameters
    ----------
    net : FrozenNet
        The net.

    Yields
    ------
    str

    Examples
    --------
    >>> import bitnet
    >>> import numpy as np
    >>> net = bitnet.freeze(bitnet.models.binary_mlp([784, 64, 10], np.random.default_rng(0)))
    >>> for line in list(net_lines(net))[1:3]:
    ...     print(line)
    0      FrozenLayer    64x784       50.1 %            0 to 0
    1      FrozenOutput    10x64       52.8 %  none, but scores
    """
    rows = [("layer", "kind", "weights", "share of +1", "thresholds")]
    for i, layer in enumerate(net.layers):
        steps = "none, but scores"
        if not isinstance(layer, FrozenOutput):
            steps = f"{layer.thresholds.min()} to {layer.thresholds.max()}"
        shape = "x".join(map(str, layer.bits.shape))
        rows.append((str(i), type(layer).__name__, shape, percent(_share(layer.bits)), steps))
    yield from aligned(rows, left=2)
    yield "weights: units x inputs, or channels x rows x columns x input channels"
    yield "the bits of a layer: --layer I"


def _share(bits):
    """The share of +1."""
    return float(np.bitwise_count(bits.words).sum(dtype=np.int64) / bits.size)


def layer_lines(net, index, unit=None, signs="+-", everything=False):
    """The bits of a layer, unit after unit, with what each does to its pre-activation z.

    Parameters
    ----------
    net : FrozenNet
        The net.
    index : int
        Of the layer.
    unit : int, optional
        Of the unit; the first ones by default.
    signs : str, optional
        The characters for +1 and -1.
    everything : bool, optional
        All units and weights.

    Yields
    ------
    str

    Examples
    --------
    >>> from bitnet import FrozenNet, kernels
    >>> from bitnet.deploy.runtime import FrozenOutput
    >>> import numpy as np
    >>> half = np.array([0.5], np.float32)
    >>> output = FrozenOutput(kernels.pack(np.array([[1.0, -1.0, 1.0]])), half, half, half)
    >>> for line in layer_lines(FrozenNet([output]), 0):
    ...     print(line)
    layer 0: FrozenOutput, 1 units x 3 inputs, which are pixels p, counted as 2p - 255
    unit 0: 2 of 3 weights are +1; score = (z - 0.5) * 0.5 + 0.5
    +-+
    """
    layer = net.layers[index]
    m, n = layer.bits.shape[0], math.prod(layer.bits.shape[1:])
    if layer.bits.ndim == 4:
        _, rows, columns, channels = layer.bits.shape
        about = f"{m} channels of {rows}x{columns} taps on {channels} input channels"
    else:
        about = f"{m} units x {n} inputs"
    of_pixels = index == 0 and net.input == "pixels"
    takes = "pixels p, counted as 2p - 255" if of_pixels else "signs"
    yield f"layer {index}: {type(layer).__name__}, {about}, which are {takes}"
    shown = [unit] if unit is not None else range(m if everything else min(m, UNITS))
    most = math.inf if everything else WEIGHTS
    for j in shown:
        own = layer.bits[j : j + 1].signs()[0]
        yield f"unit {j}: {(own > 0).sum()} of {n} weights are +1; {_rule(layer, j)}"
        for line, n_weights in _sign_lines(own, net.picture if index == 0 else None, signs):
            if n_weights > most:
                yield f"... (no more than {WEIGHTS} weights; all of them: --all)"
                return
            most -= n_weights
            yield line
    if unit is None and len(shown) < m:
        yield f"... (units 0 to {len(shown) - 1} of {m}; another one: --unit J, all: --all)"


def _rule(layer, j):
    """What a unit makes of its pre-activation z."""
    if isinstance(layer, FrozenOutput):
        mean, scale, shift = (float(getattr(layer, name)[j]) for name in ("mean", "scale", "shift"))
        return f"score = (z - {mean:.6g}) * {scale:.6g} + {shift:.6g}"
    rising = bool(layer.rising[j])
    return f"+1 where z {'>=' if rising else '<='} {layer.thresholds[j]}, otherwise -1 " \
        f"({'rising' if rising else 'falling'})"  # fmt: skip


def _sign_lines(own, picture, signs):
    """Lines of a unit's weights (N,) or (rows, columns, C), and how many each shows."""
    if own.ndim == 1 and picture is not None and math.prod(picture) == len(own):
        own = own.reshape(picture)
    if own.ndim == 1:
        parts = (own[i : i + WIDTH] for i in range(0, len(own), WIDTH))
        yield from ((_text(part, signs), len(part)) for part in parts)
        return
    _, columns, channels = own.shape
    beside = max(1, WIDTH // (columns + 1))
    for start in range(0, channels, beside):
        part = own[:, :, start : start + beside]
        if channels > 1:
            yield f"input channels {start} to {start + part.shape[2] - 1}:", 0
        for row in part:  # (columns, C): channel after channel, a space between them
            yield " ".join(_text(channel, signs) for channel in row.T), row.size


def _text(own, signs):
    """Signs as characters."""
    return "".join(signs[0] if value > 0 else signs[1] for value in own)
