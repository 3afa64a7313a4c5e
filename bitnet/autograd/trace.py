"""Tracing: the operations of any model, as a graph of nodes in the order of execution."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

from bitnet.arrays import nested
from bitnet.autograd.parameter import Parameter
from bitnet.autograd.tensor import Function, Tensor, as_tensor, evaluation, listed
from bitnet.errors import InputError


@dataclasses.dataclass(frozen=True)
class Node:
    """One operation of a graph.

    Attributes
    ----------
    function : type
        The class of the operation, a `Function`.
    inputs : tuple of int or str
        For each operand the number of the node that computes it, or the name of an input, a
        parameter or a constant of the graph.
    settings : dict
        The arguments of the operation by name, such as a window or fixed statistics.
    result : Tensor
        The result for the example.

    Examples
    --------
    >>> from bitnet import nn
    >>> node = trace(nn.ReLU(), [[1.0, -1.0]]).nodes[0]
    >>> node.operation, node.inputs, node.shape, node.kind
    ('ReLU', ('input',), (1, 2), 'float32')
    """

    function: type[Function]
    inputs: tuple[int | str, ...]
    settings: Mapping[str, Any]
    result: Tensor

    @property
    def operation(self) -> str:
        """The name of the operation."""
        return self.function.__name__

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the result for the example."""
        return self.result.shape

    @property
    def kind(self) -> str:
        """The type of the result: that of an array, "Bits" or "BitPlanes"."""
        return str(getattr(self.result.data, "dtype", type(self.result.data).__name__))


@dataclasses.dataclass(frozen=True, repr=False)
class Graph:
    """The operations between the inputs of a model and its outputs.

    Attributes
    ----------
    nodes : tuple of Node
        In the order of execution; only those that an output depends on.
    inputs : dict of str to Tensor
        The example by name: "input", or "input 0", "input 1", ... for several.
    outputs : tuple of int or str
        What the model returns, with nested tuples flattened.
    parameters : dict of str to Parameter
        The parameters that nodes use, by their names in `named_parameters`.
    constants : dict of str to Tensor
        The other operands by name: "constant 0", ...

    Examples
    --------
    >>> import numpy as np
    >>> from bitnet import nn
    >>> net = nn.Sequential(nn.BinaryLinear(4, 3, rng=np.random.default_rng(0)), nn.BatchNorm(3))
    >>> trace(net.eval(), np.zeros((2, 4), np.uint8))
    node  operation        inputs                            result
       0  Sign             layers.0.weight                   Bits (3, 4)
       1  QuantizedLinear  input, 0                          int32 (2, 3)
       2  Normalize        1, layers.1.gamma, layers.1.beta  float32 (2, 3)
    """

    nodes: tuple[Node, ...]
    inputs: dict[str, Tensor]
    outputs: tuple[int | str, ...]
    parameters: dict[str, Parameter]
    constants: dict[str, Tensor]

    def __repr__(self):
        rows = [("node", "operation", "inputs", "result")]
        for i, node in enumerate(self.nodes):
            operands = ", ".join(map(str, node.inputs))
            rows.append((str(i), node.operation, operands, f"{node.kind} {node.shape}"))
        wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
        form = f"{{:>{wide[0]}}}  {{:{wide[1]}}}  {{:{wide[2]}}}  {{}}"
        return "\n".join(form.format(*row) for row in rows)

    @functools.cached_property
    def named(self) -> dict[str, Tensor]:
        """The inputs, parameters and constants by name."""
        return {**self.parameters, **self.constants, **self.inputs}

    def run(self, *inputs: Any) -> tuple[Tensor, ...]:
        """Compute the outputs as in evaluation for inputs shaped like the example, node by node.

        The inputs may be nested in tuples and lists as in `trace`.
        """
        tensors: list[Tensor] = []
        nested(inputs, lambda x: tensors.append(as_tensor(x)))
        if len(tensors) != len(self.inputs):
            raise InputError(f"Graph.run: got {len(tensors)} inputs; expected {len(self.inputs)}")
        named = dict(zip(self.inputs, tensors, strict=True))
        values: dict[Any, Tensor] = {**self.named, **named}
        with evaluation():
            for i, node in enumerate(self.nodes):
                function = node.function.__new__(node.function)
                vars(function).update(node.settings)
                values[i] = function(*(values[name] for name in node.inputs))
        return tuple(values[name] for name in self.outputs)


