"""`bitnet inspect`: show the weights and the thresholds of a layer, as text or picture.

examples:
  bitnet inspect net.npz
  bitnet inspect net.npz --layer 0 --unit 3
  bitnet inspect net.npz --layer 0 --as png --out layer.png
  bitnet inspect net.npz --layer 1 --all --signs '#.' --out layer.txt
"""

import math
import pathlib
import textwrap
from argparse import Namespace
from functools import partial

import numpy as np

from bitnet.analysis import plots
from bitnet.analysis.table import aligned, percent
from bitnet.cli.options import check_suffix
from bitnet.deploy.cells import Cell
from bitnet.deploy.products import Rescale
from bitnet.deploy.runtime import weight_bits
from bitnet.errors import InputError
from bitnet.files import check_writable, opened, replacing
from bitnet.kernels import BitPlanes, Bits
from bitnet.training.trained import Trained, load_net

MOST_NUMBERS = 16  # that are listed one by one
UNITS, WEIGHTS = 4, 4096  # shown without --all
JOINED = "\xa0"  # a space at which no line ends
WIDTH = 64  # weights per line where there is no picture
START = b"layer "  # of every text that the verb writes
GATE_NAMES = {  # of the rows of a recurrent layer, in order
    "rnn": ("unit",),
    "lstm": ("input gate", "forget gate", "candidate", "output gate"),
    "gru": ("reset gate", "update gate", "candidate"),
}
SIGNS = (
    "the two characters for the weights +1 and -1, such as 10 or '#.'; k-bit weights are shown as "
    "numbers"
)
ALL = (
    f"show all units and weights, not only {UNITS} units and {WEIGHTS} weights; in a picture up to "
    "1024 units, not only 64"
)


def add_arguments(parser):
    """Add the arguments of the verb to a parser."""
    add = parser.add_argument
    add("file", metavar="FILE", help="a checkpoint, or a net from `bitnet freeze`")
    add("--layer", type=int, metavar="I", help="number of a layer, from 0; default: list all")
    about = f"number of the unit or channel, from 0; default: the first {UNITS}"
    add("--unit", type=int, metavar="J", help=about)
    about = "text, or a picture, which needs --layer and --out"
    add("--as", dest="form", choices=("text", "png", "svg"), default="text", help=about)
    add("--signs", default="+-", metavar="PM", help=SIGNS)
    add("--all", action="store_true", help=ALL)
    about = "the text (.txt) or the picture to write; default: print the text"
    add("--out", metavar="NAME.txt|png|svg", help=about)


def main(args: Namespace) -> None:
    """Print or draw the weights."""
    if len(args.signs) != 2 or args.signs[0] == args.signs[1] or not args.signs.isprintable():
        raise InputError(f"--signs is {args.signs!r}; expected two characters, for +1 and -1")
    if args.form != "text":
        _check_picture(args)
    elif args.out is not None:
        check_suffix("--out", args.out, ".txt")
        check_writable(args.out)
        _check_free(args.out)
    net = load_net(args.file)
    net = net.freeze() if isinstance(net, Trained) else net
    if args.layer is not None and not 0 <= args.layer < len(net.layers):
        raise InputError(f"--layer is {args.layer}; expected 0 to {len(net.layers) - 1}")
    if args.unit is not None:
        if args.layer is None:
            raise InputError("--unit needs --layer; add it")
        m = net.layers[args.layer].bits.shape[0]
        if not 0 <= args.unit < m:
            raise InputError(f"--unit is {args.unit}; layer {args.layer} has units 0 to {m - 1}")
    if args.form != "text":
        layer, picture = net.layers[args.layer], net.picture if args.layer == 0 else None
        if not isinstance(layer.bits, (Bits, BitPlanes)):
            raise InputError(f"layer {args.layer} has float weights; remove --as {args.form}")
        most, first = (1024 if args.all else 64, 0) if args.unit is None else (1, args.unit)
        shown = picture, most, first, layer.weight_codebook
        plots.plot_filters(layer.bits, *shown, path=args.out)
        print(f"{args.out}: layer {args.layer}")
        return
    own = args.layer, args.unit, args.signs, args.all
    lines = net_lines(net) if args.layer is None else layer_lines(net, *own)
    if args.out is None:
        for line in lines:
            print(line)
        return
    with replacing(args.out) as file:
        file.writelines(f"{line}\n".encode() for line in lines)
    print(f"{args.out}: written")


