"""Damage to files: bytes, and headers, arrays and members of archives with a valid seal again."""

import copy
import hashlib
import io
import json
import warnings
import zipfile

import numpy as np
from frozen_nets import places, put

MARK = "a deep list comes here"
BLANK = b"sha256 " + b"0" * 64
NUMBERS = [-1, 0, 1, 2, 3, 7, 64, 255, 2**16, 2**28, 2**31 - 1, 2**31, 2**63, 10**30, -(2**40)]
VALUES = [None, True, False, *NUMBERS, 0.5, -0.0, 1e300, 1e-300, float("nan"), float("inf"), ""]
VALUES += ["B", "T*B", "3*B", "999999999*B", "linear", "signs", "float64", "x" * 5000, [], [1], {}]
VALUES += [[0, 1], [[1, 1], [0, 0]], ["B", 4], ["B", 2**27], {"slice": [0, 1, 1]}, "...", [[]] * 9]
TYPES = (
    "|b1",
    "|u1",
    "|i1",
    "<i4",
    "<i8",
    "<f4",
    "<f8",
    ">f4",
    "<f2",
    "<U4",
    "|O",
    "<c8",
    "<M8[s]",
)
FLOATS = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, 1e30, -1e30]


def one_of(rng, options):
    """Return one of some options."""
    return options[rng.integers(len(options))]


def damaged_bytes(rng, content):
    """Return bytes with a few changes, and the name of the last one."""
    content = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        how = one_of(rng, ["bit", "byte", "truncate", "remove", "insert", "twice", "zero", "ones"])
        at = int(rng.integers(len(content) + 1))
        end = at + int(rng.choice([1, 2, 4, 8, 100]))
        own = content[at:end]
        if how == "bit" and own:
            content[at] ^= 1 << int(rng.integers(8))
        elif how == "byte" and own:
            content[at] = int(rng.choice([0, 1, 127, 128, 255, 48, 57, 34, 91, 123]))
        elif how == "truncate":
            del content[at:]
        elif how == "remove":
            del content[at:end]
        elif how == "insert":
            content[at:at] = rng.bytes(end - at)
        elif how == "twice":
            content[at:at] = own
        else:
            content[at:end] = (b"\0" if how == "zero" else b"\xff") * len(own)
    return bytes(content), how


def members_of(content):
    """Return the members of an archive: pairs of a name and bytes."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def sealed(members, method=zipfile.ZIP_STORED):
    """Return an archive with valid CRC-32s and a valid SHA-256."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.comment = BLANK
        for name, content in members:
            with warnings.catch_warnings(action="ignore"):  # about names that are there twice
                archive.writestr(zipfile.ZipInfo(name), content, method)
    return with_seal(stream.getvalue())


def with_seal(content):
    """Return bytes whose last 64 are the SHA-256 of the others."""
    content = content[: max(0, len(content) - 64)]
    return content + hashlib.sha256(content).hexdigest().encode()


