"""From a trained model to integers: the only file that knows both the trainer and frozen nets.

Between two layers of a few bits, batch norm and a quantizer make a step function of the integer
pre-activation z.  Its steps, one for the sign and 2^k - 1 for k bits, are found by bisecting the
very float expression that the model evaluates, over all z that can occur; so gamma < 0, gamma =
0, ties and rounding need no case of their own.
"""

import dataclasses
import math
from functools import partial

import numpy as np

from bitnet import kernels, nn
from bitnet.arrays import to_cpu
from bitnet.data.vocabulary import Vocabulary
from bitnet.deploy.layers import FrozenConv, FrozenLayer, FrozenOutput
from bitnet.deploy.plan import follow
from bitnet.deploy.recurrent import FrozenLanguageModel, FrozenMatrix, FrozenRecurrent
from bitnet.deploy.runtime import INPUTS, FrozenNet
from bitnet.errors import InputError, check_choice
from bitnet.kernels import Bits, Codebook, Window
from bitnet.nn.models.language import KINDS, LanguageModel
from bitnet.nn.module import evaluating, on_cpu
from bitnet.quantizers.scales import scale_of

ONE_BIT = Codebook.uniform(1)
CONVOLUTIONS, LINEARS = (nn.QuantConv2d, nn.BinaryConv2d), (nn.QuantLinear, nn.BinaryLinear)
POOLINGS = nn.MaxPool2d, nn.AvgPool2d
OF_IMAGES = (*CONVOLUTIONS, nn.MaxPool2d, nn.Branches)
NORMS, ACTIVATIONS = (nn.BatchNorm, nn.ShiftBatchNorm), (nn.Quantize, nn.Sign)
CELLS = {kind: name for name, kind in KINDS.items()}


def freeze(model, input="pixels", image=None, vocabulary=None):
    """A net of bits and integer thresholds that equals a trained one in evaluation mode.

    The integers of every product are equal, and as the numbers that are made of them come from
    the same kernels, so are the scores, to the last bit.

    Parameters
    ----------
    model : Sequential or LanguageModel
        A Sequential of QuantLinear (or BinaryLinear), BatchNorm, Quantize (or Sign), and so on,
        ending with QuantLinear and BatchNorm; before them, for images, QuantConv2d, BatchNorm,
        Quantize, with MaxPool2d or AvgPool2d after the convolution or without, MaxPool2d alone,
        Branches of these, and Flatten.  QuantConv2d of 1x1 taps, an AvgPool2d of all pixels,
        Flatten and BatchNorm may be the end too.  Dropout may stand anywhere, and heads are left
        out.  Or a LanguageModel with k-bit weights and one quantizer for the activations of all
        layers and of the decoder.  The model does not change.
    input : {"pixels", "signs"}, optional
        What the first layer of a Sequential takes: uint8 pixels (default), or ±1.  For "signs"
        the model may begin with Sign, so that it can be trained on floats.
    image : (int, int), optional
        Rows and columns of the images, for a Sequential that begins with a convolution.
    vocabulary : Vocabulary or sequence of str, optional
        The words or characters of a LanguageModel, for the file; a Vocabulary also says which of
        the two they are, so that `bitnet predict` and `bitnet evaluate` can use the file.

    Returns
    -------
    FrozenNet or FrozenLanguageModel
        With the same integer pre-activations and scores for every input.

    Raises
    ------
    InputError
        If the model has another structure, float weights, or holds NaN or infinity.

    Examples
    --------
    >>> import bitnet
    >>> rng = np.random.default_rng(0)
    >>> freeze(bitnet.nn.models.binary_mlp([784, 64, 10], rng=rng)).layers[0].bits
    Bits(shape=(64, 784), 6656 bytes)
    >>> few = {"width": 8, "units": 16, "weight_quantizer": 2, "activation_quantizer": 4}
    >>> freeze(bitnet.nn.models.language_model(50, rng=rng, kind="gru", **few))
    FrozenLanguageModel(50-8-16 gru-50)
    """
    check_choice("freeze", INPUTS, input=input)
    if isinstance(model, LanguageModel):
        if (input, image) != ("pixels", None):
            raise InputError("freeze: got input or image; a language model takes neither")
        return _language_model(model, vocabulary)
    if vocabulary is not None:
        raise InputError("freeze: got a vocabulary; only a language model has one")
    groups, plan = _groups(model, input)
    layers = [None] * len(groups)

    def layer(i, reach):  # the largest integer that comes in, and then the largest that comes out
        linear, pool, norm, activation = groups[i]
        bits, weights = linear.packed, linear.weight_quantizer.codebook
        own = {} if weights.is_sign else {"weight_codebook": weights}
        window = None if pool is None else pool.window
        if activation is None:
            affine = map(np.array, norm.affine())  # copies: training on changes the model's
            layers[i] = FrozenOutput(bits, *affine, **own, pool=window)
            return None
        averages = isinstance(pool, nn.AvgPool2d)
        largest = math.prod(bits.shape[1:]) * reach * weights.largest
        largest *= window.taps if averages else 1
        codebook = ONE_BIT if isinstance(activation, nn.Sign) else activation.quantizer.codebook
        codes = partial(_codes, norm, activation)
        steps, increasing = find_thresholds(
            codes, linear.weight.shape[0], largest, len(codebook) - 1
        )
        if not codebook.is_sign:  # one bit of other numbers than ±1 has a row of one step
            own["codebook"], steps = codebook, steps.reshape(linear.weight.shape[0], -1)
        if isinstance(linear, nn.QuantConv2d):
            own |= {"window": linear.window, "pool": window, "groups": linear.groups}
            own |= {"pooling": "average"} if averages else {}
        layers[i] = (FrozenConv if "window" in own else FrozenLayer)(bits, steps, increasing, **own)
        return codebook.largest

    with on_cpu(model), evaluating(model):
        follow(plan, 255 if input == "pixels" else 1, layer, lambda reach, _: reach, max)
    return FrozenNet(layers, input, image, plan=plan)


