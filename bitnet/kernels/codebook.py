"""The codes of a k-bit quantizer: the numbers they represent, and how numbers become codes."""

import math
from collections.abc import Sequence

import numpy as np

from bitnet.arrays import Array, array_module, as_numpy, check_one_device, like, to_cpu
from bitnet.errors import InputError, check_count, unfit
from bitnet.kernels import reference
from bitnet.kernels.bits import BitPlanes, Bits
from bitnet.kernels.dispatch import check_numbers, kernel

MAX_PLANES = 32
MAX_INTEGER = 65536  # 15 powers of two, twice each


class Codebook:
    """The integers that the codes 0, 1, ... of a quantizer represent, times a unit, in planes.

    Code c represents `unit * (sum_p coefficients[p] * s_p + offset)`, where s_p is +1 if bit p
    of `patterns[c]` is 1 and -1 if it is 0.  The numbers increase with the codes.

    Parameters
    ----------
    patterns : sequence of int
        2 to 256 integers, one per code, whose bits are the planes.
    coefficients : sequence of int
        One integer weight per plane.
    unit : float, optional
        The value of the integer 1, above 0; default: 1.
    offset : int, optional
        The integer that is added to the sum; default: 0.

    Attributes
    ----------
    integers : numpy.ndarray
        The integer that each code represents, without the unit, int32.

    Examples
    --------
    >>> two_bits = Codebook.uniform(2)
    >>> two_bits.integers
    array([-3, -1,  1,  3], dtype=int32)
    >>> two_bits.planes(np.array([[0, 3, 2]], np.uint8)).values()
    array([[-3.,  3.,  1.]], dtype=float32)
    """

    def __init__(
        self,
        patterns: Sequence[int],
        coefficients: Sequence[int],
        unit: float = 1.0,
        offset: int = 0,
    ) -> None:
        codes, self.coefficients = [int(p) for p in patterns], tuple(int(c) for c in coefficients)
        self.unit, self.offset, n_planes = float(unit), int(offset), len(self.coefficients)
        if not 2 <= len(codes) <= 256 or not 1 <= n_planes <= MAX_PLANES:
            raise InputError(
                f"Codebook: {len(codes)} codes in {n_planes} planes; expected 2 to 256 codes in at "
                f"most {MAX_PLANES} planes"
            )
        if min(codes) < 0 or max(codes) >= 1 << n_planes:
            raise InputError(
                f"Codebook: the patterns {codes!r:.60} have bits above the {n_planes} planes; "
                f"expected integers from 0 to {(1 << n_planes) - 1}, or more coefficients"
            )
        if self.largest >= 2**31:
            raise InputError(
                f"Codebook: the coefficients {self.coefficients!r:.60} and the offset "
                f"{self.offset} reach {self.largest}; expected a sum below 2**31"
            )
        self.patterns = np.array(codes, np.uint32)
        ones = self.patterns[:, None] >> np.arange(len(self.coefficients)) & 1
        sums = (2 * ones.astype(np.int64) - 1) @ np.array(self.coefficients) + self.offset
        rise = bool((np.diff(sums) > 0).all())
        if not rise or abs(sums).max() > MAX_INTEGER or not 0 < self.unit < math.inf:
            raise InputError(
                f"Codebook: the codes represent {sums.tolist()} times {self.unit}; expected "
                f"increasing numbers, at most {MAX_INTEGER}, and a unit above 0"
            )
        self.integers = sums.astype(np.int32)
        self._on_gpu = None  # a copy of the patterns on the GPU

    @classmethod
    def uniform(cls, bits: int, unit: float = 1.0, offset: int = 0) -> "Codebook":
        """Return the codebook `unit * (2 c - (2**bits - 1) + offset)` of 2**bits codes c."""
        check_count("Codebook", most=8, bits=bits)
        return cls(range(1 << bits), [1 << b for b in range(bits)], unit, offset)

    def _moved(self, move):
        """Return the codebook itself, which is the same on all devices."""
        return self

    def __len__(self) -> int:
        return len(self.patterns)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Codebook) and self._state() == other._state()

    __hash__ = None  # type: ignore[assignment]

    def _state(self):
        return self.patterns.tolist(), self.coefficients, self.unit, self.offset

    def __repr__(self) -> str:
        return f"Codebook({len(self)} codes in {len(self.coefficients)} planes)"

    @property
    def largest(self) -> int:
        """An upper bound of the planes' absolute integers, at borders of equal signs too."""
        return sum(map(abs, self.coefficients)) + abs(self.offset)

    @property
    def bits(self) -> int:
        """The number of bits of a code."""
        return (len(self) - 1).bit_length()

    @property
    def is_sign(self) -> bool:
        """Whether the codes 0 and 1 represent -1 and +1."""
        return self.integers.tolist() == [-1, 1] and self.coefficients == (1,) and self.unit == 1

    def values(self, dtype: type[np.floating] | np.dtype = np.float32) -> np.ndarray:
        """Return the numbers that the codes represent."""
        return self.integers.astype(dtype) * np.dtype(dtype).type(self.unit)

    def planes(self, codes: Array) -> BitPlanes:
        """Return the BitPlanes of codes, uint8 of shape (..., N).

        On a GPU, codes that are too large are not rejected, as the check would wait for the GPU.
        """
        check_numbers("Codebook.planes", codes)
        largest = codes.max(initial=0) if array_module(codes) is np else 0
        if codes.dtype != np.uint8 or largest >= len(self):
            expected = f"uint8 codes below {len(self)}"
            raise InputError(
                f"Codebook.planes: codes are {codes.dtype} up to {largest}; expected {expected}"
            )
        bits = kernel(reference.split_codes)(codes, self._patterns(codes), len(self.coefficients))
        return BitPlanes(bits, self.coefficients, offset=self.offset, unit=self.unit)

    def _patterns(self, codes):
        """Return the patterns on the device of the codes; the copy on the GPU is cached."""
        if array_module(codes) is np:
            return self.patterns
        if array_module(self._on_gpu) is np:
            self._on_gpu = like(self.patterns, codes)
        return self._on_gpu

    def codes(self, planes: BitPlanes) -> np.ndarray:
        """Return the codes of BitPlanes that `planes` returned, uint8 of shape (..., N)."""
        planes, total = to_cpu(planes), np.zeros(planes.shape, np.uint32)
        for plane in range(len(self.coefficients)):
            ones = planes.bits[plane].signs() > 0
            total |= ones.astype(np.uint32) << np.uint32(plane)
        order = np.argsort(self.patterns, kind="stable")
        return order[np.searchsorted(self.patterns[order], total)].astype(np.uint8)


