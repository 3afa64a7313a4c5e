"""Module: parameters, other state, and the modes for training and evaluation."""

import contextlib
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np

from bitnet.arrays import array_module, is_array, is_foreign, like, to_cpu
from bitnet.autograd import Parameter, Tensor, as_tensor, no_grad
from bitnet.autograd.tensor import evaluation, is_evaluating
from bitnet.autograd.trace import in_evaluation
from bitnet.devices import full_memory_named, mover
from bitnet.errors import InputError
from bitnet.kernels import BitPlanes, Bits
from bitnet.nn.state import by_name, check_state, data_of, each_once, items, moved_state

DATA = Tensor, Bits, BitPlanes, list, int, float, np.generic  # inputs that become Tensors


class Module:
    """The base of all layers and models: parameters, other state, and `forward`.

    Attributes that are Parameters, arrays (state that is not trained, such as running statistics)
    or Modules, or nested lists, tuples or dicts of them, are found in the order in which they were
    set.  Numbers of Python, sets and other objects are no state.

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
            states = [(vars(own), moved_state(vars(own), move)) for own in self.modules()]
        for put in puts:
            put()
        for attributes, changed in states:
            attributes.update(changed)
        return self

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """Return the result for Tensors and other inputs; subclasses define it."""
        raise TypeError(f"{type(self).__name__} has no forward; a Module defines forward(x)")

    def _members(self):
        """Yield the attributes, and what is in lists, tuples and dicts, nested or not, by name."""
        for name, value in vars(self).items():
            yield from items(name, value, (Module, Parameter))

    def named_children(self) -> "Iterator[tuple[str, Module]]":
        """Yield the direct submodules, as (name, Module), each under its first name."""
        return each_once((name, own) for name, own in self._members() if isinstance(own, Module))

    def children(self) -> "Iterator[Module]":
        """Yield the direct submodules."""
        yield from (child for _, child in self.named_children())

    def named_modules(self, prefix: str = "") -> "Iterator[tuple[str, Module]]":
        """Yield this Module and all submodules, as (dotted name, Module), outer ones first.

        A Module that is shared comes once, under its first name.
        """
        named = self._named(lambda own: isinstance(own, Module), prefix and prefix + ".", deep=True)
        return each_once([(prefix, self), *named])

    def modules(self) -> "Iterator[Module]":
        """Yield this Module and all submodules, outer ones first."""
        yield from (module for _, module in self.named_modules())

    def _named(self, wanted, prefix="", deep=False, inside=()):
        """Yield the attributes here and inside for which `wanted` is true, by all dotted names.

        What is inside a Module follows the attributes here, or if `deep` the Module itself.
        """
        if any(self is own for own in inside):
            raise InputError(f"{prefix[:-1]}: a {type(self).__name__} that holds itself; remove it")
        members = [(prefix + name, own) for name, own in self._members()]

        def within(name, own):
            more = wanted, f"{name}.", deep, (*inside, self)
            return own._named(*more) if isinstance(own, Module) else ()

        for name, own in members:
            if wanted(own):
                yield name, own
            if deep:
                yield from within(name, own)
        for name, own in () if deep else members:
            yield from within(name, own)

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield the Parameters of this Module and its submodules, as (dotted name, Parameter).

        A Parameter that is shared comes once, under its first name.
        """
        return each_once(self._named(lambda value: isinstance(value, Parameter)))

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
        held = by_name(self._named(lambda own: isinstance(own, Parameter) or is_array(own)))
        yield from ((name, data_of(own)) for name, own in held.items())

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
