"""What a training loop asks of a model: predictions, accuracy, losses, flips, activity, speed."""

import contextlib
import math
import statistics
import time
from functools import partial

import numpy as np

from bitnet import kernels, nn
from bitnet.arrays import array_module, as_numpy
from bitnet.data import batches, sequences
from bitnet.devices import full_memory_named, to_cpu
from bitnet.errors import InputError, unfit
from bitnet.nn.functional import cross_entropy
from bitnet.nn.module import evaluating

BATCH, BATCH_OF_IMAGES = 1000, 100  # what an evaluation takes at once
LARGEST_LOSS = 700.0  # nats per token, of which exp is still a float
BINS = 40  # of a histogram
PART = 50  # images that `activity` takes at once


def scores(model, images, to_input=None, batch=None):
    """The outputs (count, C) of a model in evaluation mode for images (count, ...), in NumPy.

    A model on the GPU is brought `batch` images at once: by default 1000, or 100 for convolutions.
    """
    numbers = np.zeros(len(images), np.int64)  # batches() wants a label an image
    with evaluating(model):
        convolves = any(isinstance(layer, (nn.QuantConv2d, nn.Conv2d)) for layer in model.modules())
        size = BATCH_OF_IMAGES if convolves else BATCH
        passes = batches(images, numbers, batch or size)
        with full_memory_named():
            parts = [to_cpu(model(to_input(x) if to_input else x).data) for x, _ in passes]
    return np.concatenate(parts)


def predict(model, images, to_input=None):
    """The classes that a model in evaluation mode gives to images.

    Parameters
    ----------
    model : Module
        From images to scores of shape (B, C); its mode is put back afterwards.
    images : numpy.ndarray
        Shape (count, ...), one or more.
    to_input : callable, optional
        As for `scores`.

    Returns
    -------
    numpy.ndarray
        int64 of shape (count,).

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


def accuracy(predictions, labels):
    """The share of predictions that are right.

    Parameters
    ----------
    predictions, labels : numpy.ndarray
        Classes of shape (count,), one or more.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    InputError
        If there are none, or not equally many.

    Examples
    --------
    >>> accuracy(np.array([1, 2, 3, 3]), np.array([1, 2, 3, 4]))
    0.75
    """
    predictions, labels = as_numpy(predictions), as_numpy(labels)
    if predictions.shape != labels.shape or len(labels) == 0:
        raise unfit("accuracy", "one shape, not empty", predictions, labels)
    return float((predictions == labels).mean())


def evaluate(model, images, labels, to_input=None):
    """The share of images that a model in evaluation mode puts into the right class.

    Parameters
    ----------
    model : Module
        From images to scores of shape (B, C).
    images : numpy.ndarray
        Shape (count, ...), one or more.
    labels : numpy.ndarray
        Integers of shape (count,).
    to_input : callable, optional
        As for `scores`.

    Returns
    -------
    float
        From 0 to 1.

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
    return accuracy(predict(model, images, to_input), labels)


def perplexity(loss):
    """The perplexity of a model whose mean cross-entropy a token is known: `exp(loss)`.

    `exp(-mean(log p(token | those before it)))`, the number of tokens among which a model that
    guesses evenly would be as uncertain; the measure of word models.

    Parameters
    ----------
    loss : float
        In nats a token, as `functional.cross_entropy` gives it.

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


def bits_per_character(loss):
    """The cross-entropy in bits: `loss / log(2)`, the measure of character models.

    Parameters
    ----------
    loss : float
        In nats a character.

    Returns
    -------
    float

    Examples
    --------
    >>> bits_per_character(math.log(2))
    1.0
    """
    return loss / math.log(2)


def measures(loss):
    """The measures of a text whose loss is known: finite, for JSON."""
    perplexed = perplexity(min(loss, LARGEST_LOSS))
    return {"loss": loss, "perplexity": perplexed, "bits": bits_per_character(loss)}


def evaluate_language(model, ids, batch=20, steps=35):
    """The mean cross-entropy a token of a text, each token but the first counted once.

    Parameters
    ----------
    model : callable
        See the top of this module; used in evaluation mode.
    ids : numpy.ndarray
        The text, integers (count,), 2 or more.
    batch, steps : int, optional
        Streams, each of which begins without a past, and steps at once: fewer streams take longer
        and tell a little more of a short text.

    Returns
    -------
    float
        In nats; see `perplexity` and `bits_per_character`.

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
    """Evaluation mode, for what has one."""
    return evaluating(model) if isinstance(model, nn.Module) else contextlib.nullcontext()


