"""The operators and methods of Tensor, set here, next to their operations.

`autograd.tensor` declares them for type checkers.
"""

from bitnet.autograd import Tensor
from bitnet.nn.functional import activations, arithmetic, comparisons, selection, shapes, statistics

__all__ = ["Tensor"]

OPERATORS = {
    "add": arithmetic.add,
    "sub": arithmetic.subtract,
    "mul": arithmetic.multiply,
    "truediv": arithmetic.divide,
    "matmul": arithmetic.matmul,
}
METHODS = {
    "__neg__": arithmetic.negate,
    "__pow__": arithmetic.power,
    "__abs__": arithmetic.absolute,
    "__getitem__": shapes.getitem,
    "abs": arithmetic.absolute,
    "exp": arithmetic.exp,
    "log": arithmetic.log,
    "tanh": arithmetic.tanh,
    "sigmoid": arithmetic.sigmoid,
    "relu": activations.relu,
    "sqrt": statistics.sqrt,
    "clamp": selection.clip,
    "softmax": statistics.softmax,
    "log_softmax": statistics.log_softmax,
    "argmax": selection.argmax,
    "min": statistics.min,
    "var": statistics.var,
    "std": statistics.std,
    "squeeze": statistics.squeeze,
    "unsqueeze": statistics.unsqueeze,
    "dtype": property(lambda x: x.data.dtype, doc="The type of the numbers."),
    "sum": shapes.sum,
    "mean": shapes.mean,
    "max": shapes.max,
    "reshape": shapes.reshape,
    "transpose": shapes.transpose,
    "T": property(shapes.transpose, doc="The Tensor with its axes reversed."),
}


def _reflected(operation):
    """Return an operation with its operands exchanged, as for `array - tensor`."""
    return lambda self, other: operation(other, self)


for name, operation in OPERATORS.items():
    setattr(Tensor, f"__{name}__", operation)
    setattr(Tensor, f"__r{name}__", _reflected(operation))
for name, method in METHODS.items():
    setattr(Tensor, name, method)
for name in comparisons.NAMES:
    setattr(Tensor, f"__{name}__", comparisons.comparison(name))
