"""The order of computation in a frozen net with branches, or with pooling between its layers.

A plan is a list of steps, each applied to the result of the one before.  A number runs the layer
with that index; a Window is max-pooling; a list of plans runs each of them on the same input and
concatenates their results along the channels.  The plan of a chain is 0, 1, 2, ...
"""

import dataclasses

from bitnet import kernels
from bitnet.errors import InputError
from bitnet.kernels import Window

FIELDS = {field.name for field in dataclasses.fields(Window)}


def pooled(x, window):
    """Max-pool Bits, BitPlanes or pixels."""
    if hasattr(x, "dtype"):
        return kernels.max_pool(x, window)[0]
    return kernels.max_pool_bits(x, window)


def follow(plan, x, layer, pool=pooled, join=kernels.concatenate):
    """Run a plan on `x`, which is an array or a shape, and return the result of the last step.

    `layer` is called with the index of a layer and its input, `pool` with an input and a Window,
    `join` with the list of the results of the branches.
    """
    for step in plan:
        if isinstance(step, Window):
            x = pool(x, step)
        elif isinstance(step, list):
            x = join([follow(branch, x, layer, pool, join) for branch in step])
        else:
            x = layer(step, x)
    return x


def shape_of_pool(shape, window):
    """Return the shape (H, W, C) after pooling; refuse inputs that the window does not fit."""
    if len(shape) != 3 or max(n for pair in window.padding for n in pair) >= min(window.size):
        expected = "(H, W, C), and a padding smaller than the window"
        raise InputError(f"{window!r} pools inputs of shape {shape}; expected {expected}")
    return (*window.output(*shape[:2]), shape[2])


def shape_of_all(shapes):
    """Return the shape of the concatenated branches; refuse different sizes of images."""
    if len({shape[:-1] for shape in shapes}) != 1:
        raise InputError(f"branches return the shapes {shapes}; expected images of one size")
    return (*shapes[0][:-1], sum(shape[-1] for shape in shapes))


def described(plan):
    """Return a plan in the form of JSON, where a Window is a dict."""
    kinds = {Window: dataclasses.asdict, list: lambda step: [described(own) for own in step]}
    return [kinds[type(step)](step) if type(step) in kinds else step for step in plan]


def plan_of(given, count):
    """Return the plan in a header, which has each of `count` layers once, in order."""
    seen = []
    plan = _plan(given, seen, deepest=4)
    if seen != list(range(count)) or plan[-1:] != [count - 1]:
        came = f"a plan of the layers {seen!r:.60}"
        expected = f"each of the {count} layers once, in order, the last one at the end"
        raise InputError(f"the header has {came}; expected {expected}")
    return plan


def _plan(given, seen, deepest):
    """Return the steps of a plan in a header, and append the indices of its layers to `seen`."""
    if not isinstance(given, list) or not deepest:
        raise InputError(f"the header has the plan {given!r:.60}; expected a list of steps")
    plan = []
    for step in given:
        if isinstance(step, dict):
            plan.append(window_from(step))
        elif isinstance(step, list) and step:
            plan.append([_plan(branch, seen, deepest - 1) for branch in step])
        elif type(step) is int:
            seen.append(step)
            plan.append(step)
        else:
            raise InputError(
                f"the header has the step {step!r:.60}; expected a layer, window or list"
            )
    return plan


def window_from(given):
    """Return the Window in a header."""
    if not isinstance(given, dict) or set(given) != FIELDS:
        expected = f"a dict with {', '.join(sorted(FIELDS))}"
        raise InputError(f"the header has the window {given!r:.60}; expected {expected}")
    return Window(**given)
