"""Any file of a net, opened: frozen or trained, for images or for texts.

What reads a kind is imported when a file of that kind comes: a frozen net needs no trainer.
"""

import importlib
import os

from bitnet.archive import kind_of
from bitnet.deploy.file import KIND, LANGUAGE_MODEL, MAX_BYTES
from bitnet.errors import InputError

FROZEN = "bitnet.deploy.file:load"
READERS = {
    KIND: FROZEN,
    LANGUAGE_MODEL: FROZEN,
    "training checkpoint": "bitnet.training.trained:load_trained",
}


def load(path, max_bytes=MAX_BYTES):
    """Read a net from its file, or refuse the file.

    Parameters
    ----------
    path : str or path
        What `save` of a frozen net wrote, or `bitnet train` or `freeze`.
    max_bytes : int, optional
        The largest file to read, 1 GiB.

    Returns
    -------
    FrozenNet or FrozenLanguageModel or Trained
        The last one of a checkpoint: it has `model`, in evaluation mode, and `settings`.

    Raises
    ------
    InputError
        If a byte of the file was changed, it is cut off, too large, of another program or
        version, or its parts do not fit together.
    OSError
        If it cannot be opened or read.

    Examples
    --------
    >>> import tempfile
    >>> import bitnet
    >>> import numpy as np
    >>> net = bitnet.freeze(bitnet.nn.models.binary_mlp([9, 5, 3], rng=np.random.default_rng(0)))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     net.save(f"{folder}/net.npz")
    ...     load(f"{folder}/net.npz")
    FrozenNet(9-5-3, pixels)
    """
    if (n_bytes := os.stat(path).st_size) > max_bytes:
        raise InputError(f"{path}: {n_bytes} bytes; expected at most {max_bytes}")
    try:
        module, name = READERS[kind_of(path)].split(":")
    except (InputError, KeyError):
        module, name = FROZEN.split(":")  # which says what is wrong with any other file
    return getattr(importlib.import_module(module), name)(path, max_bytes)
