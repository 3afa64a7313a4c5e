"""Module: parameters, other state, and the modes for training and evaluation."""

import contextlib
import itertools
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np

from bitnet.arrays import array_module, is_array, is_foreign, like, to_cpu
from bitnet.autograd import Parameter, Tensor, as_tensor, no_grad
from bitnet.autograd.tensor import evaluation, is_evaluating
from bitnet.autograd.trace import in_evaluation
from bitnet.devices import full_memory_named, mover
from bitnet.errors import InputError, unfit
from bitnet.kernels import BitPlanes, Bits

DATA = Tensor, Bits, BitPlanes, list, int, float, np.generic  # inputs that become Tensors


class Module:
    """The base of all layers and models: parameters, other state, and `forward`.

    Attributes that are Parameters, arrays (state that is not trained, such as running statistics)
    or Modules, or nested lists or dicts of them, are found in the order in which they were set.

    Attributes
    ----------
    training : bool
        Whether the layers behave as in training (`train()`, the default) or as in evaluation
        (`eval()`).
    takes : (str, tuple of int) or None
        The type and the shape of one input, without the batch, where it is known; see
        `nn.models.takes_of`.

    Examples
    --------
    >>> class Scale(Module):
    ...     def __init__(self):
    ...         self.factor = Parameter([2.0])
    ...
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> Scale()([3.0]).data
    array([6.], dtype=float32)
    >>> list(Scale().state_dict())
    ['factor']
    """

    training = True
    takes: tuple[str, tuple[int, ...]] | None = None
    shown: tuple[str, ...] = ()  # the attributes in repr()

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Return the result of `forward` for inputs, moved to the device of the Module.

        Arrays, lists and numbers become Tensors.  Other inputs, such as None or a tuple of states,
        and options stay as they are.
        """
        inputs = tuple(map(self.brought, inputs))
        if is_evaluating() != self.training:
            return self.forward(*inputs, **options)
        with evaluation(not self.training):
            return self.forward(*inputs, **options)

    def __repr__(self):
        shown = ", ".join(repr(getattr(self, name)) for name in self.shown)
        return f"{type(self).__name__}({shown})"

    def brought(self, x: Any) -> Any:
        """Return an input as a Tensor on the device of this Module, unless it needs a gradient."""
        if not isinstance(x, DATA) and not is_foreign(x):
            return x
        x = as_tensor(x)
        if "cupy" not in sys.modules or x.requires_grad or array_module(x) is not np:
            return x
        return like(x, self._first_array())

    def _first_array(self):
        """Return an array of this Module, or None if it has none."""
        return next((array for _, array in self._state() if array.ndim), None)

    @property
    def device(self) -> str:
        """The device of the arrays of this Module: "cpu" or "gpu"."""
        return "cpu" if array_module(self._first_array()) is np else "gpu"

    def to(self, device: str) -> Self:
        """Move all parameters, with their gradients, and all other state to "cpu" or "gpu".

        Single numbers (counters) and generators stay on the CPU, so that both devices draw the same
        numbers.  An optimizer moves its moments at its next step.  If the move fails, the
        Module is unchanged.
        """
        move = mover(device)
        with full_memory_named():
            puts = [parameter.move(move) for parameter in self.parameters()]
            states = [(vars(own), _moved(vars(own), move)) for own in self.modules()]
        for put in puts:
            put()
        for attributes, changed in states:
            attributes.update(changed)
        return self

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """Return the result for Tensors and other inputs; subclasses define it."""
        raise TypeError(f"{type(self).__name__} has no forward; a Module defines forward(x)")

    def _members(self):
        """Yield the attributes, and the items of those that are lists, tuples or dicts, by name."""
        for name, value in vars(self).items():
            yield from _items(name, value)

    def named_children(self) -> "Iterator[tuple[str, Module]]":
        """Yield the direct submodules, as (name, Module), each under its first name."""
        return _each_once((name, own) for name, own in self._members() if isinstance(own, Module))

    def children(self) -> "Iterator[Module]":
        """Yield the direct submodules."""
        yield from (child for _, child in self.named_children())

    def named_modules(self, prefix: str = "") -> "Iterator[tuple[str, Module]]":
        """Yield this Module and all submodules, as (dotted name, Module), outer ones first.

        A Module that is shared comes once, under its first name.
        """
        nested = (
            child.named_modules(f"{prefix}.{name}" if prefix else name)
            for name, child in self.named_children()
        )
        return _each_once(itertools.chain([(prefix, self)], *nested))

    def modules(self) -> "Iterator[Module]":
        """Yield this Module and all submodules, outer ones first."""
        yield from (module for _, module in self.named_modules())

    def _named(self, wanted, prefix=""):
        """Yield the attributes here and inside for which `wanted` is true, by all dotted names."""
        yield from ((prefix + name, value) for name, value in self._members() if wanted(value))
        for name, child in self._members():
            if isinstance(child, Module):
                yield from child._named(wanted, f"{prefix}{name}.")

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield the Parameters of this Module and its submodules, as (dotted name, Parameter).

        A Parameter that is shared comes once, under its first name.
        """
        return _each_once(self._named(lambda value: isinstance(value, Parameter)))

    def parameters(self) -> list[Parameter]:
        """Return the Parameters of this Module and its submodules, each once."""
        return [parameter for _, parameter in self.named_parameters()]

    def train(self, training: bool = True) -> Self:
        """Set training mode, or with False evaluation mode; return the Module."""
        for module in self.modules():
            module.training = bool(training)
        return self

    def eval(self) -> Self:
        """Set evaluation mode; return the Module."""
        return self.train(False)

    def _state(self):
        """Yield the arrays of the parameters and of the other state, by name; not copies."""
        for name, value in self._named(lambda own: isinstance(own, Parameter) or is_array(own)):
            yield name, value.data if isinstance(value, Parameter) else value

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return copies of all parameters and other state, by dotted name."""
        return {name: np.array(to_cpu(array)) for name, array in self._state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set all parameters and other state; change nothing if anything does not fit."""
        check_state(type(self).__name__, dict(self._state()), state)
        for parameter in self.parameters():
            parameter.edit()
        for name, array in self._state():
            array[...] = like(state[name], array)