def _codes(norm, activation, z):
    """From integer pre-activations (R, M) to the model's own codes, uint8 (R, M)."""
    y = norm(z)
    if isinstance(activation, nn.Sign):
        return activation(y).data.signs() > 0
    return activation.quantizer.codes(y.data)


def _groups(model, input):
    """The layers as (linear or convolution, pooling, norm, activation), and the plan of them."""
    if not isinstance(model, nn.Sequential):
        came = type(model).__name__
        raise InputError(f"freeze: got {came}; expected a Sequential or a LanguageModel")
    groups, left = [], _Left(model.layers)
    if input == "signs" and left.layers and _is_sign(left.layers[0][1]):
        left.layers.pop(0)  # a frozen net takes the signs themselves
    plan = _images(left, groups)
    if plan and (not groups or groups[-1][-1] is not None):
        left.take((nn.Flatten,))
    while not groups or groups[-1][-1] is not None:
        linear, norm = left.take(LINEARS), left.take(NORMS)
        plan.append(len(groups))
        groups.append((linear, None, norm, left.take(ACTIVATIONS) if left.layers else None))
    if left.layers:
        left.take(())
    _check_numbers(model, groups)
    return groups, plan


class _Left:
    """The layers that are left to read, with their numbers, and without dropout."""

    def __init__(self, layers):
        self.layers = list(enumerate(own for own in layers if not isinstance(own, nn.Dropout)))

    def comes(self, kinds):
        """Whether the next layer is of these kinds; a subclass may compute something else."""
        return bool(self.layers) and type(self.layers[0][1]) in kinds

    def take(self, kinds):
        """The next layer, which has to be of these kinds."""
        if not self.layers:
            raise InputError("freeze: the model must end with QuantLinear and BatchNorm")
        if not self.comes(kinds):
            i, layer = self.layers[0]
            expected = " or ".join(kind.__name__ for kind in kinds) or "no more layers"
            came = f"layer {i} (dropout left out) is {layer!r}"
            raise InputError(f"freeze: {came}; expected {expected}")
        return self.layers.pop(0)[1]