class Thresholds:
    """Integer thresholds that replace batch norm and sign, or batch norm and a k-bit quantizer.

    The sign of unit j is +1 where `z[j] >= values[j]` if the unit is increasing, and where
    `z[j] <= values[j]` if it is decreasing.  The code of a quantizer is the number of thresholds
    of its unit that z passes in this way.

    Parameters
    ----------
    values : int32 array of shape (N,) or (N, L)
        One threshold per unit; or L thresholds per unit for L + 1 codes, L at most 255, which
        increase along the row of an increasing unit and decrease along that of a decreasing one.
    increasing : bool array of shape (N,)
        The direction of each unit.

    Attributes
    ----------
    limits : dict
        A cache of values that products derive from the thresholds.

    Examples
    --------
    >>> len(Thresholds(np.array([2, -3], np.int32), np.array([True, False])))
    2
    """

    __slots__ = ("increasing", "limits", "values")

    def __init__(self, values: Array, increasing: Array) -> None:
        types = values.dtype, increasing.dtype
        fits = values.shape[:1] == increasing.shape and values.shape[1:2] <= (255,)
        if values.ndim not in (1, 2) or not fits or types != (np.int32, np.bool_):
            expected = "int32 (N,) or (N, 255 or fewer), and bool (N,)"
            raise unfit("Thresholds", expected, values, increasing)
        check_one_device("Thresholds", (values, increasing))
        self.values, self.increasing = values, increasing
        self.limits: dict = {}

    _held = property(lambda self: self.values)  # the array that decides the device

    def _moved(self, move):
        """Return a copy with its arrays moved."""
        return Thresholds(move(self.values), move(self.increasing))

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        each = self.values.shape[1] if self.values.ndim == 2 else 1
        return f"Thresholds({len(self)} units, {each} per unit)"


def threshold(z: Array, thresholds: Thresholds) -> Bits:
    """Compare integers with thresholds, which replaces batch norm and sign of a frozen layer.

    Parameters
    ----------
    z : int32 array of shape (..., N)
        Integer pre-activations.
    thresholds : Thresholds
        One threshold for each of N units.

    Returns
    -------
    Bits of shape (..., N)
        The signs.

    Examples
    --------
    >>> z = np.array([[2, 2, 3]], np.int32)
    >>> steps = Thresholds(np.array([2, 3, 2], np.int32), np.array([True, True, False]))
    >>> threshold(z, steps).signs()
    array([[ 1, -1, -1]], dtype=int8)
    """
    check_numbers("threshold", z)
    if z.dtype != np.int32 or z.shape[-1:] != thresholds.values.shape:
        raise unfit("threshold", "int32 (..., N) and N thresholds", z, thresholds.values)
    return kernel(reference.threshold)(z, thresholds)


