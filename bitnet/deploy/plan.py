"""The way through a frozen net that is no chain: branches side by side, and poolings between.

A plan is a list of steps.  A number is the layer that comes next; a Window is max-pooling of what
the layers gave; a list of plans is branches, which all start from the same and whose results
stand side by side along the channels.  A chain is 0, 1, 2, ...
"""

import dataclasses

from bitnet import kernels
from bitnet.errors import InputError
from bitnet.kernels import Window

FIELDS = {field.name for field in dataclasses.fields(Window)}


def pooled(x, window):
    """Max-pooling of Bits, BitPlanes or pixels."""
    if hasattr(x, "dtype"):
        return kernels.max_pool(x, window)[0]
    return kernels.max_pool_bits(x, window)


def follow(plan, x, layer, pool=pooled, join=kernels.concatenate):
    """Go through a plan from `x`, with arrays or with their shapes; what the last step gives.

    `layer` is called with the number of a layer and what comes in, `pool` with what comes in and
    a Window, `join` with the results of branches.
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
    """The shape (H, W, C) after a pooling, once these are images that the window fits."""
    if len(shape) != 3 or max(n for pair in window.padding for n in pair) >= min(window.size):
        expected = "images, and a padding below the number of taps"
        raise InputError(f"{window!r} pools what is {shape}; expected {expected}")
    return (*window.output(*shape[:2]), shape[2])


def shape_of_all(shapes):
    """The shape of the results of branches side by side, equal but for the last number."""
    if len({shape[:-1] for shape in shapes}) != 1:
        raise InputError(f"branches give {shapes}; expected images of one size")
    return (*shapes[0][:-1], sum(shape[-1] for shape in shapes))


def described(plan):
    """A plan as JSON holds it: a Window becomes a dict."""
    kinds = {Window: dataclasses.asdict, list: lambda step: [described(own) for own in step]}
    return [kinds[type(step)](step) if type(step) in kinds else step for step in plan]


def plan_of(given, count):
    """The plan that a header holds: each of `count` layers once, in order, the last at the end."""
    seen = []
    plan = _plan(given, seen, deepest=4)
    if seen != list(range(count)) or plan[-1:] != [count - 1]:
        came = f"a plan of the layers {seen!r:.60}"
        raise InputError(f"the header has {came}; expected each of {count}, in order")
    return plan


def _plan(given, seen, deepest):
    """The steps of a plan; the numbers of its layers go to `seen`."""
    if not isinstance(given, list) or not deepest:
        raise InputError(f"the header has the plan {given!r:.60}, which is none")
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
            raise InputError(f"the header has a plan with {step!r:.60}; expected layers")
    return plan


def window_from(given):
    """The Window that a header holds."""
    if not isinstance(given, dict) or set(given) != FIELDS:
        raise InputError(f"the header has the window {given!r:.60}, which is none")
    return Window(**given)
