"""Kernels that read memory by address are compiled for the types that they were written for."""

import numpy as np
import pytest

pytest.importorskip("numba", reason="addresses are those of compiled code")
from numba.core import errors

from bitnet.kernels.cpu import jit, xnor
from bitnet.kernels.cpu.emit import address

PACKED = np.zeros((2, 1), np.uint64), np.zeros((1, 1, 32), np.uint64), 3


def _address(x):
    return address(x, "uint8 int16")


function = jit.jit(_address, "address_of_two_types")


@pytest.mark.parametrize("dtype", [np.uint8, np.int16])
def test_the_address_is_that_of_the_first_element(dtype):
    x = np.zeros((3, 4), dtype)
    assert function(x) == x.ctypes.data
    assert function(x[1:]) == x[1:].ctypes.data


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64, np.float32])
def test_other_types_are_refused_when_compiled(dtype):
    with pytest.raises(errors.TypingError, match=r"to read by address; expected uint8 int16"):
        function(np.zeros((3, 4), dtype))


def test_kernels_refuse_wider_integers():
    level = jit.vector_level()
    if level not in xnor.LANES:
        pytest.skip("the portable loops read no memory by address")
    with pytest.raises(errors.TypingError, match="got int64 to read by address; expected int32"):
        xnor.INTEGERS[level](*PACKED, np.zeros((2, 32), np.int64))
