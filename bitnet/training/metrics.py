"""Metrics of models: predictions, accuracy, losses, sign flips, activity and speed."""

import contextlib
import math
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from bitnet import kernels, nn
from bitnet.arrays import Array, array_module, as_numpy, plain
from bitnet.data import batches, sequences
from bitnet.data.targets import TARGETS, check_targets
from bitnet.deploy.freeze import freeze
from bitnet.devices import full_memory_named, to_cpu
from bitnet.errors import InputError, check_choice, unfit
from bitnet.kernels import Bits
from bitnet.nn.functional import cross_entropy
from bitnet.nn.module import Module, evaluating
from bitnet.training.targets import figure

BATCH, BATCH_OF_IMAGES = 1000, 100  # batch sizes of an evaluation, the latter for ConvNets
LEAST_IMAGES = 200  # from which on freezing a ConvNet for them pays
PART_OF_FROZEN = 1000  # images that a frozen net receives at a time
LARGEST_LOSS = 700.0  # nats per token; exp of more overflows
BINS = 40  # number of counts in a histogram
PART = 50  # images per batch in `activity`


def scores(model, images, to_input=None, batch=None):
    """Return the scores (count, C) of a model in evaluation mode, as a NumPy array.

    The model receives `batch` images at a time; default: 1000, or 100 with convolutions.
    """
    images = plain(images, "images")
    if (net := _frozen(model, images, to_input)) is not None:
        return np.concatenate([net.scores(to_input(x) if to_input else x) for x in _parts(images)])
    numbers = np.zeros(images.shape[:1], np.int64)  # batches() needs one label per image
    with evaluating(model):
        convolves = any(isinstance(layer, (nn.QuantConv2d, nn.Conv2d)) for layer in model.modules())
        size = BATCH_OF_IMAGES if convolves else BATCH
        passes = batches(images, numbers, batch or size)
        with full_memory_named():
            parts = [to_cpu(model(to_input(x) if to_input else x).data) for x, _ in passes]
    return np.concatenate(parts)


def _frozen(model, images, to_input):
    """Return the frozen net of a ConvNet, if it computes many images faster, or None.

    Its scores equal the model's, bit for bit.  Modules of users are called for each batch as they
    were written.
    """
    layers = [*model.modules()] if isinstance(model, Module) else []
    own = all(type(layer).__module__.startswith("bitnet.nn.") for layer in layers)
    convolves = any(isinstance(layer, nn.QuantConv2d) for layer in layers)
    if not own or not convolves or len(images) < LEAST_IMAGES or array_module(images) is not np:
        return None
    if any(array_module(parameter.data) is not np for parameter in model.parameters()):
        return None
    example = to_input(images[:1]) if to_input else images[:1]
    if not isinstance(example, (np.ndarray, Bits)):
        return None
    try:
        net = freeze(model, example)
    except InputError:  # such as NaN in the weights
        return None
    is_integer = len(net.integer_layers) == len(net.layers)
    return net if is_integer and net.execution == "one call" else None


def _parts(images):
    """Return the images in parts, so that the inputs of one part are in memory at a time."""
    return np.split(images, range(PART_OF_FROZEN, len(images), PART_OF_FROZEN))


def predict(model: Module, images: np.ndarray, to_input: Callable | None = None) -> np.ndarray:
    """Return the classes that a model in evaluation mode predicts for images.

    Parameters
    ----------
    model : Module
        Maps images to scores of shape (B, C); its mode is restored afterwards.
    images : numpy.ndarray
        One or more images, shape (count, ...).
    to_input : callable, optional
        Maps a batch of images to the input of the model.

    Returns
    -------
    numpy.ndarray
        Classes, int64 of shape (count,).

    Raises
    ------
    InputError
        If there are no images, or they do not fit the model.

    Examples
    --------
    >>> from bitnet.nn.models.feedforward import binary_mlp
    >>> model = binary_mlp([784, 10], rng=np.random.default_rng(0))
    >>> predict(model, np.zeros((3, 784), np.uint8)).shape
    (3,)
    """
    return scores(model, images, to_input).argmax(axis=1)


