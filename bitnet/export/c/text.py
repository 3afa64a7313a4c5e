"""C as text: names, numbers, arrays, and the functions in `parts`."""

import functools
import pathlib
import re

import numpy as np

from bitnet.errors import InputError

PARTS = pathlib.Path(__file__).parent / "parts"
TYPES = {"uint32": "32", "int32": "32", "int16": "16", "uint16": "16", "uint8": "8", "float32": "F"}
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
WIDTH = 100  # columns


@functools.cache
def reserved():
    """Return the words of C and C++."""
    return frozenset((PARTS / "reserved.txt").read_text().split())


def check_name(name: str) -> None:
    """Refuse a name that cannot begin the names in C and C++."""
    if not isinstance(name, str) or not NAME.fullmatch(name) or name in reserved():
        expected = "a letter, then letters, digits or _, and no word of C or C++"
        raise InputError(f"the name is {name!r:.60}; expected {expected}, such as digits_net")


def named(text, name):
    """Return C with the name of the net instead of `net_` and `NET_`."""
    return re.sub(r"\bNET_", f"{name.upper()}_", re.sub(r"\bnet_", f"{name}_", text))


@functools.cache
def part(name):
    """Return the C function `net_NAME`."""
    return (PARTS / f"{name}.h").read_text()


def number(value):
    """Return a number as a constant in C, a float32 with all its bits."""
    if isinstance(value, (int, np.integer)):
        # -2147483648 is no constant in C, but the negative of one that is too large
        return str(int(value)) if value > -(2**31) else "(-2147483647 - 1)"
    text = f"{np.float32(value):.9g}"
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"


def array(name, values):
    """Return the definition of a constant array."""
    kind = str(values.dtype)
    own = "float" if kind == "float32" else f"{kind}_t"
    flat = values.ravel()
    if kind == "uint32":
        texts = [f"0x{value:08x}u" for value in flat.tolist()]
    else:
        texts = [number(value) for value in (flat if kind == "float32" else flat.tolist())]
    lines = wrapped(", ".join(texts), "    ")
    declared = f"static const {own} {name}[{max(flat.size, 1)}] NET_FLASH NET_ALIGN"
    return f"{declared} = {{\n{lines}\n}};\n"


def wrapped(text, before, width=WIDTH):
    """Return text in lines, each with some spaces before it."""
    lines, line = [], before
    for word in text.split(" "):
        if len(line) + len(word) > width:
            lines.append(line.rstrip())
            line = before
        line += f"{word} "
    return "\n".join([*lines, line.rstrip()])


def comment(text):
    """Return a comment of one or more lines."""
    lines = wrapped(text.replace("*/", "* /"), "   ", WIDTH - 3)
    return f"/* {lines.strip()} */\n"


def block(lines, indent=1):
    """Return lines of statements, indented by their braces."""
    found = []
    for line in lines:
        if line.startswith("#"):
            found.append(line)
            continue
        depth = indent - line.startswith("}")
        found.append(f"{'    ' * depth}{line}" if line else "")
        indent += line.count("{") - line.count("}")
    return "\n".join(found)
