"""One step of an optimizer in one launch: moments, weights, clip, new signs, and their flips.

A warp has eight times 32 neighbouring weights of a row, like in `pack`.  A ballot makes half a
word of their new signs, and eight lanes compare the halves with the old ones.  The kernel returns
two numbers, the number of changed signs and whether a weight is NaN.  Without words it returns
nothing, and the host does not wait.  Each float operation is rounded separately, in the order of
`reference`, so that the results are equal bit for bit.
"""

import math

import numpy as np
from numba import cuda

from bitnet.arrays import array_module, is_array, to_cpu
from bitnet.kernels import reference
from bitnet.kernels.cuda.instructions import (
    bits_of_float,
    divided,
    float_of_bits,
    minus,
    plus,
    root,
    times,
)
from bitnet.kernels.cuda.launch import (
    ALL,
    STRIP,
    by_threads,
    by_warps,
    inlined,
    place,
    row_of_halves,
)


def _nearest_power(dtype):
    """Make AP2: add half an octave to the bits of a float, then clear the fraction."""
    own = np.finfo(dtype)
    integer, fraction = {np.float32: (np.int32, 23), np.float64: (np.int64, 52)}[dtype]
    infinity, normal = dtype(np.inf).view(integer), own.tiny.view(integer)
    least = np.array(2 * 0.5**0.5, np.float64).astype(dtype)  # the first float above sqrt(2)
    least = least if float(least) ** 2 > 2 else np.nextafter(least, dtype(2))
    to_next = dtype(2).view(integer) - least.view(integer)
    up, down = dtype(2.0 ** (fraction + 1)), dtype(2.0 ** -(fraction + 1))

    @inlined
    def nearest_power(x):
        magnitude = bits_of_float(abs(x))
        subnormal = magnitude < normal
        if subnormal:
            magnitude = bits_of_float(times(abs(x), up))
        if magnitude >= infinity:
            return x
        power = float_of_bits(integer((magnitude + to_next) & infinity))
        power = times(power, down) if subnormal else power
        return -power if x < 0 else power

    return nearest_power


@inlined
def _nearer(average, rest, number):
    """Update a running average with a number."""
    return plus(average, times(rest, minus(number, average)))


@inlined
def _decayed(largest, decay, number):
    """Return the larger of the decayed maximum and a magnitude; NaN is kept."""
    left, magnitude = times(decay, largest), abs(number)
    return left if left >= magnitude or left != left else magnitude


@inlined
def _sgd(w, g, m, v, c):
    """Return the new weight and moments; c = rate, momentum, nesterov."""
    m = plus(times(m, c[1]), g)
    return minus(w, times(c[0], plus(g, times(c[1], m)) if c[2] != 0 else m)), m, v


@inlined
def _adam(w, g, m, v, c):
    """Update like `_sgd`; c = rate, 1 - beta1, 1 - beta2, correction2, eps, correction1."""
    m, v = _nearer(m, c[1], g), _nearer(v, c[2], times(g, g))
    direction = times(divided(m, plus(times(root(v), c[3]), c[4])), c[5])
    return minus(w, times(c[0], direction)), m, v


@inlined
def _adamax(w, g, m, v, c):
    """Update like `_sgd`; c = rate, 1 - beta1, beta2, eps, correction1."""
    m, v = _nearer(m, c[1], g), _decayed(v, c[2], g)
    return minus(w, times(c[0], times(divided(m, plus(v, c[3])), c[4]))), m, v


def _shift_adamax(dtype):
    """Make an update like `_sgd` for one type; c = rate, 1 - beta1, beta2, eps."""
    nearest_power = _nearest_power(dtype)

    @inlined
    def shift_adamax(w, g, m, v, c):
        m, v = _nearer(m, c[1], g), _decayed(v, c[2], g)
        power = nearest_power(plus(v, c[3]))
        direction = divided(m, power) if power != 0 else dtype(0)
        return minus(w, times(c[0], direction)), m, v

    return shift_adamax


def _shift_adamax_code(dtype):
    """Make an update like `_shift_adamax` that stores the rounded v."""
    nearest_power = _nearest_power(dtype)

    @inlined
    def shift_adamax_code(w, g, m, v, c):
        m, v = _nearer(m, c[1], g), plus(nearest_power(_decayed(v, c[2], g)), c[3])
        return minus(w, times(c[0], divided(m, v))), m, v

    return shift_adamax_code


