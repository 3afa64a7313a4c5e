"""An array module that stands in for CuPy, so that a NumPy call on a CuPy array is found.

Its arrays wrap NumPy arrays and are not NumPy arrays themselves.  They offer the part of CuPy 14
and newer that bitnet uses, with CuPy's arguments, and are stricter in three ways: NumPy functions
refuse them (CuPy accepts some), a NumPy array is refused as an index (CuPy copies it to the GPU
silently), and a NumPy array cannot be assigned to an item.  Operators and functions refuse NumPy
arrays of numbers, like CuPy; they accept scalars.
"""

import contextlib
import importlib.machinery
import operator
import sys
import types

import numpy as np

# CuPy's signatures, in its order
FUNCTIONS = {
    "arange": "start stop step dtype",
    "array": "obj dtype copy order subok ndmin blocking",
    "asarray": "a dtype order blocking",
    "ascontiguousarray": "a dtype",
    "broadcast_to": "array shape",
    "clip": "a a_min a_max out",
    "concatenate": "tup axis out dtype casting",
    "copy": "a order",
    "einsum": "* *",
    "empty": "shape dtype order",
    "empty_like": "prototype dtype order subok shape",
    "full": "shape fill_value dtype order",
    "full_like": "a fill_value dtype order subok shape",
    "matmul": "a b out dtype",
    "may_share_memory": "a b max_work",
    "moveaxis": "a source destination",
    "ones": "shape dtype order",
    "packbits": "a axis bitorder",
    "pad": "array pad_width mode constant_values",
    "split": "ary indices_or_sections axis",
    "stack": "tup axis out dtype casting",
    "unpackbits": "a axis bitorder",
    "vdot": "a b",
    "where": "condition x y",
    "zeros": "shape dtype order",
    "zeros_like": "a dtype order subok shape",
}
UFUNCS = """abs add exp floor frexp isfinite isnan ldexp log log1p maximum minimum multiply
    rint sign sqrt subtract tanh"""
METHODS = {
    "all": "axis out keepdims",
    "any": "axis out keepdims",
    "argmax": "axis out dtype keepdims",
    "astype": "dtype order copy",
    "clip": "min max out",
    "copy": "order",
    "item": "",
    "max": "axis out keepdims",
    "mean": "axis dtype out keepdims",
    "min": "axis out keepdims",
    "ravel": "order",
    "repeat": "repeats axis",
    "reshape": "* order",
    "sum": "axis dtype out keepdims",
    "tolist": "",
    "transpose": "*",
    "view": "dtype",
}
FROM_NUMPY = ("array", "asarray")  # what brings an array to the GPU
ARITHMETIC = "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift"
COMPARISONS = "lt le gt ge eq ne"
UNARY = "neg pos abs invert"


class OutOfMemoryError(MemoryError):
    """The exception of CuPy."""


OutOfMemoryError.__module__ = "cupy.cuda.memory"


class Flags:
    """The flags of a CuPy array: nothing is read-only."""

    def __init__(self, own):
        self.c_contiguous, self.f_contiguous = own.flags.c_contiguous, own.flags.f_contiguous


class Array:
    """An array of the stand-in device."""

    __slots__ = ("_own", "_taken")
    __array_ufunc__ = None  # NumPy's scalars leave operators to us
    __hash__ = None

    def __init__(self, own):
        self._taken = 0
        self._own = own
        if own.base is None:  # no view
            self._taken = _take(own.nbytes)

    def __del__(self):
        if self._taken:
            _give(self._taken)

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Use `.get()`.")

    def get(self):
        _wait()
        return self._own.copy()

    shape = property(lambda self: self._own.shape)
    dtype = property(lambda self: self._own.dtype)
    ndim = property(lambda self: self._own.ndim)
    size = property(lambda self: self._own.size)
    nbytes = property(lambda self: self._own.nbytes)
    itemsize = property(lambda self: self._own.itemsize)
    strides = property(lambda self: self._own.strides)
    flags = property(lambda self: Flags(self._own))
    T = property(lambda self: Array(self._own.T))
    data = property(lambda self: types.SimpleNamespace(ptr=self._own.ctypes.data))  # no numbers

    def __len__(self):
        return len(self._own)

    def __iter__(self):
        return map(wrapped, iter(self._own))

    def __repr__(self):
        return repr(self._own)

    def __str__(self):
        return str(self._own)

    def __format__(self, words):
        return format(self._own, words)

    def __getitem__(self, index):
        if isinstance(index, Array) and index.dtype == np.bool_:
            _wait()  # for the length of what comes
        return wrapped(self._own[bare(index)])

    def __setitem__(self, index, value):
        self._own[bare(index)] = bare(value)

    def __bool__(self):
        return bool(self.get())

    def __int__(self):
        return int(self.get())

    def __float__(self):
        return float(self.get())

    def __deepcopy__(self, memo):
        return Array(self._own.copy())


