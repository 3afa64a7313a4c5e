"""What a Module holds: items of nested containers by name, moved arrays, and checks of states."""

import copy
from collections import deque

from bitnet.arrays import array_module, is_array
from bitnet.autograd import Parameter
from bitnet.errors import InputError, unfit


def items(name, value, state, inside=()):
    """Yield a value by its name, or the items of a list, tuple or dict, also nested ones.

    `state` are the classes that a set may not hold, as its items have no names.
    """
    if isinstance(value, (set, frozenset, deque)):
        held = next((x for x in value if isinstance(x, state) or is_array(x)), None)
        if held is not None:
            raise InputError(
                f"{name}: a {type(value).__name__} with a {type(held).__name__}, which has no name "
                "there; expected a list, tuple or dict"
            )
    if not isinstance(value, (list, tuple, dict)):
        yield name, value
        return
    if any(value is own for own in inside):
        raise InputError(f"{name}: a {type(value).__name__} that holds itself; remove it")
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield from items(f"{name}.{key}", item, state, (*inside, value))


def each_once(named):
    """Yield the pairs (name, object) without those whose object came before."""
    seen = set()
    for name, own in named:
        if id(own) not in seen:
            seen.add(id(own))
            yield name, own


def by_name(named):
    """Return the objects by name; refuse two objects with one name."""
    found = {}
    for name, own in named:
        if found.setdefault(name, own) is not own:
            raise InputError(f"two parts of a Module have the name {name!r}; rename one of them")
    return found


def data_of(own):
    """Return the array of a Parameter, or an array itself."""
    return own.data if isinstance(own, Parameter) else own


def moved_state(value, move):
    """Return an attribute with the arrays with axes in it moved, in new containers.

    A container without such arrays is returned itself, as other objects may share it.
    """
    if is_array(value):
        return move(value) if value.ndim else value
    if not isinstance(value, (list, tuple, dict)):
        return value
    pairs = list(value.items() if isinstance(value, dict) else enumerate(value))
    new = {key: moved_state(own, move) for key, own in pairs}
    if all(new[key] is own for key, own in pairs):
        return value
    if isinstance(value, tuple):
        return getattr(value, "_make", type(value))(new.values())  # of a named tuple
    changed = copy.copy(value)
    for key, own in new.items():
        changed[key] = own
    return changed


def check_state(what, own, state):
    """Refuse arrays whose names, shapes or types differ from those of `own`, or hold NaN."""
    if missing := sorted(own.keys() - state.keys()):
        raise InputError(f"{what}: the state lacks {missing[0]!r}; is it from another model?")
    if unknown := sorted(state.keys() - own.keys()):
        came = f"unknown {unknown[0]!r:.60} in the state"
        raise InputError(f"{what}: {came}; is it from another model?")
    for name, array in own.items():
        came = state[name]
        if came.shape != array.shape or came.dtype != array.dtype:
            raise unfit(f"{what}: {name!r}", f"{array.dtype} {array.shape}", came)
        finite = array_module(came).isfinite(came).all()
        if not finite or (came.dtype.kind == "i" and (came < 0).any()):
            raise InputError(f"{what}: {name!r} holds NaN, infinity, or a count below 0")