def accuracy(predictions: Array, labels: Array) -> float:
    """Return the fraction of correct predictions.

    Parameters
    ----------
    predictions, labels : array
        One or more classes, shape (count,).

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    InputError
        If the arrays are empty or have different shapes.

    Examples
    --------
    >>> accuracy(np.array([1, 2, 3, 3]), np.array([1, 2, 3, 4]))
    0.75
    """
    predictions, labels = as_numpy(predictions), as_numpy(labels)
    if predictions.shape != labels.shape or len(labels) == 0:
        raise unfit("accuracy", "equal shapes, not empty", predictions, labels)
    return float((predictions == labels).mean())


def evaluate(
    model: Module,
    images: np.ndarray,
    labels: np.ndarray,
    to_input: Callable | None = None,
    target: str = TARGETS[0],
) -> float:
    """Return the accuracy of a model in evaluation mode, or for other targets R^2 or F1.

    Parameters
    ----------
    model : Module
        Maps images to scores of shape (B, C).
    images : numpy.ndarray
        One or more images, shape (count, ...).
    labels : numpy.ndarray
        Integers of shape (count,); numbers, or 0 and 1, of shape (count, outputs).
    to_input : callable, optional
        Maps a batch of images to the input of the model.
    target : {"classification", "regression", "multilabel"}, optional
        What the labels are.

    Returns
    -------
    float
        The fraction of correct predictions, `r2_score` or `f1_score`: at most 1.

    Raises
    ------
    InputError
        If the arrays do not fit the model or each other.

    Examples
    --------
    >>> from bitnet.nn.models.feedforward import binary_mlp
    >>> model = binary_mlp([784, 1], rng=np.random.default_rng(0))
    >>> evaluate(model, np.zeros((3, 784), np.uint8), np.array([0, 0, 0]))
    1.0
    """
    found, labels = scores(model, images, to_input), plain(labels, "labels")
    check_choice("evaluate", TARGETS, target=target)
    check_targets("evaluate: the data", found, labels, target, found.shape[1])
    return figure(found, labels, target)


def perplexity(loss: float) -> float:
    """Return the perplexity `exp(loss)` of a model from its mean cross-entropy per token.

    This is `exp(-mean(log p(token | previous tokens)))`, the usual metric of word models.  A model
    that gives n tokens equal probabilities has perplexity n.

    Parameters
    ----------
    loss : float
        Mean cross-entropy in nats per token, see `functional.cross_entropy`.

    Returns
    -------
    float
        1 or more; `inf` above 700 nats.

    Examples
    --------
    >>> round(perplexity(math.log(97)), 6)
    97.0
    """
    return math.exp(loss) if loss <= LARGEST_LOSS else math.inf


def bits_per_character(loss: float) -> float:
    """Return the cross-entropy in bits, `loss / log(2)`, the usual metric of character models.

    Parameters
    ----------
    loss : float
        Mean cross-entropy in nats per character.

    Returns
    -------
    float
        Mean cross-entropy in bits per character.

    Examples
    --------
    >>> bits_per_character(math.log(2))
    1.0
    """
    return loss / math.log(2)


def measures(loss):
    """Return loss, perplexity and bits of a text from its loss: finite numbers, for JSON."""
    perplexed = perplexity(min(loss, LARGEST_LOSS))
    return {"loss": loss, "perplexity": perplexed, "bits": bits_per_character(loss)}