def _items(name, value):
    """Yield a value by its name, or the items of a list, tuple or dict, also nested ones."""
    if not isinstance(value, (list, tuple, dict)):
        yield name, value
        return
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _items(f"{name}.{key}", item)


def _each_once(named):
    """Yield the pairs (name, object) without those whose object came before."""
    seen = set()
    for name, own in named:
        if id(own) not in seen:
            seen.add(id(own))
            yield name, own


def _moved(value, move):
    """Return an attribute with the arrays with axes in it moved, in new containers."""
    if is_array(value):
        return move(value) if value.ndim else value
    if isinstance(value, dict):
        return {name: _moved(own, move) for name, own in value.items()}
    return (
        type(value)(_moved(own, move) for own in value) if type(value) in (list, tuple) else value
    )


@contextlib.contextmanager
def evaluating(model):
    """Use a model in evaluation mode, without gradients, inside a `with` block."""
    if not isinstance(model, Module):
        raise InputError(
            f"got {type(model).__name__}; expected a Module (a frozen net predicts by itself: "
            "net.predict, net.scores)"
        )
    with in_evaluation(model), no_grad():
        yield


def check_state(what, own, state):
    """Refuse arrays whose names, shapes or types differ from those of `own`, or hold NaN."""
    if missing := sorted(own.keys() - state.keys()):
        raise InputError(f"{what}: the state lacks {missing[0]!r}; is it from another model?")
    if unknown := sorted(state.keys() - own.keys()):
        raise InputError(
            f"{what}: unknown {unknown[0]!r:.60} in the state; is it from another model?"
        )
    for name, array in own.items():
        came = state[name]
        if came.shape != array.shape or came.dtype != array.dtype:
            raise unfit(f"{what}: {name!r}", f"{array.dtype} {array.shape}", came)
        finite = array_module(came).isfinite(came).all()
        if not finite or (came.dtype.kind == "i" and (came < 0).any()):
            raise InputError(f"{what}: {name!r} holds NaN, infinity, or a count below 0")