def _check_free(out):
    """Refuse to replace anything but an earlier text of this verb."""
    if pathlib.Path(out).exists():
        with opened(out) as file:
            if file.read(len(START)) not in (b"", START):
                raise InputError(f"--out: {out} has other contents; choose another name")


def _check_picture(args):
    """Refuse a picture that cannot be drawn, before the work."""
    if args.layer is None or args.out is None:
        raise InputError(f"--as {args.form} needs --layer and --out NAME.{args.form}; add them")
    check_suffix("--out", args.out, f".{args.form}")
    plots.check_plot(args.out)


def net_lines(net):
    """Yield one line per layer of a frozen net."""
    binary = all(weight_bits(layer) == 1 for layer in net.layers)
    share = "share of +1" if binary else "share above 0"
    rows = [["layer", "kind", "weights", "bits", share, "thresholds"]]
    for i, layer in enumerate(net.layers):
        steps = "none (scores)" if _is_last(net, layer) else "none"
        if layer.thresholds is not None:
            steps = f"{layer.thresholds.min()} to {layer.thresholds.max()}"
        shape = "x".join(map(str, layer.bits.shape))
        above = percent((_numbers(layer.bits, slice(None)) > 0).mean())
        rows.append([str(i), layer.kind, shape, str(weight_bits(layer)), above, steps])
    yield from aligned([row[:3] + row[4:] if binary else row for row in rows], left=2)
    yield "weights: units x inputs, or channels x rows x columns x input channels"
    yield "add --layer I for the weights of a layer"


def _is_last(net, layer):
    """Return whether the first result of a net is that of a layer."""
    return layer.numbers[-1] == net.graph.outputs[0]


def layer_lines(net, index, unit=None, signs="+-", everything=False):
    """Yield the weights of a layer unit by unit, with what each unit computes from its sum z.

    Weights of k bits are shown as the integers that are multiplied.
    """
    layer = net.layers[index]
    m, n = layer.bits.shape[0], math.prod(layer.bits.shape[1:])
    if layer.bits.ndim == 4:
        _, rows, columns, channels = layer.bits.shape
        about = f"{m} filters of {rows}x{columns} on {channels} input channels"
    else:
        about = f"{m} units x {n} inputs"
    yield f"layer {index}: {layer.kind}, {about}, which are {_inputs(layer)}"
    codebook = layer.weight_codebook
    if codebook:
        yield f"{codebook.bits}-bit weights: {_few(codebook)}"
        yield from _shares(_numbers(layer.bits, slice(None)), codebook, "in the layer")
    show = partial(_signs, signs) if isinstance(layer.bits, Bits) else _as_floats
    show = partial(_integers, codebook) if codebook else show
    shown = [unit] if unit is not None else range(m if everything else min(m, UNITS))
    most = math.inf if everything else WEIGHTS
    for j in shown:
        own = _numbers(layer.bits, slice(j, j + 1))[0]
        kinds = "are +1" if isinstance(layer.bits, Bits) else "are above 0"
        kinds += f", {(own == 0).sum()} are 0" if codebook and 0 in codebook.integers else ""
        about, rule = f"unit {j}: {(own > 0).sum()} of {n} weights {kinds}", _rule(net, layer, j)
        if layer.codebook:
            yield about
            yield from _wrapped(rule)
        else:
            yield f"{about}; {rule}"
        if codebook and unit is not None:
            yield from _shares(own, codebook, "in the unit")
        for line, n_weights in _weight_lines(own, net.picture if index == 0 else None, show):
            if n_weights > most:
                yield f"... (only {WEIGHTS} weights are shown; add --all for all)"
                return
            most -= n_weights
            yield line
    if unit is None and len(shown) < m:
        yield f"... (units 0 to {len(shown) - 1} of {m}; add --unit J or --all for others)"


def _numbers(weights, units):
    """The weights of some units as integers, or as they are in floats."""
    if isinstance(weights, BitPlanes):
        return weights.with_bits(weights.bits[:, units]).integers()
    return weights[units].signs() if isinstance(weights, Bits) else weights[units]


def _inputs(layer):
    """The kind of input of a layer, in words."""
    kind, codebook, before = layer.enters.kind, layer.enters.codebook, ""
    if isinstance(layer.node, Cell):
        codebook, before = layer.node.codebook, "states, as "
        kind = "bits" if isinstance(layer.bits, (Bits, BitPlanes)) else kind
    if codebook:
        return f"{before}{codebook.bits}-bit numbers: {_few(codebook)}"
    kinds = {"uint8": "pixels p, taken as 2p - 255", "bits": "signs"}
    return before + kinds.get(kind, f"{kind} numbers")