def _images(left, groups, alone=False):
    """The plan of the layers of images that come next, `alone` in a branch; adds to `groups`."""
    plan = []
    while left.comes(OF_IMAGES):
        if left.comes((nn.MaxPool2d,)):
            plan.append(left.take((nn.MaxPool2d,)).window)
        elif left.comes((nn.Branches,)):
            branches = left.take((nn.Branches,)).branches
            plan.append([_images(_Left(own.layers), groups, alone=True) for own in branches])
        else:
            linear = left.take(CONVOLUTIONS)
            pool = left.take(POOLINGS) if left.comes(POOLINGS) else None
            ends = type(pool) is nn.AvgPool2d and left.comes((nn.Flatten,))
            if ends:
                left.take((nn.Flatten,))
                if linear.window != Window((1, 1)) or linear.groups > 1:
                    raise InputError(f"freeze: {linear!r} is the last layer; expected 1x1 taps")
            plan.append(len(groups))
            norm = left.take(NORMS)
            groups.append((linear, pool, norm, None if ends else left.take(ACTIVATIONS)))
            if ends:
                break
    if alone and left.layers:
        left.take(OF_IMAGES)
    return plan


def _is_sign(layer):
    """Whether an activation gives signs."""
    return type(layer) is nn.Sign or (
        type(layer) is nn.Quantize and layer.quantizer.codebook.is_sign
    )


def _check_numbers(model, groups):
    """Refuse what no integers can stand for, and signs that are not those of the weights."""
    for name, array in model.state_dict().items():
        if not np.isfinite(array).all():
            raise InputError(f"freeze: {name} holds NaN or infinity; the training diverged")
    for linear, _, norm, _ in groups:
        if linear.weight.signs != kernels.pack(linear.weight.data):
            what = "changed behind the back of the signs that an optimizer left"
            how = "call weight.edit() before a change"
            raise InputError(f"freeze: the weights of {linear!r} were {what}; {how}")
        if not np.isfinite(to_cpu(norm.affine()[1])).all():
            raise InputError(f"freeze: the scale of {norm!r} passes the range of float32")


def find_thresholds(codes, n_units, largest, steps=1):
    """The steps of each unit of a monotone function from integers to codes, by bisection.

    `codes` maps integers z, int32 (steps, M), to codes (steps, M) from 0 (or False) to `steps`:
    what unit i gives at z[:, i], monotone in z, increasing or falling.  The integers run from
    `-largest` to `largest`.  Returns thresholds, int32 (M,), or (M, steps) for more steps than
    one, and increasing, booleans (M,): threshold j is passed, and the code above j, where
    `z >= threshold` if True, where `z <= threshold` if False.  A unit that is constant rises; a
    step that lies outside the range has a threshold at or beyond its end.
    """
    if largest >= np.iinfo(np.int32).max:
        came = f"pre-activations of up to {largest} pass the range of int32"
        raise InputError(f"{came}; expected a layer of fewer inputs, or of fewer bits")
    least = np.arange(1, steps + 1)[:, None]  # (steps, 1)

    def passed(z):
        return codes(z.astype(np.int32)) >= least

    low = np.full((steps, n_units), -largest, np.int64)
    high = -low
    at_low, at_high = passed(low), passed(high)
    constant = at_low == at_high
    while (high - low > 1).any():  # at_low holds at low, and no longer at high
        middle = (low + high) // 2
        same = passed(middle) == at_low
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    increasing = ~(at_low & ~at_high).any(axis=0)
    thresholds = np.where(increasing, high, low)
    always, never = constant & at_low, constant & ~at_low
    thresholds = np.where(always, np.where(increasing, -largest, largest), thresholds)
    thresholds = np.where(never, np.where(increasing, largest + 1, -largest - 1), thresholds)
    thresholds = thresholds.astype(np.int32)
    return thresholds[0] if steps == 1 else np.ascontiguousarray(thresholds.T), increasing


def _language_model(model, vocabulary):
    """A frozen language model."""
    recurrent, decoder = model.recurrent, model.decoder
    few = isinstance(decoder, nn.ScaledLinear) and recurrent.weight_quantizer is not None
    if not few or type(recurrent) not in CELLS:
        example = "language_model(..., weight_quantizer=4, activation_quantizer=4)"
        expected = f"a LanguageModel with k-bit weights, as {example}"
        raise InputError(f"freeze: got {model!r:.80}; expected {expected}")
    states, last = recurrent.activation_quantizer, decoder.activation_quantizer
    if states != last or model.embedding.activation_quantizer is None:
        came = f"activation quantizers {states!r} and {last!r}"
        raise InputError(f"freeze: {came}; expected one quantizer for all layers and the decoder")
    cell = CELLS[type(recurrent)]
    cell += f"-{recurrent.activation}" if cell == "rnn" else ""
    weights, activations = recurrent.weight_quantizer, states.name
    parts = zip(recurrent.input_weights, recurrent.state_weights, recurrent.biases, strict=True)
    layers = []
    for *of_layer, bias in parts:
        own = (_matrix(weight, weights) for weight in of_layer)
        layers.append(FrozenRecurrent(cell, *own, np.array(to_cpu(bias.data)), activations))
    table = _matrix(model.embedding.weight, model.embedding.activation_quantizer)
    last = _matrix(decoder.weight, decoder.weight_quantizer), np.array(to_cpu(decoder.bias.data))
    named = isinstance(vocabulary, Vocabulary)
    tokens = (vocabulary.words, vocabulary.unit) if named else (vocabulary, None)
    return FrozenLanguageModel(table, layers, *last, *tokens)


