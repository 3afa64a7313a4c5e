"""The definition of every kernel in a few lines of NumPy; all other versions return the same.

Arguments are valid here: `bitnet.kernels` has checked them.  Shapes: B rows of a batch,
M outputs, N inputs, K words per row.  `xp` is NumPy, or CuPy for CuPy arrays.  The definitions
use only functions and arguments that both libraries have, so that they run on a GPU too.
"""

# ruff: noqa: F403  (all definitions, under one name)

from bitnet.kernels.reference.cells import *
from bitnet.kernels.reference.conv import *
from bitnet.kernels.reference.floats import *
from bitnet.kernels.reference.norm import *
from bitnet.kernels.reference.pack import *
from bitnet.kernels.reference.pool import *
from bitnet.kernels.reference.products import *
from bitnet.kernels.reference.rounding import *
from bitnet.kernels.reference.update import *
