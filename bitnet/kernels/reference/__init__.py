"""The definition of every kernel in a line or two of NumPy; all other versions must equal it.

Arguments are valid here: `bitnet.kernels` has checked them.  Shapes: B rows of a batch,
M outputs, N inputs, K words in a row.  `xp` is NumPy, or CuPy for CuPy's arrays: what is said
here runs on a GPU too, with the functions and arguments that both have.
"""

# ruff: noqa: F403  (all definitions, under one name)

from bitnet.kernels.reference.cells import *
from bitnet.kernels.reference.conv import *
from bitnet.kernels.reference.norm import *
from bitnet.kernels.reference.pack import *
from bitnet.kernels.reference.pool import *
from bitnet.kernels.reference.products import *
from bitnet.kernels.reference.rounding import *
from bitnet.kernels.reference.update import *
