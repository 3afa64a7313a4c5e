"""Frozen nets in other languages: C, and one file of Python."""

from typing import TYPE_CHECKING

from bitnet import lazily

if TYPE_CHECKING:
    from bitnet.export.c.header import to_c as to_c
    from bitnet.export.c.host import Compiled as Compiled
    from bitnet.export.python.printer import to_python as to_python

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
        "bitnet.export.c.header": "to_c",
        "bitnet.export.c.host": "Compiled",
        "bitnet.export.python.printer": "to_python",
    },
)
