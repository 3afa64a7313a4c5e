"""A net of bits in one file: python FILE [--scores | --self-test] [INPUTS.raw]

Raw inputs come from a file or from standard input; a line per input has its class, or its scores.
In Python: `predict(x)`, `scores(x)`, `integers(x)` of one input, a sequence of numbers.  It needs
nothing but Python 3.8 or MicroPython; NumPy, where it is there, makes large products faster.
"""

import struct
import sys

try:
    import numpy as np
except ImportError:
    np = None

NODES, OUTPUTS, STEPS, ABOUT, DATA = [], [], 1, {}, ""  # the net: replaced by the exporter

LARGE = 1 << 16  # elements of weights from which NumPy is faster than integers
TOP = 4095, 2552550, 523783260, 41247931725, 1159525191825, 7905853580625  # of tanh
BOTTOM = 120120, 41351310, 5237832600, 252070693875, 3794809718700, 7905853580625
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"


def f32(x):
    """Return a float rounded to float32."""
    return struct.unpack("<f", struct.pack("<f", x))[0]


def ones(x):
    """Return the number of ones of an integer."""
    return bin(x).count("1")


def size(shape):
    """Return the number of elements."""
    n = 1
    for own in shape:
        n *= own
    return n


class Value:
    """Numbers in `flat`; or packed ones, for each position the planes as integers of n bits."""

    def __init__(self, shape, flat=None, rows=None, book=None, is_float=False):
        self.shape, self.flat, self.rows, self.is_float = tuple(shape), flat, rows, is_float
        self.book = book or ((1,), 0, 1.0)
        self.coefficients, self.offset, self.unit = self.book

    def numbers(self):
        """Return the integers of packed values, or the numbers."""
        if self.rows is None:
            return self.flat
        pairs = tuple(enumerate(self.coefficients))
        each = range(self.shape[-1])
        value = lambda row, i: sum(c if row[b] >> i & 1 else -c for b, c in pairs) + self.offset
        return [value(row, i) for row in self.rows for i in each]


def decoded(text):
    """Return the bytes of base85 text."""
    found, of = bytearray(), {c: i for i, c in enumerate(DIGITS)}
    for start in range(0, len(text), 5):
        n = 0
        for c in text[start : start + 5]:
            n = 85 * n + of[c]
        found += n.to_bytes(4, "big")
    return found


def arrays(nodes, content):
    """Replace (offset, type, shape) in the nodes by numbers."""
    for node in nodes:
        for name, own in node.items():
            if isinstance(own, dict) and "array" in own:
                start, kind, shape = own["array"]
                count = size(shape)
                flat = struct.unpack_from("<%d%s" % (count, kind), content, start)
                node[name] = Value(shape, list(flat), is_float=kind == "f")
    return nodes


def book_of(node):
    """Return the patterns of a codebook; its coefficients, offset and unit."""
    own = node["codebook"] or {"patterns": [0, 1], "coefficients": [1], "offset": 0, "unit": 1.0}
    return own["patterns"], (tuple(own["coefficients"]), own["offset"], own["unit"])


def packed(shape, codes, node):
    """Return codes as packed values."""
    patterns, book = book_of(node)
    n, rows = shape[-1], []
    for start in range(0, len(codes), n):
        own = [patterns[code] for code in codes[start : start + n]]
        rows.append([bits_of([p >> b & 1 for p in own]) for b in range(len(book[0]))])
    return Value(shape, rows=rows, book=book)


def bits_of(bits):
    """Return an integer with these bits, the first one lowest."""
    return int("".join("1" if bit else "0" for bit in reversed(bits)), 2) if bits else 0


def weights(node):
    """Return packed weights: for each row and plane an integer; rows of all taps of a filter."""
    n, own = node["columns"], node["bits"]
    bytes_per, shape = own.shape[-1], own.shape[:-1]
    parts = [own.flat[i : i + bytes_per] for i in range(0, len(own.flat), bytes_per)]
    each = [int.from_bytes(bytes(part), "little") for part in parts]
    patterns, book = book_of(node)
    if node["codebook"]:  # stored as the bits of the codes
        half = len(each) // shape[0]
        codes = zip(*(each[b * half : (b + 1) * half] for b in range(shape[0])))
        found, shape = [], shape[1:]
        for row in codes:
            own = [
                patterns[sum((bit >> i & 1) << b for b, bit in enumerate(row))] for i in range(n)
            ]
            found.append([bits_of([p >> b & 1 for p in own]) for b in range(len(book[0]))])
    else:
        found = [[own] for own in each]
    return Value(shape + (n,), rows=found, book=book)
