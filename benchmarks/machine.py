"""What stands beside every table: the processor, the versions, the BLAS and the kernels."""

import importlib.metadata
import pathlib

import bitnet.__main__ as command

SHOWN = ("python", "processor", "numpy", "numba", "kernels", "threads", "blas")


def processor():
    """The processor's name, and how many there are, where the system tells."""
    path = pathlib.Path("/proc/cpuinfo")
    if not path.exists():
        return []
    lines = [line.partition(":") for line in path.read_text().splitlines()]
    fields = [(name.strip(), value.strip()) for name, _, value in lines]
    names = [value for name, value in fields if name == "model name"]
    models = [f"{name} {value}" for name, _, value in lines for name in [name.strip()]
              if name in ("cpu family", "model")][:2]  # fmt: skip
    return [f"{len(names)} x {names[0]} ({','.join(models)})".replace("\t", "")] if names else []


def lines(*packages):
    """The lines to print before a table; the versions of more packages by their names."""
    for name in processor():
        yield name
    for name, fact in command.facts():
        if name in SHOWN:
            yield f"{name} {fact}"
    for package in packages:
        yield f"{package} {importlib.metadata.version(package)}"
