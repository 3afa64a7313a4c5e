"""A Python without optional packages."""

import pathlib
import venv

import numpy as np

import bitnet


def numpy_alone(folder):
    """Make a Python with NumPy and the source of the package only; return its path."""
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = pathlib.Path(folder).glob("lib/python*/site-packages")
    numpy = pathlib.Path(np.__file__).parent
    for source in (numpy, numpy.with_name("numpy.libs"), pathlib.Path(bitnet.__file__).parent):
        if source.exists():
            (site / source.name).symlink_to(source)
    return pathlib.Path(folder) / "bin" / "python"