@inlined
def _bop(w, g, m, v, c):
    """Flip weights of +1 and -1, like `_sgd`; c = rate, threshold."""
    m = _nearer(m, c[0], g)
    w = -w if times(m, w) > c[1] else w
    return w if m == m else m, m, v


def _kernels(dtype, step, moments):
    """Make the kernels of a rule with one or two moments, without and with new signs."""
    two = moments == 2

    @inlined
    def moved(at, weight, grad, m, v, c, clip):
        """Store the new moments and weight, and return the weight."""
        w, first, second = step(weight[at], grad[at], m[at], v[at] if two else dtype(0), c)
        m[at] = first
        if two:
            v[at] = second
        w = -clip if w < -clip else w  # keeps NaN
        w = clip if w > clip else w
        weight[at] = w
        return w

    @cuda.jit
    def numbers(weight, grad, m, v, c, clip):
        """Update all arrays (R N)."""
        at = cuda.grid(1)
        if at < weight.size:
            moved(at, weight, grad, m, v, c, clip)

    @cuda.jit
    def signs(weight, grad, m, v, c, clip, n_rows, n, halves, words, counts):
        """Update like `numbers`; words (R H); counts gets the number of flips, and 1 for NaN."""
        lane, row, strip = place(cuda.grid(1), (halves + STRIP - 1) // STRIP)
        own, lost = np.uint32(0), False
        for k in range(STRIP):
            column, w = (strip * STRIP + k) * 32 + lane, dtype(-1)
            if row < n_rows and column < n:
                w = moved(row * n + column, weight, grad, m, v, c, clip)
            lost = lost or w != w
            word = cuda.ballot_sync(ALL, w >= 0)
            if lane == k:
                own = np.uint32(word)
        flips, half = np.int32(0), strip * STRIP + lane
        if row < n_rows and lane < STRIP and half < halves:
            flips = np.int32(cuda.popc(np.uint32(own ^ words[row * halves + half])))
            words[row * halves + half] = own
        for distance in (4, 2, 1):  # sum over the eight lanes
            flips += np.int32(cuda.shfl_xor_sync(ALL, flips, distance))
        if lane == 0 and flips:
            cuda.atomic.add(counts, 0, flips)
        if lost:
            counts[1] = 1

    return numbers, signs


def _rules(dtype):
    """Return the kernels of each rule for one type of floats."""
    steps = {
        "sgd": (_sgd, 1),
        "adam": (_adam, 2),
        "adamax": (_adamax, 2),
        "shift_adamax": (_shift_adamax(dtype), 2),
        "shift_adamax_code": (_shift_adamax_code(dtype), 2),
        "bop": (_bop, 1),
    }
    return {rule: _kernels(dtype, *own) for rule, own in steps.items()}


RULES = {np.dtype(dtype): _rules(dtype) for dtype in (np.float32, np.float64)}


def update(rule, weight, grad, state, constants, clip, words, seed=None):
    """See `bitnet.kernels.update`."""
    if state[0].dtype == np.uint16:
        return reference.update(rule, weight, grad, state, constants, clip, words, seed)
    if not weight.size:
        return 0
    xp, number = array_module(weight), weight.dtype.type
    grad = xp.ascontiguousarray(grad if is_array(grad) else grad.array())
    second = state[1] if len(state) > 1 else grad  # not used by the kernel
    arrays = [array.reshape(-1) for array in (weight, grad, state[0], second)]
    constants, limit = tuple(map(number, constants)), number(np.inf if clip is None else clip)
    numbers, signs = RULES[weight.dtype][rule]
    if words is None:
        by_threads(numbers, weight.size, *arrays, constants, limit)
        return 0
    rows, n, halves = math.prod(weight.shape[:-1]), weight.shape[-1], 2 * words.shape[-1]
    counts = xp.zeros(2, np.int64)
    given = *arrays, constants, limit, rows, n, halves, row_of_halves(words), counts
    by_warps(signs, rows * -(-halves // STRIP), *given)
    flips, lost = to_cpu(counts).tolist()  # the host waits once
    return None if lost else flips