Array.__module__, Array.__name__ = "cupy", "ndarray"


def bare(x):
    """Return the NumPy array in a stand-in array, or the scalar itself; refuse NumPy arrays."""
    if isinstance(x, Array):
        return x._own
    if isinstance(x, (tuple, list)):
        return type(x)(map(bare, x))
    if isinstance(x, np.ndarray):
        raise TypeError(f"Unsupported type {type(x)}")
    return x


def wrapped(y):
    """Return a result of NumPy as an array of the stand-in, scalars too."""
    if isinstance(y, (np.ndarray, np.generic)):
        return Array(np.asarray(y))
    return type(y)(map(wrapped, y)) if isinstance(y, (tuple, list)) else y


def checked(name, signature, args, kwargs):
    """Refuse arguments that the CuPy function does not have."""
    names = signature.split()
    if unknown := [key for key in kwargs if key not in names and "*" not in names[1:]]:
        raise TypeError(f"{name}() got an unexpected keyword argument {unknown[0]!r}")
    if "*" not in names and len(args) > len(names):
        raise TypeError(f"{name}() takes {len(names)} arguments; got {len(args)}")


def function(name):
    """Return the CuPy function with this name."""
    own = np.lib.stride_tricks.sliding_window_view if name == "windows" else getattr(np, name)
    signature = FUNCTIONS.get(name, "x window_shape axis subok writeable")

    def call(*args, **kwargs):
        checked(name, signature, args, kwargs)
        kwargs.pop("blocking", None)
        along = len(args) > 1 or kwargs.get("axis") is not None
        if name in ("packbits", "unpackbits") and (along or args[0].dtype.kind not in "biu"):
            raise NotImplementedError("axis option is not supported yet")
        if name in FROM_NUMPY and isinstance(args[0], np.ndarray):
            return Array(np.array(*args, **{k: bare(v) for k, v in kwargs.items()}))
        y = own(*bare(args), **{k: bare(v) for k, v in kwargs.items()})
        same = [x for x in args[:1] if isinstance(x, Array) and x._own is y]  # such as asarray
        if name in ("empty", "empty_like"):  # not zeros
            y.fill(77)
        return same[0] if same else wrapped(y)

    return call


class Ufunc:
    """The CuPy ufunc with this name."""

    def __init__(self, name):
        self.own = getattr(np, name)

    def __call__(self, *args, out=None):
        args = bare(args)
        if not any(isinstance(x, np.ndarray) for x in args):
            raise TypeError("not a CuPy array")
        if out is None:
            return wrapped(self.own(*args))
        self.own(*args, out=bare(out))
        return out

    def at(self, a, indices, b):
        self.own.at(*bare((a, indices, b)))


def _method(name):
    def call(self, *args, **kwargs):
        checked(name, METHODS[name], args, kwargs)
        out = kwargs.get("out")
        if name in ("item", "tolist"):
            _wait()
        other_size = name == "view" and np.dtype(args[0]).itemsize != self.itemsize
        if other_size and not self._own.flags.c_contiguous:  # CuPy takes another axis, or refuses
            raise ValueError("an array has to be C-contiguous for a dtype of another size")
        y = getattr(self._own, name)(*bare(args), **{k: bare(v) for k, v in kwargs.items()})
        if y is self._own:  # such as astype(copy=False)
            return self
        return wrapped(y) if out is None else out

    return call


