"""The file of a frozen net: a header and arrays in one archive, read completely or rejected.

The header has the list of nodes; array `x` of node i is the member `i.x`.  docs/file-format.md is
the specification.
"""

import importlib
import json

from bitnet.archive import MAX_BYTES, kind_of, read_archive, to_json, write_archive
from bitnet.errors import InputError

KIND, LANGUAGE_MODEL, VERSION = "frozen net", "frozen language model", 2
READERS = {
    KIND: "bitnet.deploy.runtime:FrozenNet",
    LANGUAGE_MODEL: "bitnet.deploy.language:FrozenLanguageModel",
}


def save(net, path):
    """Write a frozen net to a file or a stream, completely or not at all.

    What `load` would refuse is refused before the file is touched.
    """
    header, arrays = net.contents()
    try:
        type(net).from_contents(json.loads(to_json(header)), dict(arrays))
    except InputError as error:
        raise InputError(f"{net} cannot be saved: {error}") from None
    write_archive(path, net.kind, VERSION, header, arrays)


def load(path, max_bytes=MAX_BYTES):
    """Read a frozen net or language model from a file, or refuse it; see `bitnet.load`."""
    try:
        kind = kind_of(path)
    except InputError:
        kind = KIND  # `read_archive` names the fault
    kind = kind if kind in READERS else KIND
    header, arrays = read_archive(path, kind, VERSION, max_bytes)
    module, name = READERS[kind].split(":")
    try:
        return getattr(importlib.import_module(module), name).from_contents(header, arrays)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
