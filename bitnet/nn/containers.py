"""Containers of Modules: sequences, parallel branches, and auxiliary classifiers."""

import functools
import html
import itertools
from collections.abc import Callable
from typing import Any

from bitnet.autograd import Tensor
from bitnet.errors import InputError
from bitnet.nn import functional
from bitnet.nn.activations import Sign
from bitnet.nn.fused import BatchNormSign
from bitnet.nn.module import Module
from bitnet.nn.norm import BatchNorm


class Sequential(Module):
    """A sequence of Modules, each applied to the result of the previous one.

    Parameters
    ----------
    *layers : Module
        The layers, in order.

    Examples
    --------
    >>> import numpy as np
    >>> from bitnet.nn import BinaryLinear
    >>> net = Sequential(BinaryLinear(4, 2, rng=np.random.default_rng(0)), BatchNorm(2))
    >>> net
    Sequential(BinaryLinear(4, 2), BatchNorm(2))
    >>> len(net.parameters())
    3
    """

    def __init__(self, *layers: Module) -> None:
        for layer in layers:
            if not isinstance(layer, Module):
                raise InputError(f"Sequential: got {type(layer).__name__}; expected Modules")
        self.layers = list(layers)

    def forward(self, x: Tensor) -> Tensor:
        for step in fused(self.layers):
            x = step(x)
        return x

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, index: Any) -> Any:
        return self.layers[index]

    def __repr__(self):
        return f"Sequential({', '.join(map(repr, self.layers))})"

    def _repr_html_(self) -> str:
        """Return a table of the layers with the shapes of their parameters, for notebooks."""
        rows = ["<tr><th></th><th>layer</th><th>parameters</th></tr>"]
        for i, layer in enumerate(self.layers):
            shapes = ", ".join(f"{name} {p.shape}" for name, p in layer.named_parameters())
            cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in (repr(layer), shapes))
            rows.append(f"<tr><td>{i}</td>{cells}</tr>")
        return f"<table>{''.join(rows)}</table>"


def fused(layers):
    """Return the layers as steps; a batch norm and the sign after it become one `BatchNormSign`."""
    steps = []
    for layer in layers:
        # exactly these classes: a subclass may compute something else
        norm = steps and type(steps[-1]) is BatchNorm and type(layer) is Sign
        if norm and not (layer.stochastic and layer.training):
            steps[-1] = BatchNormSign(steps[-1], layer)
        else:
            steps.append(layer)
    return steps


class Branches(Module):
    """Parallel branches with the same input, whose outputs are concatenated along the channels.

    An example is an inception block (Szegedy et al., arXiv 1409.4842).  Branches that end with
    signs, or with codes of the same quantizer, stay packed.

    Parameters
    ----------
    *branches : Sequential
        One or more; a branch without layers returns its input.

    Examples
    --------
    >>> import numpy as np
    >>> from bitnet.nn import BatchNorm, BinaryConv2d, Sign
    >>> rng = np.random.default_rng(0)
    >>> conv = BinaryConv2d(3, 8, 3, padding="same", rng=rng)
    >>> block = Branches(Sequential(), Sequential(conv, BatchNorm(8), Sign()))
    >>> block(functional.sign(np.ones((2, 6, 5, 3), np.float32))).shape
    (2, 6, 5, 11)
    """

    def __init__(self, *branches: Sequential) -> None:
        kinds = [type(branch).__name__ for branch in branches if not isinstance(branch, Sequential)]
        if kinds or not branches:
            raise InputError(f"Branches: got {kinds or 'nothing'}; expected one Sequential or more")
        self.branches = list(branches)

    def forward(self, x: Tensor) -> Tensor:
        return functional.concatenate(*(branch(x) for branch in self.branches))

    def __repr__(self):
        return f"Branches({', '.join(map(repr, self.branches))})"


class WithHeads(Sequential):
    """A sequence of Modules, with auxiliary classifiers after some of them in training.

    In training it returns a tuple of its scores and those of the heads; `auxiliary` makes a loss
    for it.  Evaluation and freezing omit the heads.

    Parameters
    ----------
    *layers : Module
        The layers, in order.
    heads : dict of int to Sequential
        The classifiers, by the index of the layer whose output each one takes.

    Examples
    --------
    >>> import numpy as np
    >>> from bitnet.nn import BatchNorm, BinaryLinear, Sign
    >>> rng = np.random.default_rng(0)
    >>> hidden = BinaryLinear(4, 8, rng=rng), BatchNorm(8), Sign()
    >>> head = Sequential(BinaryLinear(8, 2, rng=rng), BatchNorm(2))
    >>> net = WithHeads(*hidden, BinaryLinear(8, 2, rng=rng), BatchNorm(2), heads={2: head})
    >>> x = np.arange(8, dtype=np.uint8).reshape(2, 4)
    >>> [scores.shape for scores in net(x)], net.eval()(x).shape
    ([(2, 2), (2, 2)], (2, 2))
    """

    def __init__(self, *layers: Module, heads: dict[int, Sequential]) -> None:
        super().__init__(*layers)
        wrong = [i for i in heads if i not in range(len(layers) - 1)]
        if wrong or not all(isinstance(head, Sequential) for head in heads.values()):
            raise InputError(
                f"WithHeads: heads after the layers {sorted(heads)} of {len(layers)}; expected "
                "Sequentials after layers before the last"
            )
        self.heads = dict(sorted(heads.items()))

    def forward(self, x: Tensor) -> Any:
        if not self.training:
            return super().forward(x)
        scores, ends = [], [0, *(i + 1 for i in self.heads), len(self.layers)]
        parts = [Sequential(*self.layers[i:j]) for i, j in itertools.pairwise(ends)]
        for part, head in zip(parts, self.heads.values(), strict=False):
            x = part(x)
            scores.append(head(x))
        return parts[-1](x), *scores


def auxiliary(
    loss: Callable[[Any, Any], Tensor], share: float = 0.3
) -> Callable[[Any, Any], Tensor]:
    """Return the loss of a net with heads: `loss(main) + share * sum of loss(head)`.

    Szegedy et al. (arXiv 1409.4842, section 5) use a share of 0.3; the second paper does not state
    the share of its two auxiliary classifiers.

    Parameters
    ----------
    loss : callable
        A function of scores and labels that returns a Tensor with one number.
    share : float, optional
        The factor of the losses of the heads; default: 0.3.

    Returns
    -------
    callable
        A function of scores and labels; the scores may be the tuple of a `WithHeads` in training.

    Examples
    --------
    >>> import numpy as np
    >>> scores, labels = np.zeros((1, 2), np.float32), np.array([0])
    >>> round(auxiliary(functional.cross_entropy)((scores, scores), labels).item(), 4)
    0.9011
    """

    def combined(scores, labels):
        if not isinstance(scores, tuple):
            return loss(scores, labels)
        main, *heads = (loss(each, labels) for each in scores)
        return functools.reduce(lambda total, each: total + each * share, heads, main)

    return combined
