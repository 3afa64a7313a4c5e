"""Re-estimate batch-norm statistics as plain means over batches, with fixed weights.

The running statistics of a training average over batches that earlier weights have seen, and each
flipped sign changes a pre-activation by 2.  A few batches after the last step correct this.
"""

from collections.abc import Callable, Iterable

from bitnet.arrays import array_module
from bitnet.devices import full_memory_named
from bitnet.errors import InputError
from bitnet.nn import Module
from bitnet.nn.module import evaluating


def norms_of(model):
    """Return the layers of a model that have running statistics, in order."""
    names = "running_mean", "running_inv_std", "momentum", "batches"
    return [layer for layer in model.modules() if all(hasattr(layer, name) for name in names)]


def reestimate(model: Module, batches: Iterable, to_input: Callable | None = None) -> int:
    """Replace the running statistics of all batch norms with plain means over batches.

    Each norm normalizes with the statistics of the batch, as in training, and
    `running_mean = 1/n sum_i mean_i`, `running_inv_std = 1/n sum_i inv_std_i` over the n batches
    (the papers' code averages the inverse deviation, not the variance).  All other layers behave
    as in evaluation mode: no dropout, no random signs.  Weights, gamma, beta, counters and
    generators stay as they are.  Stochastic Weight Averaging (arXiv 1803.05407) does the same
    with its final weights.

    Parameters
    ----------
    model : Module
        The model to change in place; its mode is restored.
    batches : iterable
        Batches of training images, or pairs (images, labels) whose labels are ignored; each batch
        has two images or more.
    to_input : callable, optional
        Maps a batch of images to the input of the model.

    Returns
    -------
    int
        Number of batches.

    Raises
    ------
    InputError
        If there are no batches or no batch norms, or the statistics are not finite; the model is
        then unchanged.

    Examples
    --------
    >>> import numpy as np
    >>> from bitnet.nn import BatchNorm, Sequential
    >>> model = Sequential(BatchNorm(1))
    >>> reestimate(model, [np.float32([[1.0], [3.0]]), np.float32([[5.0], [7.0]])])
    2
    >>> model[0].running_mean
    array([4.], dtype=float32)
    """
    norms = norms_of(model) if isinstance(model, Module) else []
    if not norms:
        raise InputError(f"reestimate: model is {model!r:.60}; expected a Module with a BatchNorm")
    with full_memory_named():
        return _reestimated(model, norms, batches, to_input)


def _reestimated(model, norms, batches, to_input):
    """Re-estimate the statistics of `norms`; return the number of batches."""
    before = [(norm.momentum, *(array.copy() for array in _arrays(norm))) for norm in norms]
    sums = [[array_module(a).zeros(a.shape) for a in _statistics(norm)] for norm in norms]
    n = 0
    try:
        with evaluating(model):
            for batch in batches:
                images = batch[0] if isinstance(batch, tuple) else batch
                for norm in norms:
                    norm.training, norm.momentum = True, 1.0
                    for array in _statistics(norm):
                        array[...] = 0  # 0 + 1.0 * (batch - 0) is exact
                model(to_input(images) if to_input else images)
                for norm, own in zip(norms, sums, strict=True):
                    for total, array in zip(own, _statistics(norm), strict=True):
                        total += array
                n += 1
        means = [[(total / max(1, n)) for total in own] for own in sums]
        finite = (array_module(mean).isfinite(mean).all() for own in means for mean in own)
        if not n or not all(finite):
            raise InputError(
                f"reestimate: {n} batches give no finite statistics; expected one batch or more, "
                "and finite weights"
            )
    finally:
        for norm, (momentum, *arrays) in zip(norms, before, strict=True):
            norm.momentum = momentum
            for array, old in zip(_arrays(norm), arrays, strict=True):
                array[...] = old
    for norm, own in zip(norms, means, strict=True):
        for array, mean in zip(_statistics(norm), own, strict=True):
            array[...] = mean
    return n


def _statistics(norm):
    """Return the running statistics of a norm."""
    return norm.running_mean, norm.running_inv_std


def _arrays(norm):
    """Return all arrays that a norm changes in training."""
    return *_statistics(norm), norm.batches