def evaluate_language(model: Callable, ids: np.ndarray, batch: int = 20, steps: int = 35) -> float:
    """Return the mean cross-entropy per token of a text; the first token is not predicted.

    Parameters
    ----------
    model : callable
        A language model, `model(ids, state) -> (scores, state)`, see `generate`; used in
        evaluation mode.
    ids : numpy.ndarray
        The tokens of the text, 2 or more integers of shape (count,).
    batch, steps : int, optional
        Number of streams into which the text is cut, default: 20, and steps per call, default:
        35.  Each stream starts without a state, so fewer streams are slower and slightly more
        accurate on a short text.

    Returns
    -------
    float
        Nats per token; see `perplexity` and `bits_per_character`.

    Raises
    ------
    InputError
        If the text is too short or does not fit the model.

    Examples
    --------
    >>> def even(ids, state):
    ...     return np.zeros((ids.size, 4), np.float32), state
    >>> round(perplexity(evaluate_language(even, np.arange(4))), 3)
    4.0
    """
    total, count, state = 0.0, 0, None
    with full_memory_named(), evaluating_if_module(model):
        for piece in sequences(ids, min(batch, max(1, len(ids) - 1)), steps):
            scores, state = model(piece.x, state if piece.continues else None)
            total += cross_entropy(scores, piece.y.reshape(-1)).item() * piece.y.size
            count += piece.y.size
    return total / count


def evaluating_if_module(model):
    """Return a context in which a Module is in evaluation mode; other models stay as they are."""
    return evaluating(model) if isinstance(model, nn.Module) else contextlib.nullcontext()


def weight_bits(model: Module) -> list[Bits]:
    """Return the packed signs of the latent weights of all quantized layers of a model.

    Parameters
    ----------
    model : Module
        Any model.

    Returns
    -------
    list of Bits
        One per quantized layer, in the order of the model, in CPU memory.

    Examples
    --------
    >>> from bitnet.nn.models.feedforward import binary_mlp
    >>> weight_bits(binary_mlp([784, 512, 10], rng=np.random.default_rng(0)))
    [Bits(shape=(512, 784), 53248 bytes), Bits(shape=(10, 512), 640 bytes)]
    """
    found: list[Bits] = []
    with full_memory_named():
        for layer in model.modules():
            if isinstance(layer, nn.QuantizedLayer):
                found += layer.weight_signs()
    return to_cpu(found)


def flip_ratio(before: list[Bits], after: list[Bits]) -> float:
    """Return the fraction of weight signs that differ between two moments of a training.

    Parameters
    ----------
    before, after : list of Bits
        Results of `weight_bits`.

    Returns
    -------
    float
        From 0 to 1; 0 for a model without quantized layers.

    Examples
    --------
    >>> signs = kernels.pack(np.array([1.0, -1.0, 1.0, 1.0]))
    >>> flip_ratio([signs], [kernels.pack(np.array([1.0, 1.0, 1.0, 1.0]))])
    0.25
    """
    flips = sum(kernels.count_flips(a, b) for a, b in zip(before, after, strict=True))
    return flips / max(1, sum(bits.size for bits in before))


def set_clip_value(model: Module, clip_value: float) -> int:
    """Set the clip value of all activations that have a finite one.

    Gradients then pass through them where `|x| <= clip_value`.

    Parameters
    ----------
    model : Module
        Any model.
    clip_value : float
        Half the width of the hard tanh, above 0; see `functional.sign`.

    Returns
    -------
    int
        Number of layers that were set.  Layers without a clip value, such as those with another
        surrogate, and layers that pass all gradients stay as they are.

    Raises
    ------
    InputError
        If the clip value is not above 0.

    Examples
    --------
    >>> from bitnet.nn.models.feedforward import binary_mlp
    >>> model = binary_mlp([4, 3, 3, 2], rng=np.random.default_rng(0))
    >>> set_clip_value(model, 2.0)
    2
    >>> model.layers[2].clip_value
    2.0
    """
    if not isinstance(clip_value, (int, float)) or not clip_value > 0:
        raise InputError(f"set_clip_value: clip_value is {clip_value!r}; expected a number above 0")
    layers = with_clip_value(model)
    for layer in layers:
        layer.clip_value = clip_value
    return len(layers)


def with_clip_value(model):
    """Return the activations of a model that have a finite clip value."""
    values = ((layer, getattr(layer, "clip_value", None)) for layer in model.modules())
    return [layer for layer, v in values if isinstance(v, (int, float)) and v < math.inf]