def weight_bits(model):
    """The signs of the weights of all layers of few bits of a model, packed.

    Parameters
    ----------
    model : Module
        Any model.

    Returns
    -------
    list of Bits
        One a layer, in the model's order, for layers of more bits those of the latent weights;
        of NumPy's arrays.

    Examples
    --------
    >>> from bitnet.nn.models.feedforward import binary_mlp
    >>> weight_bits(binary_mlp([784, 512, 10], rng=np.random.default_rng(0)))
    [Bits(shape=(512, 784), 53248 bytes), Bits(shape=(10, 512), 640 bytes)]
    """
    found = []
    with full_memory_named():
        for layer in model.modules():
            if isinstance(layer, nn.QuantizedLayer):
                found += layer.weight_signs()
    return to_cpu(found)


def flip_ratio(before, after):
    """The share of weight signs that differ between two moments of a training.

    Parameters
    ----------
    before, after : list of Bits
        What `weight_bits` returned.

    Returns
    -------
    float
        From 0 to 1; 0 for a model without layers of few bits.

    Examples
    --------
    >>> signs = kernels.pack(np.array([1.0, -1.0, 1.0, 1.0]))
    >>> flip_ratio([signs], [kernels.pack(np.array([1.0, 1.0, 1.0, 1.0]))])
    0.25
    """
    flips = sum(kernels.count_flips(a, b) for a, b in zip(before, after, strict=True))
    return flips / max(1, sum(bits.size for bits in before))


def set_clip_value(model, clip_value):
    """Let gradients pass where `|x| <= clip_value` through all signs that have a clip_value.

    Parameters
    ----------
    model : Module
        Any model.
    clip_value : float
        Half the width of the hard tanh, above 0; see `functional.sign`.

    Returns
    -------
    int
        How many layers have it now; those without a clip_value, as of another surrogate, and those
        that let all pass keep what they have.

    Raises
    ------
    InputError
        If no gradient would pass.

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
    """The activations of a model whose clip_value can be widened: not those that let all pass."""
    windows = ((layer, getattr(layer, "clip_value", None)) for layer in model.modules())
    numbers = (int, float)  # and not a Window, as of a pooling
    return [layer for layer, own in windows if isinstance(own, numbers) and own < math.inf]


def activity(model, images, to_input=None):
    """The shares of saturated activations and of dead units, or (None, None) without activations.

    Saturated are the inputs a of signs with |a| > clip_value, where the straight-through estimator
    passes no gradient; of rectifiers with a <= 0; of quantizers where the slope of their surrogate
    is 0.  A unit or channel is dead if its sign (or a > 0, or the half of its codes) is the same
    for all of the images and at all positions.
    """
    seen = {}  # by activation and width: saturated inputs, all inputs; has a unit been on, and off
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
    """Inside, in evaluation mode, call `observe(layer, x)` before each activation's forward."""
    modes = [(module, module.training) for module in model.modules()]
    kinds = nn.Sign, nn.ReLU, nn.Quantize
    layers = {id(layer): layer for layer in model.modules() if isinstance(layer, kinds)}.values()

    def observed(layer, forward, x):
        observe(layer, x.data)
        return forward(x)

    model.eval()  # with recording: without it, a norm and the sign after it may be one operation
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
    """Add the inputs of an activation (..., M) to what has been seen."""
    on, shut = _activity(layer, a.reshape(-1, a.shape[-1]))
    key = id(layer), a.shape[-1]
    closed, total, was_on, was_off = seen.get(key, (0, 0, False, isinstance(layer, nn.ReLU)))
    counts = closed + int(shut.sum()), total + a.size
    seen[key] = (*counts, on.any(axis=0) | was_on, ~on.all(axis=0) | was_off)


def _activity(layer, a):
    """Which of the inputs of an activation (R, M) are on, and which pass no gradient."""
    if isinstance(layer, nn.ReLU):
        return a > 0, a <= 0
    if isinstance(layer, nn.Sign):
        return a >= 0, abs(a) > (layer.clip_value or math.inf)
    quantizer = layer.quantizer
    return quantizer.codes(a) >= len(quantizer.codebook) // 2, quantizer.slope(a) == 0


def histograms(model):
    """40 counts, from -clip to clip, of the latent weights of each low-bit layer, by name."""
    return {
        name: np.histogram(to_cpu(p.data), BINS, (-p.clip, p.clip))[0].tolist()
        for name, p in model.named_parameters()
        if p.clip is not None
    }


def images_per_second(predict_images, images, repeats=5):
    """How many images a function predicts in a second: the median of some runs, after one.

    Parameters
    ----------
    predict_images : callable
        From images to classes.
    images : numpy.ndarray
        One run predicts all of them.
    repeats : int, optional
        Runs that count, 5.

    Returns
    -------
    float
        Images a second.

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
    return len(images) / statistics.median(times_s)


def _wait_for(y):
    """Wait until a result is there: a GPU has only begun with it when the processor goes on."""
    xp = array_module(y)
    if xp is not np:
        xp.cuda.get_current_stream().synchronize()