def rank(z: Array, thresholds: Thresholds) -> Array:
    """Return the code of each integer: the number of thresholds of its column that it passes.

    This replaces batch norm and a monotone k-bit quantizer by 2**k - 1 integer comparisons, as
    `threshold` replaces batch norm and sign.

    Parameters
    ----------
    z : int32 array of shape (..., M)
        Integer pre-activations.
    thresholds : Thresholds
        L thresholds for each of M units.

    Returns
    -------
    uint8 array of shape (..., M)
        Codes from 0 to L.

    Examples
    --------
    >>> values = np.array([[-2, 0, 2], [2, 0, -2]], np.int32)
    >>> steps = Thresholds(values, np.array([True, False]))
    >>> rank(np.array([[-9, -9], [1, 1]], np.int32), steps)
    array([[0, 3],
           [2, 1]], dtype=uint8)
    """
    check_numbers("rank", z, "i", "integers")
    shape = thresholds.values.shape if isinstance(thresholds, Thresholds) else ()
    if z.dtype != np.int32 or len(shape) != 2 or shape[0] != z.shape[-1]:
        raise unfit("rank", "int32 (..., M) and Thresholds (M, L)", z, shape)
    return kernel(reference.rank)(z, thresholds)


def step_codes(x: Array, factor: float, low: float, high: float, nearest: bool = False) -> Array:
    """Return the codes of a uniform quantizer: `round(y) - round(low)`, y = x * factor, clipped.

    A quantizer to multiples of `step` has the factor 1 / step.  Everything is computed in the
    type of x, in this order; NaN counts as `low`.

    Parameters
    ----------
    x : float array of shape (..., N)
        The numbers.
    factor : float
        A factor above 0.
    low, high : float
        The limits of y, at most 255 apart and at most 2**20 from 0.
    nearest : bool, optional
        Whether to round to the nearest integer, ties to even; default: round down.

    Returns
    -------
    uint8 array of shape (..., N)
        Codes from 0 to `round(high) - round(low)`.

    Examples
    --------
    >>> step_codes(np.float32([-9.0, -0.1, 0.0, 0.7]), 1.5, -1.5, 1.5)
    array([0, 1, 2, 3], dtype=uint8)
    >>> step_codes(np.float32([-9.0, 0.3, 9.0]), 2.0, -2, 1, nearest=True)
    array([0, 3, 3], dtype=uint8)
    """
    check_numbers("step_codes", x, "f", "floats")
    if not (0 <= high - low <= 255 and max(abs(low), abs(high)) <= 2**20 and factor > 0):
        raise InputError(
            f"step_codes: factor is {factor!r}, low {low!r} and high {high!r}; expected a factor "
            "above 0, and low <= high, at most 255 apart and at most 2**20 from 0"
        )
    factor, low, high = (x.dtype.type(number) for number in (factor, low, high))
    return kernel(reference.step_codes)(x, factor, low, high, bool(nearest))


def edge_codes(x: Array, edges: Sequence[float], signed: bool) -> Array:
    """Return the number of edges that |x| reaches, counted from the middle code if signed.

    Let c be the number of edges with `|x| >= edge`, of L edges.  Unsigned codes are c where
    x > 0, and 0 elsewhere.  Signed codes are L + c where x > 0 and L - c elsewhere.  NaN reaches
    no edge.

    Parameters
    ----------
    x : float array of shape (..., N)
        The numbers.
    edges : sequence of float
        At most 127 numbers above 0 if signed, otherwise at most 255; compared in the type of x.
    signed : bool
        Whether negative numbers have codes of their own.

    Returns
    -------
    uint8 array of shape (..., N)
        Codes from 0 to L, or from 0 to 2 L if signed.

    Examples
    --------
    >>> edge_codes(np.float32([-9.0, -0.5, 0.0, 0.4, 1.0]), [0.5, 1.0], signed=True)
    array([0, 1, 2, 2, 4], dtype=uint8)
    """
    check_numbers("edge_codes", x, "f", "floats")
    steps, most = np.array(as_numpy(edges), x.dtype), 127 if signed else 255
    if steps.ndim != 1 or len(steps) > most or not (steps > 0).all():
        raise InputError(
            f"edge_codes: edges are {steps.tolist()!r:.300}; expected at most {most}, all above 0"
        )
    return kernel(reference.edge_codes)(x, like(steps, x), bool(signed))
