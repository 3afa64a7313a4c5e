"""Integer thresholds and float edges that replace the float expressions before a quantizer.

After an integer z, batch norm and other monotone operations followed by a quantizer are a step
function of z.  Its steps, one for the sign and 2^k - 1 for k bits, are found by bisecting the
float expression that the model itself evaluates, over all possible z.  So gamma < 0, gamma = 0,
ties and rounding need no special case.  A quantizer of floats is bisected over all floats.
"""

import numpy as np

from bitnet.errors import InputError

MOST_CHECKED = 1 << 22  # integers times units that are evaluated one by one


def find_thresholds(codes, n_units, largest, steps=1):
    """Find the steps of M monotone functions from integers to codes, by bisection.

    `codes` maps integers z, int32 (steps, M) from `-largest` to `largest`, to codes (steps, M)
    from 0 (or False) to `steps`: column i is monotone in z[:, i], increasing or decreasing.
    Return thresholds, int32 (M,), or (M, steps) for more than one step, and `increasing`, booleans
    (M,).  The code exceeds j where `z >= threshold` j of an increasing function, and where
    `z <= threshold` j of a decreasing one.  A constant function counts as increasing; a step
    outside the range has a threshold at or beyond its end.
    """
    if largest >= np.iinfo(np.int32).max:
        came = f"pre-activations of up to {largest}, which exceed int32"
        raise InputError(f"freeze: got {came}; use fewer inputs or fewer bits in that layer")
    least = np.arange(1, steps + 1)[:, None]  # (steps, 1)

    def passed(z):
        return codes(z.astype(np.int32)) >= least

    low = np.full((steps, n_units), -largest, np.int64)
    high = -low
    at_low, at_high = passed(low), passed(high)
    constant = at_low == at_high
    while (high - low > 1).any():  # `passed` equals at_low at low, and differs at high
        middle = (low + high) // 2
        same = passed(middle) == at_low
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    increasing = ~(at_low & ~at_high).any(axis=0)
    thresholds = np.where(increasing, high, low)
    always, never = constant & at_low, constant & ~at_low
    thresholds = np.where(always, np.where(increasing, -largest, largest), thresholds)
    thresholds = np.where(never, np.where(increasing, largest + 1, -largest - 1), thresholds)
    thresholds = thresholds.astype(np.int32)
    return thresholds[0] if steps == 1 else np.ascontiguousarray(thresholds.T), increasing


def are_steps(codes, n_units, largest, thresholds, increasing, all_of_them):
    """Return whether thresholds give the codes of the integers from -largest to largest.

    Too many integers are refused if `all_of_them` must be evaluated; otherwise those near the
    thresholds are evaluated, and as many others as there is time for.
    """
    columns, most = thresholds.reshape(n_units, -1), MOST_CHECKED // n_units
    if 2 * largest + 1 <= most:
        z = np.repeat(np.arange(-largest, largest + 1)[:, None], n_units, axis=1)
    elif all_of_them:
        return False
    else:
        near = columns.T[:, None] + np.arange(-2, 3)[:, None]  # (L, 5, M)
        drawn = np.random.default_rng(0).integers(-largest, largest + 1, (most, n_units))
        z = np.concatenate([near.reshape(-1, n_units), drawn]).clip(-largest, largest)
    for rows in np.array_split(z.astype(np.int32), max(1, len(z) >> 10)):
        own = rows[:, :, None]
        passed = np.where(increasing[:, None], own >= columns, own <= columns).sum(axis=2)
        if not np.array_equal(passed, codes(rows).astype(np.int64)):
            return False
    return True


def find_edges(codes, steps, dtype):
    """Return the floats at which the codes of a quantizer increase, at most `steps`, sorted.

    The code of x is the number of edges that are at most x.  `codes` maps floats (steps,) to codes.
    """
    kind = np.dtype(np.int32 if dtype == np.float32 else np.int64)
    top = np.array(np.inf, dtype).view(kind).astype(np.int64)
    least = np.arange(1, steps + 1)
    low, high = np.full(steps, -top - 1), np.full(steps, top)  # the keys of -inf and inf
    always = codes(_floats(low, dtype)) >= least
    never = codes(_floats(high, dtype)) < least
    for _ in range(8 * kind.itemsize):  # passed at high, not at low
        middle = (low & high) + ((low ^ high) >> 1)  # their mean, which cannot overflow
        passed = codes(_floats(middle, dtype)) >= least
        low, high = np.where(passed, low, middle), np.where(passed, middle, high)
    edges = _floats(np.where(always, -top - 1, high), dtype)[~never]
    return np.ascontiguousarray(edges + np.array(0, dtype))  # -0.0 becomes 0.0


def _floats(keys, dtype):
    """Return the floats whose order is that of integers; -1 is -0.0 and 0 is 0.0."""
    kind = np.dtype(np.int32 if dtype == np.float32 else np.int64)
    low = np.iinfo(kind).min
    return np.where(keys >= 0, keys, low - keys - 1).astype(kind).view(dtype)


def is_monotone_quantizer(codes, edges, dtype):
    """Return whether edges give the codes of many floats, those beside the edges among them."""
    rng = np.random.default_rng(0)
    kind = np.dtype(np.int32 if dtype == np.float32 else np.int64)
    top = np.array(np.inf, dtype).view(kind).astype(np.int64)
    some = rng.normal(size=4096) * np.exp(rng.normal(size=4096) * 8)
    beside = [edges, np.nextafter(edges, dtype(-np.inf)), np.nextafter(edges, dtype(np.inf))]
    keys = rng.integers(-top - 1, top, 4096)
    x = np.concatenate([some.astype(dtype), *beside, _floats(keys, dtype)])
    return np.array_equal(np.searchsorted(edges, x, side="right"), codes(x).astype(np.int64))
