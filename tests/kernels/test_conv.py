"""Convolutions of bits in every implementation, compared with sums over the taps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds, signs

from bitnet import InputError, kernels
from bitnet.kernels import Thresholds, Window, threads

pytestmark = pytest.mark.usefixtures("implementation")

channels = st.sampled_from([1, 3, 63, 64, 65, 130])
filters = st.sampled_from([1, 5, 31, 32, 33, 70])
sizes = st.tuples(st.integers(3, 9), st.integers(3, 9))
pads = st.tuples(
    st.tuples(st.integers(0, 2), st.integers(0, 2)), st.tuples(st.integers(0, 2), st.integers(0, 2))
)
windows = st.builds(
    Window,
    size=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=pads,
    border=st.sampled_from([0, 1, -1]),
)


def by_hand(x, weight, window):
    """Compute z[b, h, w, m] one tap after the other."""
    (above, below), (left, right) = window.padding
    x = np.pad(x, ((0, 0), (above, below), (left, right), (0, 0)), constant_values=window.border)
    height, width = (
        (n - taps) // step + 1
        for n, taps, step in zip(x.shape[1:3], window.size, window.stride, strict=True)
    )
    z = np.zeros((len(x), height, width, len(weight)))
    for i in range(window.size[0]):
        for j in range(window.size[1]):
            for h in range(height):
                for w in range(width):
                    pixel = x[:, h * window.stride[0] + i, w * window.stride[1] + j]
                    z[:, h, w] += pixel @ weight[:, i, j].T
    return z


@given(sizes, channels, filters, windows, seeds)
def test_every_window_border_and_number_of_channels(size, c, m, window, seed):
    x, weight = signs(seed, (2, *size, c)), signs(seed + 1, (m, *window.size, c))
    z = kernels.xnor_conv(kernels.pack(x), kernels.pack(weight), window)
    expected = by_hand(x, weight, window)
    assert z.dtype == np.int32
    assert z.shape[1:3] == window.output(*size)
    assert np.array_equal(z, expected)
    rng = np.random.default_rng(seed)
    steps = Thresholds(rng.integers(-20, 21, m).astype(np.int32), rng.integers(0, 2, m) > 0)
    y = kernels.xnor_conv_sign(kernels.pack(x), kernels.pack(weight), window, steps)
    rises = np.where(steps.increasing, expected >= steps.values, expected <= steps.values)
    assert y == kernels.pack(rises)


def test_prepared_filters_thresholds_and_other_sizes_of_images():
    """The cache for images of one size must not be used for another size."""
    window = Window((3, 3), padding=((1, 1), (1, 1)))
    weight = signs(0, (40, 3, 3, 70))
    prepared, steps = (
        kernels.prepare(kernels.pack(weight)),
        Thresholds(np.arange(40, dtype=np.int32) - 20, np.arange(40) % 2 > 0),
    )
    for size in ((5, 6), (6, 5), (5, 6), (3, 3)):
        x = signs(1, (2, *size, 70))
        z = kernels.xnor_conv(kernels.pack(x), prepared, window)
        assert np.array_equal(z, by_hand(x, weight, window))
        y = kernels.xnor_conv_sign(kernels.pack(x), prepared, window, steps)
        assert y == kernels.threshold(z, steps)


def test_the_same_thresholds_serve_other_filters():
    window, steps = (
        Window((3, 3), padding=((1, 1), (1, 1))),
        Thresholds(np.arange(40, dtype=np.int32) - 20, np.arange(40) % 2 > 0),
    )
    for seed, channels in ((0, 70), (1, 70), (2, 9)):
        x, weight = signs(9, (2, 5, 6, channels)), signs(seed, (40, 3, 3, channels))
        expected = kernels.threshold(by_hand(x, weight, window).astype(np.int32), steps)
        packed = kernels.pack(x), kernels.pack(weight)
        assert kernels.xnor_conv_sign(*packed, window, steps) == expected


def test_threads_give_the_same_integers(monkeypatch):
    monkeypatch.setattr("bitnet.kernels.threads.LEAST_NS", 1)
    before = threads.num_threads()
    x, weight = kernels.pack(signs(0, (3, 7, 9, 20))), kernels.pack(signs(1, (35, 3, 3, 20)))
    window = Window((3, 3), padding=((1, 1), (1, 1)))
    results = []
    try:
        for n in (1, 3):
            threads.set_num_threads(n)
            results.append(kernels.xnor_conv(x, weight, window))
    finally:
        threads.set_num_threads(before)
    assert np.array_equal(*results)


def test_no_images():
    x = kernels.pack(np.ones((0, 5, 5, 3)))
    z = kernels.xnor_conv(x, kernels.pack(np.ones((4, 3, 3, 3))), Window((3, 3)))
    assert z.shape == (0, 3, 3, 4)


ONES = kernels.pack(np.ones((1, 4, 4, 2)))


@pytest.mark.parametrize(
    ("x", "weight", "window", "message"),
    [
        (np.ones((1, 4, 4, 2)), ONES, Window((4, 4)), "expected Bits"),
        (ONES, ONES, (4, 4), "and a Window"),
        (ONES, ONES, Window((3, 3)), "do not fit"),
        (ONES, kernels.pack(np.ones((1, 4, 4, 3))), Window((4, 4)), "do not fit"),
        (kernels.pack(np.ones((4, 2))), ONES, Window((4, 4)), "do not fit"),
        (ONES, kernels.pack(np.ones((1, 5, 5, 2))), Window((5, 5)), "does not fit into images"),
    ],
)
def test_what_does_not_fit_is_refused(x, weight, window, message):
    with pytest.raises(InputError, match=message):
        kernels.xnor_conv(x, weight, window)


def test_thresholds_of_other_channels_are_refused():
    steps = Thresholds(np.zeros(2, np.int32), np.zeros(2, bool))
    with pytest.raises(InputError, match="1 channels"):
        kernels.xnor_conv_sign(ONES, ONES, Window((4, 4)), steps)
