"""Load any file of a net: frozen or trained, for images or for texts.

The reader of a kind of file is imported on first use, so a frozen net needs no trainer.
"""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from bitnet.archive import kind_of
from bitnet.deploy.file import KIND, LANGUAGE_MODEL
from bitnet.errors import InputError
from bitnet.files import MAX_BYTES, reading

if TYPE_CHECKING:
    from bitnet.deploy.language import FrozenLanguageModel
    from bitnet.deploy.runtime import FrozenNet
    from bitnet.training.trained import Trained

FROZEN = "bitnet.deploy.file:load"
READERS = {
    KIND: FROZEN,
    LANGUAGE_MODEL: FROZEN,
    "training checkpoint": "bitnet.training.trained:load_trained",
}


def load(
    path: str | Path | BinaryIO, max_bytes: int = MAX_BYTES
) -> "FrozenNet | FrozenLanguageModel | Trained":
    """Load a net from its file, frozen or trained.

    Parameters
    ----------
    path : str, path or binary stream
        A file written by `bitnet train`, `bitnet freeze` or the method `save` of a frozen net, or
        a stream at the beginning of one, such as an `io.BytesIO`.
    max_bytes : int, optional
        Size of the largest file to read; default: 4 GiB.

    Returns
    -------
    FrozenNet or FrozenLanguageModel or Trained
        A `Trained` for a checkpoint: it has `model`, in evaluation mode, `settings` and
        `freeze()`.

    Raises
    ------
    InputError
        If the file is damaged, cut off, too large, written by another program or version, or
        inconsistent.
    OSError
        If the file cannot be opened or read.

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
    with reading(path, max_bytes, "a file of bitnet"):
        pass  # too large, or no file
    try:
        module, name = READERS[kind_of(path)].split(":")
    except (InputError, KeyError):
        module, name = FROZEN.split(":")  # its error names what is wrong with any other file
    return getattr(importlib.import_module(module), name)(path, max_bytes)
