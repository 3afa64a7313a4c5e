"""The walk of backpropagation through a graph: its order, and what must not have changed."""

import itertools

from bitnet.arrays import shares
from bitnet.errors import InputError


def check_unchanged(nodes):
    """Refuse operations that kept the data of a Parameter which was changed since, or a view."""
    for node in nodes:
        if [x.version for x in node.inputs] == node.versions:
            continue
        changed = [x for x, n in zip(node.inputs, node.versions, strict=True) if x.version != n]
        for x, own in itertools.product(changed, nodes):
            kept = {name: value for name, value in vars(own).items() if name != "inputs"}
            if shares(kept, x.data):
                raise InputError(
                    f"backward: {own.name} kept the data of a {type(x).__name__} of shape "
                    f"{x.shape}, which were changed after the forward pass; call backward before "
                    "step() or edit(), or compute the forward pass again"
                )


def operands_first(root):
    """Return the Tensors in the graph of `root` that need gradients, operands first."""
    order, seen, stack = [], set(), [(root, False)]
    while stack:
        tensor, inputs_done = stack.pop()
        if inputs_done:
            order.append(tensor)
        elif id(tensor) not in seen:
            seen.add(id(tensor))
            stack.append((tensor, True))
            if tensor.creator is not None:
                stack.extend((x, False) for x in tensor.creator.inputs if x.requires_grad)
    return order
