"""The file of a frozen net: a header and arrays in one archive, read completely or rejected.

A net consists of parts (layers, matrices, cells).  Each part has `contents()`, which returns a
JSON header and its arrays by name, and `from_contents(header, arrays)`, which checks both.  Neither
the parts nor this module know the net they belong to.  The array `x` of part `I` is the member
`I.x`.

Weights are the member `bits`: row after row, ceil(N / 8) bytes per row, element i in bit `i % 8`
of byte `i // 8`, 1 for +1, padding 0; `inputs` in the header is N.  k-bit weights are k planes,
(k, M, ...) bytes: plane j holds bit j of the code of each weight.  The header gives the values of
the codes, as a Codebook or the name of a quantizer; without either they are ±1.
"""

import importlib

from bitnet.archive import kind_of, read_archive, write_archive
from bitnet.errors import InputError

KIND, LANGUAGE_MODEL, VERSION = "frozen net", "frozen language model", 1
MAX_BYTES = 1 << 30
READERS = {
    KIND: "bitnet.deploy.runtime:FrozenNet",
    LANGUAGE_MODEL: "bitnet.deploy.recurrent:FrozenLanguageModel",
}
CONVENTION = {
    "bits": "1 is +1, 0 is -1; element i of a row is bit i%8 of byte i//8; padding 0",
    "numbers": "little-endian",
    "pixels": "p counts as 2p-255",
    "increasing": "1: z>=threshold gives +1; 0: z<=threshold gives +1",
}


def contents(net):
    """Return the header of the file of a net, and its arrays by name."""
    header, arrays = net.contents()
    return {"convention": CONVENTION, **header}, arrays


def save(net, path):
    """Write a frozen net to a file, completely or not at all."""
    write_archive(path, net.kind, VERSION, *contents(net))


def load(path, max_bytes=MAX_BYTES):
    """Read a frozen net or language model from a file, or refuse it; see `bitnet.load`."""
    try:
        kind = kind_of(path)
    except InputError:
        kind = KIND  # `read_archive` names the fault
    kind = kind if kind in READERS else KIND
    header, arrays = read_archive(path, kind, VERSION, max_bytes)
    module, name = READERS[kind].split(":")
    reader = getattr(importlib.import_module(module), name)
    try:
        if header.pop("convention", None) != CONVENTION:
            raise InputError(
                "the header has a convention different from that of this version of bitnet; freeze "
                "the model again"
            )
        return reader.from_contents(header, arrays)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def contents_of(parts):
    """Return the headers of named parts by name, and all their arrays as "part.array"."""
    found = {name: part.contents() for name, part in parts.items()}
    headers = {name: header for name, (header, _) in found.items()}
    arrays = {f"{name}.{own}": a for name in found for own, a in found[name][1].items()}
    return headers, arrays


def apart(arrays):
    """Return the arrays "part.array" by part, then by name; those without a part are in ""."""
    parts = {}
    for name, array in arrays.items():
        part, dot, own = name.partition(".")
        parts.setdefault(part if dot else "", {})[own or part] = array
    return parts


def check_names(what, given, names, optional=()):
    """Refuse a header or arrays whose names are not these."""
    if not isinstance(given, dict) or not set(names) <= set(given) <= {*names, *optional}:
        found = sorted(given) if isinstance(given, dict) else given
        raise InputError(f"{what} has {found!r:.80}; expected {', '.join(sorted(names))}")


def check_list(what, given, most):
    """Refuse an entry of a header that is not a list of 1 to `most` parts."""
    if not isinstance(given, list) or not 1 <= len(given) <= most:
        raise InputError(f"the header has {what} {given!r:.60}; expected 1 to {most} of them")


def whole(given):
    """Return a number of a header; refuse anything but a whole number of 1 or more."""
    if type(given) is not int or given < 1:
        raise InputError(f"the header has {given!r:.60}; expected a whole number of 1 or more")
    return given
