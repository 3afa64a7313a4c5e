"""The way through a frozen net that is no chain: branches side by side, and poolings between.

A plan is a list of steps.  A number is the layer that comes next; a Window is max-pooling of what
the layers gave; a list of plans is branches, which all start from the same and whose results
stand side by side along the channels.  A chain is 0, 1, 2, ...
"""

import dataclasses

from bitnet import kernels
from bitnet.errors import InputError
from bitnet.kernels import Window

__all__ = ["described", "follow", "plan_of", "shape_of_all", "shape_of_pool", "window_from"]

FIELDS = {field.name for field in dataclasses.fields(Window)}


def pooled(x, window):
    """Max-pooling of Bits, Planes or pixels."""
    return (
        kernels.max_pool(x, window)[0] if hasattr(x, "dtype") else kernels.max_pool_bits(x, window)
    )


def follow(plan, x, layer, pool=pooled, join=kernels.concatenate):
    """Go through a plan, with arrays or with their shapes.

    Parameters
    ----------
    plan : list
        As above.
    x : object
        What the first step starts from.
    layer : callable
        From the number of a layer and what comes in to what comes out.
    pool, join : callable, optional
        From what comes in and a Window, and from the results of branches; those of arrays by
        default.

    Returns
    -------
    object
        What the last step gives.

    Examples
    --------
    >>> follow([0, [[1], []]], "x", lambda i, x: f"{i}({x})", join="+".join)
    '1(0(x))+0(x)'
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
    """The shape (H, W, C) behind a pooling.

    Parameters
    ----------
    shape : tuple of int
        (H, W, C).
    window : Window
        The taps.

    Returns
    -------
    tuple of int

    Raises
    ------
    InputError
        If these are no images or the window does not fit.

    Examples
    --------
    >>> shape_of_pool((4, 4, 7), Window((2, 2), (2, 2)))
    (2, 2, 7)
    """
    if len(shape) != 3 or max(n for pair in window.padding for n in pair) >= min(window.size):
        raise InputError(
            f"{window!r} pools what is {shape}; expected images, and a padding below "
            "the number of taps"
        )
    return (*window.output(*shape[:2]), shape[2])


def shape_of_all(shapes):
    """The shape of the results of branches side by side.

    Parameters
    ----------
    shapes : list of tuple of int
        One or more, equal but for the last number.

    Returns
    -------
    tuple of int

    Raises
    ------
    InputError
        If they differ elsewhere.

    Examples
    --------
    >>> shape_of_all([(4, 4, 7), (4, 4, 2)])
    (4, 4, 9)
    """
    if len({shape[:-1] for shape in shapes}) != 1:
        raise InputError(f"branches give {shapes}; expected images of one size")
    return (*shapes[0][:-1], sum(shape[-1] for shape in shapes))


def described(plan):
    """A plan as JSON holds it: a Window becomes a dict.

    Parameters
    ----------
    plan : list
        As above.

    Returns
    -------
    list

    Examples
    --------
    >>> described([0, [[1], [2]]])
    [0, [[1], [2]]]
    """
    kinds = {Window: dataclasses.asdict, list: lambda step: [described(own) for own in step]}
    return [kinds[type(step)](step) if type(step) in kinds else step for step in plan]


def plan_of(given, count):
    """The plan that a header holds.

    Parameters
    ----------
    given : object
        From JSON.
    count : int
        Layers; each comes once, in order, and the last one at the end.

    Returns
    -------
    list

    Raises
    ------
    InputError
        If it is no plan.

    Examples
    --------
    >>> plan_of([0, [[1], []], 2], 3)
    [0, [[1], []], 2]
    """
    seen = []
    plan = _plan(given, seen, deepest=4)
    if seen != list(range(count)) or plan[-1:] != [count - 1]:
        raise InputError(
            f"the header has a plan of the layers {seen!r:.60}; expected each of {count}, in order"
        )
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
    """The Window that a header holds.

    Parameters
    ----------
    given : object
        From JSON.

    Returns
    -------
    Window

    Raises
    ------
    InputError
        If it is none.

    Examples
    --------
    >>> window_from({"size": [2, 2], "stride": [1, 1], "padding": [[0, 0], [0, 0]], "border": 0})
    Window(size=(2, 2), stride=(1, 1), padding=((0, 0), (0, 0)), border=0)
    """
    if not isinstance(given, dict) or set(given) != FIELDS:
        raise InputError(f"the header has the window {given!r:.60}, which is none")
    return Window(**given)