def activity(model, images, to_input=None):
    """Return the fractions of saturated activations and of dead units; None without activations.

    An activation is saturated where it passes no gradient: a sign where |a| > clip_value, a
    ReLU where a <= 0, a quantizer where the slope of its surrogate is 0.  A unit or channel
    is dead if its sign (or a > 0, or the half of its codes) is the same for all images and
    positions.
    """
    seen = {}  # by activation and width: saturated and all inputs, units seen on and off
    with full_memory_named(), _entering_activations(model, partial(_observe, seen)):
        for i in range(0, len(images), PART):
            x = images[i : i + PART]
            model(to_input(x) if to_input else x)
    if not seen:
        return None, None
    closed, total, on, off = zip(*seen.values(), strict=True)
    units = [both for plus, minus in zip(on, off, strict=True) for both in (plus & minus).tolist()]
    return float(sum(closed) / max(1, sum(total))), units.count(False) / max(1, len(units))


@contextlib.contextmanager
def _entering_activations(model, observe):
    """Return a context that calls `observe(layer, x)` before the forward of each activation."""
    modes = [(module, module.training) for module in model.modules()]
    kinds = nn.Sign, nn.ReLU, nn.Quantize
    layers = {id(layer): layer for layer in model.modules() if isinstance(layer, kinds)}.values()

    def observed(layer, forward, x):
        observe(layer, x.data)
        return forward(x)

    model.eval()  # not evaluating(): without recording, a norm and its sign may be fused
    for layer in layers:
        layer.forward = partial(observed, layer, layer.forward)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward
        for module, training in modes:
            module.training = training


def _observe(seen, layer, a):
    """Add the inputs of an activation (..., M) to the counts in `seen`."""
    on, shut = _activity(layer, a.reshape(-1, a.shape[-1]))
    key = id(layer), a.shape[-1]
    closed, total, was_on, was_off = seen.get(key, (0, 0, False, isinstance(layer, nn.ReLU)))
    counts = closed + int(shut.sum()), total + a.size
    seen[key] = (*counts, on.any(axis=0) | was_on, ~on.all(axis=0) | was_off)


def _activity(layer, a):
    """Return which inputs of an activation (R, M) are on, and which pass no gradient."""
    if isinstance(layer, nn.ReLU):
        return a > 0, a <= 0
    if isinstance(layer, nn.Sign):
        return a >= 0, abs(a) > (layer.clip_value or math.inf)
    quantizer = layer.quantizer
    return quantizer.codes(a) >= len(quantizer.codebook) // 2, quantizer.slope(a) == 0


def histograms(model):
    """Return 40 counts, from -clip to clip, of each array of latent weights, by name."""
    return {
        name: np.histogram(to_cpu(p.data), BINS, (-p.clip, p.clip))[0].tolist()
        for name, p in model.named_parameters()
        if p.clip is not None
    }


def images_per_second(predict_images: Callable, images: Array, repeats: int = 5) -> float:
    """Measure how many images per second a function predicts.

    Parameters
    ----------
    predict_images : callable
        Maps images to classes.
    images : array
        Each run predicts all of them.
    repeats : int, optional
        Number of timed runs, default: 5, after one run that is not timed.

    Returns
    -------
    float
        Images per second, by the median of the timed runs.

    Examples
    --------
    >>> images_per_second(lambda x: x.sum(axis=1), np.ones((100, 784))) > 0
    True
    """
    _wait_for(predict_images(images))
    times_s = []
    for _ in range(repeats):
        start = time.perf_counter()
        _wait_for(predict_images(images))
        times_s.append(time.perf_counter() - start)
    return per_second(len(images), statistics.median(times_s))


def per_second(count, seconds):
    """Return a rate; a clock that stands still counts as one nanosecond."""
    return count / max(seconds, 1e-9)


def _wait_for(y):
    """Wait until a result is computed: a GPU computes while the processor continues."""
    xp = array_module(y)
    if xp is not np:
        xp.cuda.get_current_stream().synchronize()