def _operator(name):
    operate = getattr(operator, f"__{name}__")
    return lambda self, other: _operated(operate, self._own, other)


def _reflected(name):
    operate = getattr(operator, f"__{name}__")
    return lambda self, other: _operated(lambda a, b: operate(b, a), self._own, other)


def _in_place(name):
    operate = getattr(operator, f"__i{name}__")

    def call(self, other):
        before, self_own = self._own, operate(self._own, bare(other))
        if self_own is not before:  # for arrays without axes
            before[...] = self_own
        return self

    return call


def _operated(operate, own, other):
    if not isinstance(other, (Array, np.ndarray, np.generic, bool, int, float)):
        return NotImplemented
    return wrapped(operate(own, bare(other)))


def _unary(name):
    operate = getattr(operator, f"__{name}__")
    return lambda self: wrapped(operate(self._own))


for name in (ARITHMETIC + " " + COMPARISONS).split():
    setattr(Array, f"__{name}__", _operator(name))
for name in ARITHMETIC.split():
    setattr(Array, f"__r{name}__", _reflected(name))
    if name != "matmul":
        setattr(Array, f"__i{name}__", _in_place(name))
for name in UNARY.split():
    setattr(Array, f"__{name}__", _unary(name))
for name in METHODS:
    setattr(Array, name, _method(name))


class Stream:
    """A stream in which nothing waits."""

    def __init__(self, non_blocking=False):
        self.waited_for = False

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def synchronize(self):
        self.waited_for = True


waits = 0  # how often the CPU waited for values from the device


def _wait():
    global waits
    waits += 1


room_bytes = None  # free memory of the device; None: no limit


def _take(n_bytes):
    """Take memory for an array; return the bytes to give back."""
    global room_bytes
    if room_bytes is None:
        return 0
    if n_bytes > room_bytes:
        raise OutOfMemoryError(f"Out of memory allocating {n_bytes:,} bytes.")
    room_bytes -= n_bytes
    return n_bytes


def _give(n_bytes):
    """Give the memory of an array back."""
    global room_bytes
    if room_bytes is not None:
        room_bytes += n_bytes


@contextlib.contextmanager
def memory_of(n_bytes):
    """Limit the memory of the device to `n_bytes` inside a `with` block."""
    global room_bytes
    room_bytes = n_bytes
    try:
        yield
    finally:
        room_bytes = None


def cupy():
    """Return a new stand-in module."""
    module = types.ModuleType("cupy", "A stand-in for CuPy.")
    module.__spec__ = importlib.machinery.ModuleSpec("cupy", None)
    module.ndarray = Array
    for name in FUNCTIONS:
        setattr(module, name, function(name))
    for name in UFUNCS.split():
        setattr(module, name, Ufunc(name))
    tricks = types.SimpleNamespace(sliding_window_view=function("windows"))
    module.lib = types.SimpleNamespace(stride_tricks=tricks)
    facts = {"name": b"no device", "major": 9, "minor": 0, "totalGlobalMem": 1 << 30}
    runtime = types.SimpleNamespace(
        driverGetVersion=lambda: 12090,
        runtimeGetVersion=lambda: 12090,
        getDeviceCount=lambda: 1,
        getDevice=lambda: 0,
        getDeviceProperties=lambda i: facts,
    )
    current = Stream()
    module.cuda = types.SimpleNamespace(
        runtime=runtime,
        Stream=Stream,
        get_current_stream=lambda: current,
        cublas=types.SimpleNamespace(create=None),
    )
    return module


@contextlib.contextmanager
def installed():
    """Let `import cupy` give the stand-in inside a `with` block; yield the module."""
    before = sys.modules.get("cupy")
    sys.modules["cupy"] = module = cupy()
    try:
        yield module
    finally:
        if before is None:
            del sys.modules["cupy"]
        else:
            sys.modules["cupy"] = before
