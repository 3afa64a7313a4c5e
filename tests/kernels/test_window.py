"""Positions of taps, and taps outside the images."""

import numpy as np
import pytest

from bitnet import InputError
from bitnet.kernels import Window


@pytest.mark.parametrize("size", [(5, 5), (4, 7), (3, 3)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 3)])
@pytest.mark.parametrize("padding", [((0, 0), (0, 0)), ((1, 2), (2, 1)), ((3, 3), (3, 3))])
def test_classes_say_which_taps_are_inside(size, stride, padding):
    window = Window((3, 2), stride, padding)
    inside, of = window.classes(*size)
    assert of.shape == window.output(*size)
    assert len(np.unique(of)) == len(inside)
    for h, w in np.ndindex(of.shape):
        rows = h * stride[0] + np.arange(3) - padding[0][0]
        columns = w * stride[1] + np.arange(2) - padding[1][0]
        there = ((rows >= 0) & (rows < size[0]))[:, None] & ((columns >= 0) & (columns < size[1]))
        assert np.array_equal(inside[of[h, w]], there.ravel())


@pytest.mark.parametrize(
    "arguments",
    [
        {"size": (0, 3)},
        {"size": (3,)},
        {"size": 3},
        {"size": (3, 3.5)},
        {"size": (3, True)},
        {"size": (3, 3), "stride": 1},
        {"size": (3, 3), "padding": 1},
        {"size": (3, 3), "padding": (1, 1)},
        {"size": (3, 3), "stride": (0, 1)},
        {"size": (3, 3), "padding": ((-1, 0), (0, 0))},
        {"size": (3, 3), "stride": (1, 2**31)},
        {"size": (3, 3), "padding": ((0, 0), (0, 10**30))},
        {"size": (3, 3), "border": 2},
    ],
)
def test_windows_that_there_cannot_be(arguments):
    with pytest.raises(InputError, match="Window"):
        Window(**arguments)


def test_a_window_larger_than_the_images():
    with pytest.raises(InputError, match="does not fit into images of 2 x 5"):
        Window((3, 3)).output(2, 5)


def test_lists_make_the_same_window():
    window = Window([3, 3], [1, 2], [[1, 1], [0, 2]], -1)
    assert window == Window((3, 3), (1, 2), ((1, 1), (0, 2)), -1)
    assert hash(window) == hash(Window((3, 3), (1, 2), ((1, 1), (0, 2)), -1))
