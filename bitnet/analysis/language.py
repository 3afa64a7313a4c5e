"""A table of a language model's matrices: weights by their bits, products a token, and bytes."""

import dataclasses

from bitnet.analysis.table import aligned, count
from bitnet.deploy.recurrent import FrozenLanguageModel
from bitnet.nn import ScaledLinear
from bitnet.nn.models.language import LanguageModel

__all__ = ["LanguageSummary", "matrices_of", "summarize_language"]

TITLES = ("matrix", "shape", "weights", "bits", "bytes", "products")


@dataclasses.dataclass(frozen=True)
class LanguageSummary:
    """The matrices of a language model; `str` aligns them.

    Attributes
    ----------
    name : str
        The model.
    rows : tuple of (str, tuple of int, float, int)
        Of each matrix its name, its shape, the bits of a weight (32 of a float), and the
        multiplications that a token needs: none of the table, a row of which is read.

    Examples
    --------
    >>> LanguageSummary("net", (("scores", (4, 10), 2, 40),)).as_dict()["bytes"]
    10
    """

    name: str
    rows: tuple

    def as_dict(self):
        """The table as a dict for JSON."""
        matrices = [
            {
                "matrix": name,
                "shape": list(shape),
                "weights": shape[0] * shape[1],
                "bits": bits,
                "bytes": -(-shape[0] * shape[1] * bits // 8),
                "products": products,
            }
            for name, shape, bits, products in self.rows
        ]
        totals = {
            key: sum(row[key] for row in matrices) for key in ("weights", "bytes", "products")
        }
        return {"model": self.name, "matrices": matrices, **totals}

    def __str__(self):
        table = self.as_dict()
        rows = [TITLES]
        for row in table["matrices"]:
            shape = "x".join(map(str, row["shape"]))
            numbers = (count(row[key]) for key in ("weights", "bits", "bytes", "products"))
            rows.append((row["matrix"], shape, *numbers))
        totals = count(table["weights"]), "", count(table["bytes"]), count(table["products"])
        rows.append(("in all", "", *totals))
        floats = 4 * table["weights"]
        return "\n".join(
            [
                self.name,
                *aligned(rows),
                "products: multiplications a token; in "
                f"float32 the weights are {floats:,} bytes, "
                f"{floats / table['bytes']:.1f} times as many",
            ]
        )


def summarize_language(model):
    """The matrices of a language model, trained or frozen.

    Parameters
    ----------
    model : LanguageModel or FrozenLanguageModel
        What to describe.

    Returns
    -------
    LanguageSummary

    Examples
    --------
    >>> import numpy as np
    >>> from bitnet.nn.models.language import language_model
    >>> few = {"weights": 2, "activations": 4}
    >>> model = language_model(9, np.random.default_rng(0), width=4, units=8, **few)
    >>> print(summarize_language(model))
    LanguageModel(9-4-8 lstm-9)
    matrix          shape  weights  bits  bytes  products
    table             9x4       36     4     18         -
    layer 0 inputs   32x4      128     2     32       128
    layer 0 states   32x8      256     2     64       256
    scores            9x8       72     2     18        72
    in all                     492          132       456
    products: multiplications a token; in float32 the weights are 1,968 bytes, 14.9 times as many
    """
    if isinstance(model, FrozenLanguageModel):
        name, matrices = repr(model), matrices_of(model).items()
        found = [(title, matrix.shape, matrix.bits.shape[0]) for title, matrix in matrices]
    else:
        name, found = _of_trained(model)
    rows = [
        (title, shape, bits, 0 if title == "table" else shape[0] * shape[1])
        for title, shape, bits in found
    ]
    return LanguageSummary(name, tuple(rows))


def matrices_of(model):
    """The matrices of a frozen language model, by the names of its summary.

    Parameters
    ----------
    model : FrozenLanguageModel
        The model.

    Returns
    -------
    dict of str to FrozenMatrix

    Examples
    --------
    >>> import bitnet
    >>> import numpy as np
    >>> few = {"width": 4, "units": 8, "weights": 2, "activations": 4}
    >>> model = bitnet.nn.models.language_model(9, np.random.default_rng(0), **few)
    >>> [*matrices_of(bitnet.freeze(model))]
    ['table', 'layer 0 inputs', 'layer 0 states', 'scores']
    """
    found = {"table": model.embedding}
    for i, layer in enumerate(model.layers):
        found |= {f"layer {i} inputs": layer.input_weight, f"layer {i} states": layer.state_weight}
    return found | {"scores": model.decoder}


def _of_trained(model: LanguageModel):
    """The name, and the matrices of a trained model."""
    recurrent, decoder, table = model.recurrent, model.decoder, model.embedding
    bits = recurrent.quantizer.bits if recurrent.quantizer else 32
    found = [("table", table.weight.shape, table.activations.bits if table.activations else 32)]
    pairs = zip(recurrent.input_weights, recurrent.state_weights, strict=True)
    for i, (of_input, of_state) in enumerate(pairs):
        found += [
            (f"layer {i} inputs", of_input.shape, bits),
            (f"layer {i} states", of_state.shape, bits),
        ]
    few = isinstance(decoder, ScaledLinear)
    found += [("scores", decoder.weight.shape, decoder.quantizer.bits if few else 32)]
    kind = type(recurrent).__name__.lower()
    layers = "-".join(recurrent.layers * [f"{recurrent.units} {kind}"])
    return f"LanguageModel({table.count}-{table.width}-{layers}-{table.count})", found