def npy(array):
    """Return an array as the bytes of a `.npy` member."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=False)
    return stream.getvalue()


def damaged_archive(rng, content):
    """Return an archive with changes inside and a valid seal, and the name of the change."""
    ways = {
        "value of the header": header_value,
        "text of the header": header_text,
        "array": array_changed,
        "start of a member": member_start,
        "bytes of a member": member_bytes,
        "members": members_changed,
    }
    names = [*ways, "value of the header", "value of the header", "array", "seal alone"]
    how = one_of(rng, names)
    if how == "seal alone":
        at = content.rindex(b"PK\x05\x06") - 46 * int(rng.integers(0, 9))  # near the directory
        if rng.random() < 0.5:
            tail, _ = damaged_bytes(rng, content[at:])
            return with_seal(content[:at] + tail), how
        return with_seal(damaged_bytes(rng, content)[0]), how
    members = members_of(content)
    for _ in range(one_of(rng, [1, 1, 1, 2, 3])):
        members = ways[how](rng, members)
    method = zipfile.ZIP_DEFLATED if rng.random() < 0.02 else zipfile.ZIP_STORED
    return sealed(members, method), how


def header_of(members):
    """Return the JSON text of the header, or None."""
    own = dict(members).get("header.npy", b"")
    begin = 10 + int.from_bytes(own[8:10], "little")
    return own[begin:].decode("latin1") if begin < len(own) else None


def with_header(members, text):
    """Return members with another header."""
    own = npy(np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8))
    return [(name, own if name == "header.npy" else content) for name, content in members]


def header_value(rng, members):
    """Change a value of the header, or its place."""
    text = header_of(members) or ""
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        return members
    if not isinstance(header, dict) or "[" * 100 in text:
        return members
    path = one_of(rng, places(header))
    here = header
    for key in path[:-1]:
        here = here[key]
    how = one_of(rng, ["value", "value", "near", "other", "remove", "twice", "reverse", "deep"])
    if how == "value":
        here[path[-1]] = copy.deepcopy(one_of(rng, VALUES))
    elif how == "near" and type(here[path[-1]]) in (int, float):
        here[path[-1]] += one_of(rng, [-1, 1, 2, here[path[-1]], -2 * here[path[-1]], 0.5])
    elif how == "near" and isinstance(here[path[-1]], str):
        here[path[-1]] = one_of(rng, [here[path[-1]][:-1], here[path[-1]] * 2, "é\0\ud800"])
    elif how == "other":
        value = header
        for key in one_of(rng, places(header)):
            value = value[key]
        put(header, path, copy.deepcopy(value))
    elif how == "remove":
        del here[path[-1]]
    elif how == "deep":
        here[path[-1]] = MARK
    elif isinstance(here, list):
        here[:] = here[::-1] if how == "reverse" else [*here, copy.deepcopy(here[path[-1]])]
    depth = int(rng.choice([10, 200, 900, 100_000]))
    text = json.dumps(header).replace(f'"{MARK}"', "[" * depth + "]" * depth)
    return with_header(members, text)


def header_text(rng, members):
    """Change the text of the header."""
    text = header_of(members)
    if not text:
        return members
    how = one_of(rng, ["bytes", "deep", "number", "key", "long"])
    at = int(rng.integers(len(text)))
    if how == "bytes":
        return with_header(members, damaged_bytes(rng, text.encode("latin1"))[0].decode("latin1"))
    if how == "deep":
        return with_header(members, text[:at] + one_of(rng, ["[", '{"a":']) * 100_000 + text[at:])
    digits = [i for i, letter in enumerate(text) if letter.isdigit()]
    if how == "number" and digits:
        at = one_of(rng, digits)
        big = one_of(rng, ["9" * 5000, "1e999", "-1e999", "NaN", "-Infinity", "1e-999", "9" * 300])
        return with_header(members, text[:at] + big + text[at + 1 :])
    if how == "key":
        return with_header(members, '{"kind": "frozen net", ' + text[1:])
    return with_header(members, text[:at] + " " * 10**6 + text[at:])


def array_changed(rng, members):
    """Change the type, the shape or the numbers of an array."""
    at = int(rng.integers(len(members)))
    name, content = members[at]
    try:
        array = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False).copy()
    except (ValueError, EOFError, OSError, SyntaxError, UnicodeError):
        return members
    if name == "header.npy":
        return members
    how = one_of(rng, ["type", "shape", "shape", "number", "number", "near", "near", "shuffle"])
    if how == "type":
        with np.errstate(all="ignore"):
            array = array.astype(one_of(rng, TYPES[:9]))
    elif how == "shape":
        options = [array[None], array[..., None], array.ravel(), array.T.copy()]
        if array.ndim:
            options += [np.concatenate([array, array]), array[1:], array[:0], array[::-1].copy()]
        array = one_of(rng, options)
    elif how == "number" and array.size:
        flat = array.reshape(-1)
        values = FLOATS if array.dtype.kind == "f" else [0, 1, 127, 128, 255, 2**31 - 1, -(2**31)]
        count = one_of(rng, [1, 1, 3, len(flat)])
        own = np.array(rng.choice(values, count))
        with np.errstate(all="ignore"):
            flat[rng.choice(len(flat), count)] = own.astype(array.dtype)
    elif how == "near" and array.size:
        at = rng.integers(array.size)
        with np.errstate(all="ignore"):
            array.reshape(-1)[at : at + 1] += np.array(one_of(rng, [1, -1])).astype(array.dtype)
    elif how == "shuffle":
        array = rng.permutation(array.reshape(-1)).reshape(array.shape)
    return [*members[:at], (name, npy(array)), *members[at + 1 :]]


def member_start(rng, members):
    """State another type or shape in a `.npy` member."""
    at = int(rng.integers(len(members)))
    name, content = members[at]
    begin = 10 + int.from_bytes(content[8:10], "little")
    shapes = [
        "(3,)",
        "()",
        "(0,)",
        "(9999999999,)",
        "(1,)",
        "(2, 2)",
        "(-1,)",
        "(0, 9223372036854775807)",
    ]
    shapes += ["(" + "1, " * 40 + ")", "(0, 0, 0)", "(1,2)", "(4294967296, 4294967296)"]
    text = "{'descr': '%s', 'fortran_order': %s, 'shape': %s, }"
    text %= one_of(rng, TYPES), one_of(rng, ["False", "False", "True"]), one_of(rng, shapes)
    text = text.ljust(117) + "\n"
    start = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()
    return [*members[:at], (name, start + content[begin:]), *members[at + 1 :]]


def member_bytes(rng, members):
    """Change bytes of a member."""
    at = int(rng.integers(len(members)))
    name, content = members[at]
    return [*members[:at], (name, damaged_bytes(rng, content)[0]), *members[at + 1 :]]


def members_changed(rng, members):
    """Remove, repeat, rename or move members."""
    at, other = (int(own) for own in rng.integers(len(members), size=2))
    content = members[at][1]
    how = one_of(rng, ["remove", "twice", "rename", "move", "exchange", "more"])
    rest = members[:at] + members[at + 1 :]
    if how == "remove":
        return rest or members
    if how == "twice":
        return [*members, members[at]]
    if how == "move":
        return [*rest[:other], members[at], *rest[other:]]
    if how == "exchange":
        pair = {at: other, other: at}
        return [(own, members[pair.get(i, i)][1]) for i, (own, _) in enumerate(members)]
    names = ["x.npy", "../x.npy", "/x", "0.bits.npy", "99999.bits.npy", "-1.x.npy", "é.npy", ".npy"]
    names += ["1..npy", "01.bits.npy", "header.npy", "model/x.npy", "extra/begun.x.npy", "x" * 9000]
    named = one_of(rng, names), content
    return [*members, named] if how == "more" else [*members[:at], named, *members[at + 1 :]]
