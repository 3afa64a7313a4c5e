"""Automatic differentiation: Tensors that record operations, parameters, and a gradient check."""

from bitnet.autograd.gradcheck import check_gradient
from bitnet.autograd.latent import LatentWeight
from bitnet.autograd.parameter import Parameter
from bitnet.autograd.tensor import Axes, Function, Tensor, TensorLike, as_tensor, no_grad
from bitnet.autograd.trace import Graph, Node, trace

__all__ = ["Axes", "Function", "Graph", "LatentWeight", "Node", "Parameter", "Tensor"]
__all__ += ["TensorLike", "as_tensor", "check_gradient", "no_grad", "trace"]
