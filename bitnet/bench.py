"""A stopwatch: the same network in float, packed as in training, and frozen, on this machine.

The contestants take turns in one process, the figures are medians over the turns.  Before it is
timed, the frozen net is held against the reference kernels, integer for integer.
"""

import itertools
import statistics
import time

import numpy as np

from bitnet import kernels, models
from bitnet.data import scale_pixels
from bitnet.deploy.freeze import freeze
from bitnet.errors import InputError
from bitnet.train import predict

__all__ = ["compare_mlp", "float_layers", "float_predict", "interleaved", "report"]

LEAST_S = 0.02  # a turn of one contestant
TURNS = 7


def interleaved(contestants, turns=TURNS, least_s=LEAST_S):
    """Seconds a call of each function, measured in turns, one contestant after the other.

    Parameters
    ----------
    contestants : list of callable
        Called without arguments.
    turns : int, optional
        Turns that count, after one that does not.
    least_s : float, optional
        Seconds that a contestant is called for in its turn.

    Returns
    -------
    numpy.ndarray
        Shape (turns, contestants), seconds.

    Examples
    --------
    >>> interleaved([lambda: 1, lambda: 2], turns=3, least_s=1e-4).shape
    (3, 2)
    """
    seconds = np.empty((turns + 1, len(contestants)))
    for turn, i in itertools.product(range(turns + 1), range(len(contestants))):
        calls, start = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < least_s or not calls:
            contestants[i]()
            calls += 1
        seconds[turn, i] = elapsed / calls
    return seconds[1:]


def float_layers(sizes, rng):
    """Weights and biases of a float MLP with its batch norm folded in.

    Parameters
    ----------
    sizes : sequence of int
        The widths of the input, of the hidden layers and of the output.
    rng : numpy.random.Generator
        The source of the numbers.

    Returns
    -------
    list of (numpy.ndarray, numpy.ndarray)
        float32 of shapes (N, M) and (M,), for each layer.

    Examples
    --------
    >>> [w.shape for w, b in float_layers([784, 512, 10], np.random.default_rng(0))]
    [(784, 512), (512, 10)]
    """
    shapes = itertools.pairwise(sizes)
    return [
        (rng.standard_normal(s, np.float32), rng.standard_normal(s[1], np.float32)) for s in shapes
    ]


def float_predict(x, layers):
    """The classes that a float MLP gives: products, biases and rectifiers alone.

    Parameters
    ----------
    x : numpy.ndarray
        float32 of shape (B, N).
    layers : list of (numpy.ndarray, numpy.ndarray)
        As `float_layers` makes them.

    Returns
    -------
    numpy.ndarray
        int64 of shape (B,).

    Examples
    --------
    >>> layers = float_layers([3, 4, 2], np.random.default_rng(0))
    >>> float_predict(np.ones((5, 3), np.float32), layers).shape
    (5,)
    """
    for weight, bias in layers[:-1]:
        x = np.maximum(x @ weight + bias, 0)
    return (x @ layers[-1][0] + layers[-1][1]).argmax(axis=1)


def compare_mlp(width, batch, rng, turns=TURNS):
    """Seconds that an MLP of three hidden layers needs for a batch, in three forms.

    Parameters
    ----------
    width : int
        Units of a hidden layer.
    batch : int
        Images at once.
    rng : numpy.random.Generator
        The source of weights and images.
    turns : int, optional
        As for `interleaved`.

    Returns
    -------
    numpy.ndarray
        Shape (turns, 3): float32 in NumPy, the binary model in evaluation, the frozen net.

    Raises
    ------
    InputError
        If the frozen net differs from the reference kernels; it should not.

    Examples
    --------
    >>> compare_mlp(16, 1, np.random.default_rng(0), turns=1).shape
    (1, 3)
    """
    sizes = [784, width, width, width, 10]
    model, layers = models.binary_mlp(sizes, rng), float_layers(sizes, rng)
    net = freeze(model)
    pixels = rng.integers(0, 256, (batch, 784), dtype=np.uint8)
    with kernels.using("reference"):
        expected = net.scores(pixels[:3])
    if not np.array_equal(expected, net.scores(pixels[:3])):
        raise InputError("bench: the kernels do not give the reference's integers; report this")
    floats = scale_pixels(pixels)
    contestants = (
        lambda: float_predict(floats, layers),
        lambda: predict(model, pixels),
        lambda: net.predict(pixels),
    )
    return interleaved(contestants, turns)


def report(widths=(32, 512, 2048), batches=(1, 100), turns=TURNS):
    """The lines of `bitnet bench`: images a second, and where bits lose.

    Parameters
    ----------
    widths, batches : sequence of int
        What is compared.
    turns : int, optional
        As for `interleaved`.

    Yields
    ------
    str
        A line.

    Examples
    --------
    >>> print(next(report()))
    images a second of a 784-H-H-H-10 MLP, medians of turns; packed: the model as it trains
    """
    yield "images a second of a 784-H-H-H-10 MLP, medians of turns; packed: the model as it trains"
    yield f"{'H':>6} {'batch':>6} {'float32':>10} {'packed':>10} {'frozen':>10}  frozen : float32"
    losses, rng = [], np.random.default_rng(0)
    for width, batch in itertools.product(widths, batches):
        seconds = compare_mlp(width, batch, rng, turns)
        speeds = batch / np.median(seconds, axis=0)
        ratio = statistics.median(seconds[:, 0] / seconds[:, 2])
        yield f"{width:6} {batch:6} " + "".join(f"{s:10,.0f} " for s in speeds) + f" {ratio:.2f}"
        for name, column in (("packed", 1), ("frozen", 2)):
            if statistics.median(seconds[:, 0] / seconds[:, column]) < 1:
                losses.append(f"{name}, {width} units, batch {batch}")
    if losses:
        yield f"Slower than float32: {'; '.join(losses)}."
        if kernels.implementation() == "reference":
            yield "These are the kernels in NumPy; `bitnet status` says why there are no fast ones."
        else:
            yield "There the calls themselves cost more than the products that bits save."
