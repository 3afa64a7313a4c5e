"""Any file of a net, opened: frozen or trained, of images or of texts."""

import os

from bitnet.archive import kind_of
from bitnet.deploy import file as frozen_file
from bitnet.errors import InputError
from bitnet.training.checkpoint import KIND as CHECKPOINT

__all__ = ["load"]


def load(path, max_bytes=frozen_file.MAX_BYTES):
    """Read a net from its file, or refuse the file.

    Frozen nets need NumPy alone; `bitnet.deploy.load` reads them where there is no trainer.

    Parameters
    ----------
    path : str or path
        What `save` of a frozen net wrote, or `bitnet train` or `freeze`.
    max_bytes : int, optional
        The largest file to read, 1 GiB.

    Returns
    -------
    FrozenNet or FrozenLanguageModel or Trained or TrainedLanguage
        The first two of frozen nets; the others have `model`, in evaluation mode, and `settings`.

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
    >>> rng = np.random.default_rng(0)
    >>> model = bitnet.nn.models.language_model(3, rng, width=8, units=16, weights=2, activations=4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     bitnet.freeze(model).save(f"{folder}/words.npz")
    ...     bitnet.freeze(bitnet.nn.models.binary_mlp([9, 5, 3], rng)).save(f"{folder}/images.npz")
    ...     load(f"{folder}/words.npz"), load(f"{folder}/images.npz")
    (FrozenLanguageModel(3-8-16 lstm-3), FrozenNet(9-5-3, pixels))
    """
    if (n_bytes := os.stat(path).st_size) > max_bytes:
        raise InputError(f"{path}: {n_bytes} bytes; expected at most {max_bytes}")
    try:
        kind = kind_of(path)
    except InputError:
        kind = None  # the reader of frozen nets says what is wrong
    if kind == CHECKPOINT:
        from bitnet.training.language.experiment import (  # not for frozen nets
            load_language,
            says_language,
        )
        from bitnet.training.trained import load_trained

        return load_language(path) if says_language(path) else load_trained(path)
    return frozen_file.load(path, max_bytes)
