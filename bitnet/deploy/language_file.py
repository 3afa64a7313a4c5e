"""The file of a frozen language model: its bits, biases, scales and vocabulary.

An archive of `bitnet.archive`.  Member `NAME.bits` holds the codes of a matrix (M, N) as k planes
of rows of bytes, (k, M, ceil(N / 8)): bit j of the code of each weight in plane j, element i of
a row in bit `i % 8` of byte `i // 8`, padding 0.  The names are `embedding`, `I.input` and
`I.state` of layer I, and `decoder`; `scales` (float64) has one number for each in this order.
What codes mean, the header says by the names of their quantizers; `I.bias` and `decoder.bias` are
float32.  The header may have the `vocabulary`, and its `unit`, "words" or "characters".
"""

import numpy as np

from bitnet.archive import read_archive, write_archive
from bitnet.arrays import to_cpu
from bitnet.deploy.matrix import FrozenMatrix
from bitnet.deploy.recurrent import CELLS, FrozenLanguageModel, FrozenRecurrent
from bitnet.errors import InputError
from bitnet.kernels import Bits

__all__ = ["LANGUAGE_MODEL", "load_language_model", "save_language_model"]

LANGUAGE_MODEL, VERSION = "frozen language model", 1
MAX_BYTES = 1 << 30
MAX_LAYERS = 64


def save_language_model(model, path):
    """Write a frozen language model, whole or not at all.

    Parameters
    ----------
    model : FrozenLanguageModel
        What to write.
    path : str or path
        The file, commonly `NAME.npz`.

    Raises
    ------
    OSError
        If it cannot be written; what was there stays.

    Examples
    --------
    See `load_language_model`.

    >>> LANGUAGE_MODEL
    'frozen language model'
    """
    matrices = _matrices(model)
    arrays = {f"{name}.bits": matrix.bits.to_bytes() for name, matrix in matrices.items()}
    arrays["scales"] = np.array([matrix.scale for matrix in matrices.values()], "<f8")
    arrays["decoder.bias"] = to_cpu(model.bias).astype("<f4", copy=False)
    for i, layer in enumerate(model.layers):
        arrays[f"{i}.bias"] = to_cpu(layer.bias).astype("<f4", copy=False)
    header = {
        "sizes": model.sizes,
        "cells": [layer.cell for layer in model.layers],
        "quantizers": [matrix.quantizer for matrix in matrices.values()],
        "activations": model.layers[0].quantizer,
        "vocabulary": model.vocabulary,
        "unit": model.unit,
    }
    write_archive(path, LANGUAGE_MODEL, VERSION, header, arrays)


def _matrices(model):
    """The matrices of a model by their names in the file."""
    found = {"embedding": model.embedding}
    for i, layer in enumerate(model.layers):
        found |= {f"{i}.input": layer.input_weight, f"{i}.state": layer.state_weight}
    return found | {"decoder": model.decoder}


def load_language_model(path, max_bytes=MAX_BYTES):
    """Read a frozen language model, or refuse the file.

    Parameters
    ----------
    path : str or path
        What `save_language_model` wrote.
    max_bytes : int, optional
        The largest file to read, 1 GiB.

    Returns
    -------
    FrozenLanguageModel
        Ready to predict.

    Raises
    ------
    InputError
        If a byte of the file was changed, it is cut off, of another kind or version, too large,
        or its parts do not fit together.
    OSError
        If it cannot be opened or read.

    Examples
    --------
    >>> import tempfile
    >>> from bitnet.deploy.freeze_language import freeze_language_model
    >>> from bitnet.nn.models.language import language_model
    >>> rng = np.random.default_rng(0)
    >>> model = language_model(2, rng, width=8, units=16, weights=4, activations=4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     freeze_language_model(model, ["a", "b"]).save(f"{folder}/model.npz")
    ...     load_language_model(f"{folder}/model.npz").vocabulary
    ('a', 'b')
    """
    header, arrays = read_archive(path, LANGUAGE_MODEL, VERSION, max_bytes)
    try:
        return _model(header, arrays)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _model(header, arrays):
    """The model that a header and its arrays describe."""
    sizes, cells = header.get("sizes"), header.get("cells")
    whole = isinstance(sizes, list) and all(type(n) is int and n > 0 for n in sizes)
    if not whole or not 3 <= len(sizes) <= MAX_LAYERS + 2:
        raise InputError(f"the header has sizes {sizes!r:.60}; expected V, N and units, 1 or more")
    count, width, *units = sizes
    if not _names(cells, len(units)) or not set(cells) <= set(CELLS):
        raise InputError(f"the header has cells {cells!r:.60}; expected {len(units)} of {[*CELLS]}")
    shapes, inputs = {"embedding": (count, width)}, width
    for i, (cell, n) in enumerate(zip(cells, units, strict=True)):
        shapes |= {f"{i}.input": (CELLS[cell] * n, inputs), f"{i}.state": (CELLS[cell] * n, n)}
        inputs = n
    shapes["decoder"] = count, inputs
    quantizers, activations = header.get("quantizers"), header.get("activations")
    if not _names(quantizers, len(shapes)) or not isinstance(activations, str):
        raise InputError(f"the header has quantizers {quantizers!r:.60}; expected {len(shapes)}")
    names = [f"{name}.bits" for name in shapes] + [f"{i}.bias" for i in range(len(units))]
    if set(arrays) != {*names, "decoder.bias", "scales"}:
        raise InputError(f"the file has the arrays {sorted(arrays)!r:.80}; expected {names!r:.80}")
    scales = arrays["scales"]
    if scales.dtype != np.float64 or scales.shape != (len(shapes),):
        raise InputError(f"scales are {scales.dtype} {scales.shape}; expected ({len(shapes)},)")
    matrices = {
        name: _matrix(name, arrays[f"{name}.bits"], shape, quantizer, float(scale))
        for (name, shape), quantizer, scale in zip(shapes.items(), quantizers, scales, strict=True)
    }
    layers = [
        FrozenRecurrent(
            cell, matrices[f"{i}.input"], matrices[f"{i}.state"], arrays[f"{i}.bias"], activations
        )
        for i, cell in enumerate(cells)
    ]
    vocabulary = header.get("vocabulary")
    if vocabulary is not None and not _names(vocabulary, count):
        raise InputError(f"the header has a vocabulary {vocabulary!r:.60}; expected {count} words")
    last = matrices["decoder"], arrays["decoder.bias"]
    return FrozenLanguageModel(matrices["embedding"], layers, *last, vocabulary, header.get("unit"))


def _names(given, count):
    """Whether something is a list of so many texts."""
    listed = isinstance(given, list) and len(given) == count
    return listed and all(isinstance(name, str) for name in given)


def _matrix(name, rows, shape, quantizer, scale):
    """A matrix from the bytes of its planes, once they are of this shape."""
    matrix = FrozenMatrix(Bits.from_bytes(rows, shape[1]), quantizer, scale)
    if matrix.shape != shape:
        raise InputError(f"{name} has bits of shape {matrix.shape}; expected {shape}")
    matrix.weight  # noqa: B018  # laid out, which refuses codes that mean nothing
    return matrix
