"""The table of formats that a frozen net can be exported to."""

import dataclasses
from collections.abc import Callable

from bitnet.deploy.runtime import FrozenNet
from bitnet.export.c.header import to_c
from bitnet.export.python.printer import to_python


@dataclasses.dataclass(frozen=True)
class Format:
    """A format: its text, its suffix, the options that it takes, and how it is written."""

    about: str
    suffix: str
    options: tuple[str, ...]
    text: Callable[..., str]


def _c(net: FrozenNet, name: str, **options: object) -> str:
    """Return the header of a net."""
    return to_c(net, name, **options)  # type: ignore[arg-type]


def _python(net: FrozenNet, name: str, **options: object) -> str:
    """Return the Python file of a net."""
    return to_python(net, **options)  # type: ignore[arg-type]


C_OPTIONS = ("first", "scores", "main", "steps")
FORMATS = {
    "c": Format("a header in C99 and C++", ".h", C_OPTIONS, _c),
    "python": Format("one file of Python", ".py", ("steps",), _python),
}
