"""What a training loop asks of a model: predictions, accuracy, flips, windows, speed."""

import math
import statistics
import time

import numpy as np

from bitnet import kernels
from bitnet.arrays import array_module, as_numpy
from bitnet.data.batching import batches
from bitnet.devices import full_memory_named, to_cpu
from bitnet.errors import InputError
from bitnet.nn import Conv2d, QuantConv2d, QuantizedLayer
from bitnet.nn.module import evaluating

__all__ = [
    "accuracy",
    "evaluate",
    "flip_ratio",
    "images_per_second",
    "predict",
    "scores",
    "set_window",
    "weight_bits",
]

BATCH, BATCH_OF_IMAGES = 1000, 100  # what an evaluation takes at once


def scores(model, images, to_input=None, batch=None):
    """The outputs of a model in evaluation mode for images, some at a time.

    Images and outputs are in the memory of the processor; a model on the GPU is brought each
    batch.

    Parameters
    ----------
    model : Module
        To scores of shape (B, C); its mode is put back afterwards.
    images : numpy.ndarray
        Shape (count, ...), one or more.
    to_input : callable, optional
        From some of the images to what the model takes.
    batch : int, optional
        How many at once; 1000, or 100 for convolutions.

    Returns
    -------
    numpy.ndarray
        Shape (count, C).

    Raises
    ------
    InputError
        If there are no images, or they do not fit the model.

    Examples
    --------
    >>> from bitnet.nn.models.feedforward import binary_mlp
    >>> model = binary_mlp([4, 10], np.random.default_rng(0))
    >>> scores(model, np.zeros((3, 2, 2), np.uint8), lambda x: x.reshape(-1, 4)).shape
    (3, 10)
    """
    numbers = np.zeros(len(images), np.int64)  # batches() wants a label an image
    with evaluating(model):
        convolves = any(isinstance(layer, (QuantConv2d, Conv2d)) for layer in model.modules())
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
    >>> model = binary_mlp([784, 10], np.random.default_rng(0))
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
        raise InputError(
            f"accuracy: predictions of shape {predictions.shape}, labels of {labels.shape}; "
            "expected the same shape, not empty"
        )
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
    >>> model = binary_mlp([784, 1], np.random.default_rng(0))
    >>> evaluate(model, np.zeros((3, 784), np.uint8), np.array([0, 0, 0]))
    1.0
    """
    return accuracy(predict(model, images, to_input), labels)


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
    >>> weight_bits(binary_mlp([784, 512, 10], np.random.default_rng(0)))
    [Bits(shape=(512, 784), 53248 bytes), Bits(shape=(10, 512), 640 bytes)]
    """
    found = []
    with full_memory_named():
        for layer in model.modules():
            if isinstance(layer, QuantizedLayer):
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


def set_window(model, window):
    """Let gradients pass where `|x| <= window` through all signs that have a window.

    Parameters
    ----------
    model : Module
        Any model.
    window : float
        Half the width of the hard tanh, above 0; see `functional.sign`.

    Returns
    -------
    int
        How many layers have it now; those without a window, as of another surrogate, and those
        that let all pass keep what they have.

    Raises
    ------
    InputError
        If no gradient would pass.

    Examples
    --------
    >>> from bitnet.nn.models.feedforward import binary_mlp
    >>> model = binary_mlp([4, 3, 3, 2], np.random.default_rng(0))
    >>> set_window(model, 2.0)
    2
    >>> model.layers[2].window
    2.0
    """
    if not isinstance(window, (int, float)) or not window > 0:
        raise InputError(f"set_window: window is {window!r}; expected a number above 0")
    layers = with_window(model)
    for layer in layers:
        layer.window = window
    return len(layers)


def with_window(model):
    """The activations of a model whose window can be widened: not those that let all pass."""
    windows = ((layer, getattr(layer, "window", None)) for layer in model.modules())
    numbers = (int, float)  # and not a Window, as of a pooling
    return [layer for layer, own in windows if isinstance(own, numbers) and own < math.inf]


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