def trace(model: Callable[..., Any], *examples: Any, expanded: bool = False) -> Graph:
    """Run a model once in evaluation mode, and return the graph of its operations.

    The operations are the `Function`s that the model applies, also to inputs that need no
    gradient, so that the graph does not depend on how the model is written.

    Parameters
    ----------
    model : Module or callable
        The model; its mode is restored.
    *examples : array, Tensor, None, or nested tuple or list of them
        One small input per argument of the model.  Arrays inside a tuple, such as the state
        `((h, c), (h, c))` of a recurrent model, or inside a list that has more than numbers, are
        inputs of their own, in order; the model gets the same tuples with Tensors.  None is passed
        on.
    expanded : bool, optional
        Whether a `Function` that has a method `frozen` is replaced by the operations of that
        method, as `freeze` needs.

    Returns
    -------
    Graph

    Raises
    ------
    InputError
        If there is no example, or no output depends on it.

    Examples
    --------
    >>> graph = trace(lambda x, y: x * y + 1.0, [2.0], [3.0])
    >>> [node.operation for node in graph.nodes], graph.nodes[0].inputs, graph.constants
    (['Multiply', 'Add'], ('input 0', 'input 1'), {'constant 0': Tensor(array(1., dtype=float32))})
    >>> graph.run([2.0], [5.0])
    (Tensor(array([11.], dtype=float32)),)
    >>> list(trace(lambda x, state: x + state[0], [2.0], ([3.0], None)).inputs)
    ['input 0', 'input 1']
    """
    if not callable(model):
        raise InputError(f"trace: got {model!r:.60}; expected a Module or a function, then inputs")
    tensors: list[Tensor] = []
    bring = getattr(model, "brought", as_tensor)

    def taken(x):
        tensors.append(bring(as_tensor(x)).detach())  # not the Tensor itself, which may come twice
        return tensors[-1]

    arguments = nested(examples, taken)
    if not tensors:
        raise InputError(
            "trace: got no example; expected one small input per argument of the model"
        )
    names = ["input"] if len(tensors) == 1 else [f"input {i}" for i in range(len(tensors))]
    with in_evaluation(model), listed(expanded) as records:
        outputs = flat(model(*arguments))
    return _Tracer(model, dict(zip(names, tensors, strict=True)), records).graph(outputs)


@contextlib.contextmanager
def in_evaluation(model):
    """Compute in evaluation mode inside a `with` block; the model may be a plain function."""
    modules = list(model.modules()) if hasattr(model, "modules") else []
    modes = [module.training for module in modules]
    try:
        for module in modules:
            module.training = False
        with evaluation():
            yield
    finally:
        for module, training in zip(modules, modes, strict=True):
            module.training = training


def flat(outputs):
    """Return the Tensors of nested tuples, lists and dicts in order."""
    if isinstance(outputs, Tensor):
        return [outputs]
    if isinstance(outputs, Mapping):
        outputs = outputs.values()
    if isinstance(outputs, (str, bytes)) or not hasattr(outputs, "__iter__"):
        raise InputError(f"trace: the model returned {outputs!r:.60}; expected Tensors")
    return [tensor for own in outputs for tensor in flat(own)]


class _Tracer:
    """The names of all Tensors, while records become nodes.

    A Tensor is known by itself, or, where a model detached it, by its array.
    """

    def __init__(self, model, inputs, records):
        self.inputs, self.records = inputs, records
        self.parameters = dict(model.named_parameters() if hasattr(model, "modules") else ())
        self.constants: dict[str, Tensor] = {}
        results = [y for *_, y in records]
        known = [*reversed(self.parameters.items()), *inputs.items()]
        self.places: dict[int, int | str] = {id(y.data): i for i, y in enumerate(results)}
        self.places |= {id(x.data): name for name, x in known}
        self.places |= {id(y): i for i, y in enumerate(results)}
        self.places |= {id(x): name for name, x in known}

    def place(self, x):
        """Return the number of the record that computed a Tensor, its name, or None."""
        return self.places.get(id(x), self.places.get(id(x.data)))

    def graph(self, outputs):
        """Return the Graph of the records that the outputs depend on."""
        needed, stack = set(), [self.place(y) for y in outputs]
        while stack:
            if isinstance(i := stack.pop(), int) and i not in needed:
                needed.add(i)
                stack += [self.place(x) for x in self.records[i][2]]
        order: dict[int | str, int] = {i: new for new, i in enumerate(sorted(needed))}

        def ref(x):
            found = self.place(x)
            if found is None:
                found = self.places[id(x)] = f"constant {len(self.constants)}"
                self.constants[found] = x
            return order.get(found, found)

        nodes = []
        for i in order:
            function, settings, operands, y = self.records[i]
            settings = {name: own for name, own in settings.items() if name != "needs_grad"}
            nodes.append(Node(type(function), tuple(map(ref, operands)), settings, y))
        ends = tuple(map(ref, outputs))
        used = {name for node in nodes for name in node.inputs} | set(ends)
        if not used & self.inputs.keys():
            raise InputError(
                "trace: no output depends on the example; compute with Tensors and functions of "
                "bitnet.nn.functional, not with arrays"
            )
        own = {name: p for name, p in self.parameters.items() if name in used}
        return Graph(tuple(nodes), self.inputs, ends, own, self.constants)