def _matrix(weight, quantizer):
    """The codes of latent weights, as the layers make them."""
    data = to_cpu(weight.data)
    scale = scale_of(data, quantizer)
    codes = quantizer.codes(data / np.float32(scale))
    return FrozenMatrix.of_codes(codes, quantizer.name, scale)


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How far a frozen net agrees with the trained one; it promises that nothing differs."""

    images: int  # inputs that were compared
    integers: int  # pre-activations of them
    differing_integers: int
    differing_scores: int
    differing_classes: int

    @property
    def is_complete(self):
        """Whether nothing differs."""
        return self.differing_integers == self.differing_scores == self.differing_classes == 0


def compare(model, net, x):
    """Compare every pre-activation, score and class of a frozen net with its trained model.

    Parameters
    ----------
    model : Sequential
        The trained model; used in evaluation mode.
    net : FrozenNet
        What `freeze` made of it.
    x : numpy.ndarray or Bits
        Inputs, as for `net.scores`, one or more.

    Returns
    -------
    Agreement
        The counts.

    Raises
    ------
    InputError
        If the inputs do not fit, or the net is of another model.

    Examples
    --------
    >>> from bitnet.nn.models.feedforward import binary_mlp
    >>> model = binary_mlp([784, 64, 10], rng=np.random.default_rng(0))
    >>> x = np.arange(3 * 784).astype(np.uint8).reshape(3, 784)
    >>> agreement = compare(model, freeze(model), x)
    >>> agreement.integers, agreement.is_complete
    (222, True)
    """
    if not isinstance(model, nn.Sequential) or not isinstance(net, FrozenNet):
        came = f"{type(model).__name__} and {type(net).__name__}"
        expected = "the trained Sequential, then the FrozenNet"
        raise InputError(f"compare: got {came}; expected {expected}")
    trunk = nn.Sequential(*model.layers).modules()
    layers = [layer for layer in trunk if isinstance(layer, nn.IntegerLayer)]
    if [layer.bits.shape for layer in net.layers] != [layer.weight.shape for layer in layers]:
        raise InputError(f"compare: {net} is of another model than {model!r}")
    x = net.check_input(to_cpu(x))
    if len(x) == 0:
        raise InputError("compare: no inputs; expected 1 or more")
    counts = np.zeros(4, np.int64)
    with evaluating(model):
        for rows in (x[i : i + net.batch] for i in range(0, len(x), net.batch)):
            trained, scores = _trained_integers(model, rows)
            frozen, frozen_scores = net.pre_activations(rows), net.scores(rows)
            differ = [a != b for a, b in zip(trained, frozen, strict=True)]
            classes = scores.argmax(axis=1) != frozen_scores.argmax(axis=1)
            integers = sum(own.size for own in differ), sum(own.sum() for own in differ)
            counts += [*integers, (scores != frozen_scores).sum(), classes.sum()]
    return Agreement(len(x), *counts.tolist())


def _trained_integers(model, x):
    """The pre-activations of each layer of weights in evaluation mode, and the scores."""
    integers = []
    first = next(layer for layer in model.layers if not isinstance(layer, nn.Dropout))
    if isinstance(x, Bits) and _is_sign(first):
        x = kernels.unpack(x)

    def through(layers, x):
        for layer in layers:
            if isinstance(layer, nn.Branches):
                x = nn.functional.concatenate(*(through(own.layers, x) for own in layer.branches))
                continue
            x = layer(x)
            if isinstance(layer, nn.IntegerLayer):
                integers.append(x.data)
        return x

    scores = through(model.layers, x).data
    return to_cpu((integers, scores))
