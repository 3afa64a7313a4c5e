"""The layers of a frozen graph: each product with its weights, pooling and thresholds.

A layer is a view of nodes, made for people and for counting; the graph is what is computed.
"""

from collections.abc import Iterator

from bitnet.arrays import Array
from bitnet.deploy.cells import Cell
from bitnet.deploy.floats import Affine, FloatConv, FloatLinear, MixedConv, MixedLinear
from bitnet.deploy.graph import FrozenGraph
from bitnet.deploy.node import Node
from bitnet.deploy.products import Conv, Linear, Rescale, Threshold
from bitnet.deploy.shapes import Flatten, Pool, Reshape
from bitnet.deploy.sizes import Value
from bitnet.kernels import BitPlanes, Bits, Codebook, Window

PRODUCTS = Linear, Conv, FloatLinear, FloatConv, MixedLinear, MixedConv, Cell
MOVES = Pool, Flatten, Reshape


class FrozenLayer:
    """A product of a frozen net, and what follows it: pooling, then thresholds or an affine map.

    Attributes
    ----------
    number : int
        The number of the product's node.
    nodes : tuple of Node
        The product and the nodes that follow it, as long as nothing else reads their values.
    """

    def __init__(self, graph: FrozenGraph, number: int) -> None:
        self.graph, self.number = graph, number
        numbers = [number, *self._following()]
        self.numbers = numbers
        self.nodes: tuple[Node, ...] = tuple(graph.nodes[i] for i in numbers)

    def _following(self) -> Iterator[int]:
        """Yield the numbers of the nodes that follow the product."""
        found, i = None, self.number
        while len(readers := self.graph.readers[i]) == 1 and readers[0] >= 0:
            i, node = readers[0], self.graph.nodes[readers[0]]
            ends = isinstance(node, (Threshold, Affine, Rescale))
            if isinstance(found, Threshold) and not isinstance(node, Pool):
                return  # pooling of bits belongs to the layer, nothing else after thresholds
            if not ends and not isinstance(node, MOVES):
                return
            if found is not None and ends:
                return
            found = node if ends else found
            yield i

    def _first(self, kind):
        """Return the first node of a class, or None."""
        return next((node for node in self.nodes if isinstance(node, kind)), None)

    @property
    def node(self) -> Node:
        """The product."""
        return self.nodes[0]

    @property
    def kind(self) -> str:
        """The kind of the product: "linear", "conv", "float linear", "float conv", "lstm", ..."""
        return self.node.kind

    @property
    def name(self) -> str:
        """The name of the layer in the model, such as "layers.0"."""
        return self.node.name

    @property
    def is_integer(self) -> bool:
        """Whether the product is one of bits, exact in integers."""
        return isinstance(self.node, (Linear, Conv))

    @property
    def _weights(self):
        return self.graph.nodes[self.node.inputs[1]]

    @property
    def bits(self) -> Bits | BitPlanes | Array:
        """The weights: Bits or BitPlanes, or an array of floats."""
        node = self._weights
        return getattr(node, "packed", getattr(node, "array", None))

    @property
    def weight_codebook(self) -> Codebook | None:
        """The values of the codes of k-bit weights; None for ±1 and floats."""
        return getattr(self._weights, "codebook", None)

    @property
    def window(self) -> Window | None:
        """The taps of a convolution."""
        return getattr(self.node, "window", None)

    @property
    def groups(self) -> int:
        """The number of groups of channels of a convolution."""
        return getattr(self.node, "groups", 1)

    @property
    def pool(self) -> Window | None:
        """The window of the pooling after the product."""
        pool = self._first(Pool)
        return None if pool is None else pool.window

    @property
    def pooling(self) -> str:
        """The kind of the pooling, "max" or "average"."""
        pool = self._first(Pool)
        return "average" if pool is not None and pool.kind != "maxpool" else "max"

    @property
    def steps(self) -> Threshold | None:
        """The node of the thresholds."""
        return self._first(Threshold)

    @property
    def thresholds(self) -> Array | None:
        """The thresholds, int32 (M,), or (M, L) for outputs of L + 1 codes."""
        return None if self.steps is None else self.steps.thresholds

    @property
    def increasing(self) -> Array | None:
        """Where a threshold is passed by z >= threshold, booleans (M,); elsewhere by z <= it."""
        return None if self.steps is None else self.steps.increasing

    @property
    def codebook(self) -> Codebook | None:
        """The values of the output codes of k bits; None for signs and numbers."""
        return None if self.steps is None else self.steps.codebook

    @property
    def affine(self) -> Affine | Rescale | None:
        """The affine map after the product, such as the last batch norm."""
        return self._first((Affine, Rescale))

    @property
    def enters(self) -> Value:
        """The shape, type and range of the input."""
        return self.graph.values[self.node.inputs[0]]

    @property
    def z(self) -> Value:
        """The shape, type and range of the product."""
        return self.graph.values[self.number]

    @property
    def outputs(self) -> Value:
        """The shape, type and range of the last of the nodes."""
        return self.graph.values[self.numbers[-1]]

    @property
    def units(self) -> int:
        """The number of outputs M, or of channels."""
        if isinstance(self.node, Cell):
            return self.bits.shape[-1]
        return self.bits.shape[0]

    def __repr__(self) -> str:
        m, *taps, n = self.bits.shape
        sizes = [str(n * self.groups), str(m)] + (["x".join(map(str, taps))] if taps else [])
        more = [f"groups={self.groups}"] if self.groups > 1 else []
        more += [f"pooled {self.pool.size[0]}x{self.pool.size[1]}"] if self.pool else []
        more += [f"{self.codebook.bits}-bit outputs"] if self.codebook else []
        kind = self.kind.title().replace(" ", "")
        kind = f"Frozen{kind}" if self.is_integer else kind
        return f"{kind}({', '.join(sizes + more)})"


def layers_of(graph: FrozenGraph) -> tuple[FrozenLayer, ...]:
    """Return the layers of a graph, in order."""
    products = (i for i, node in enumerate(graph.nodes) if isinstance(node, PRODUCTS))
    return tuple(FrozenLayer(graph, i) for i in products)