def _few(codebook):
    """The integers of a Codebook and their factor, in words."""
    return f"{_listed(codebook.integers)}, times {codebook.unit:g}"


def _listed(numbers):
    """List monotone numbers; only the first and the last if there are many."""
    if len(numbers) > MOST_NUMBERS:
        return f"{len(numbers)} integers from {numbers[0]} to {numbers[-1]}"
    return ", ".join(map(str, numbers))


def _shares(numbers, codebook, of):
    """Yield lines with the share of each integer among the weights, or of 16 ranges."""
    counts = np.bincount(
        np.searchsorted(codebook.integers, numbers.ravel()), minlength=len(codebook)
    )
    parts = np.array_split(np.arange(len(codebook)), min(len(codebook), MOST_NUMBERS))
    ends = (dict.fromkeys(codebook.integers[[part[0], part[-1]]].tolist()) for part in parts)
    texts = (
        f"{' to '.join(map(str, pair))} ({percent(counts[part].sum() / numbers.size)})"
        for pair, part in zip(ends, parts, strict=True)
    )
    whole = "; ".join(text.replace(" ", JOINED) for text in texts)
    yield from (line.replace(JOINED, " ") for line in _wrapped(f"{of}: {whole}"))


def _wrapped(text):
    """Lines of at most 100 characters, with two spaces before each."""
    return textwrap.wrap(text, 100, initial_indent="  ", subsequent_indent="  ")


def _rule(net, layer, j):
    """What a unit computes from its pre-activation z, in words."""
    if isinstance(layer.node, Cell):
        units = layer.bits.shape[1]
        return f"the sum of the {GATE_NAMES[layer.kind][j // units]} of state {j % units}"
    if layer.thresholds is None:
        name, affine = "score" if _is_last(net, layer) else "result", layer.affine
        if affine is None:
            return f"{name} = z"
        if isinstance(affine, Rescale):
            return f"{name} = z * {affine.unit:.6g} + {affine.bias[j]:.6g}"
        mean, scale, shift = (float(getattr(affine, own)[j]) for own in ("mean", "scale", "shift"))
        return f"{name} = (z - {mean:.6g}) * {scale:.6g} + {shift:.6g}"
    increasing = bool(layer.increasing[j])
    sign, way = (">=", "increasing") if increasing else ("<=", "falling")
    if layer.codebook is None:
        return f"+1 where z {sign} {layer.thresholds[j]}, otherwise -1 ({way})"
    integers, steps = layer.codebook.integers, layer.thresholds[j]
    if len(steps) > MOST_NUMBERS:
        where = f"{len(steps)} steps from z {sign} {steps[0]} to {steps[-1]}"
    else:
        where = f"z {sign} {_listed(steps)}"
    return f"{_listed(integers)}: the next one at each of {where} ({way})"


def _weight_lines(own, picture, show):
    """Yield lines of a unit's weights (N,) or (rows, columns, C), with the number on each."""
    if own.ndim == 1 and picture is not None and math.prod(picture) == len(own):
        own = own.reshape(picture)
    each = len(show(np.repeat(own.ravel()[:1], 2))) - len(show(own.ravel()[:1]))  # characters
    if own.ndim == 1:
        most = max(1, WIDTH // each)
        parts = (own[i : i + most] for i in range(0, len(own), most))
        yield from ((show(part), len(part)) for part in parts)
        return
    _, columns, channels = own.shape
    beside = max(1, WIDTH // (columns * each + 1))
    for start in range(0, channels, beside):
        part = own[:, :, start : start + beside]
        if channels > 1:
            yield f"input channels {start} to {start + part.shape[2] - 1}:", 0
        for row in part:  # (columns, C): channel after channel, a space between them
            between = " " if each == 1 else " |"
            yield between.join(show(channel) for channel in row.T), row.size


def _signs(characters, own):
    """Signs as two characters."""
    return "".join(characters[0 if value > 0 else 1] for value in own)


def _integers(codebook, own):
    """Integers of Codebook in columns of equal width."""
    width = max(len(str(n)) for n in codebook.integers[[0, -1]])
    return " ".join(f"{value:>{width}}" for value in own)


def _as_floats(own):
    """Floats in columns of equal width."""
    return " ".join(f"{value:>9.3g}" for value in own)
