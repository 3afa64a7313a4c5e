"""The header of every table: the processor, the versions, the BLAS and the kernels."""

import argparse
import importlib.metadata
import importlib.util
import pathlib

from bitnet.cli import status

SHOWN = ("python", "processor", "numpy", "numba", "kernels", "threads", "blas")


def positive(text):
    """Parse an integer of 1 or more, for argparse."""
    if not text.isdigit() or not 1 <= int(text) <= 10**9:
        raise argparse.ArgumentTypeError(f"{text!r}; expected a whole number from 1 to 1e9")
    return int(text)


def missing(*packages):
    """Return a sentence with the packages that are not installed, or None."""
    absent = [name for name in packages if importlib.util.find_spec(name) is None]
    if not absent:
        return None
    return f"{' and '.join(absent)} not installed; run `pip install -e '.[bench]'`"


def processor():
    """Return the name and the number of the processors, if the system reports them."""
    path = pathlib.Path("/proc/cpuinfo")
    if not path.exists():
        return []
    lines = [line.partition(":") for line in path.read_text().splitlines()]
    fields = [(name.strip(), value.strip()) for name, _, value in lines]
    names = [value for name, value in fields if name == "model name"]
    models = [
        f"{name} {value}"
        for name, _, value in lines
        for name in [name.strip()]
        if name in ("cpu family", "model")
    ][:2]
    return [f"{len(names)} x {names[0]} ({','.join(models)})".replace("\t", "")] if names else []


def lines(*packages):
    """Return the lines to print before a table, with the versions of more packages."""
    for name in processor():
        yield name
    for name, fact in status.facts():
        if name in SHOWN:
            yield f"{name} {fact}"
    for package in packages:
        try:
            yield f"{package} {importlib.metadata.version(package)}"
        except importlib.metadata.PackageNotFoundError:
            yield f"{package} is not installed"
