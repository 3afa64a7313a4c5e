"""Filters multiplied once: the same bits as when each is multiplied, for every threshold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import seeds, signs

from bitnet import kernels
from bitnet.deploy import unique
from bitnet.deploy.layers import FrozenConv
from bitnet.deploy.unique import Reuse, unique_filters
from bitnet.kernels import Window

INT32 = np.iinfo(np.int32)


def repeated(seed, m, size, channels, n_kinds):
    """M filters of a few kinds, each as it is or negated."""
    rng = np.random.default_rng(seed)
    kinds = signs(seed, (n_kinds, *size, channels))
    return kinds[rng.integers(0, n_kinds, m)] * rng.choice([-1.0, 1.0], (m, 1, 1, 1))


def steps(seed, m, largest):
    """Thresholds of both directions, ties and the ends of int32 among them."""
    rng = np.random.default_rng(seed)
    values = rng.integers(-largest - 1, largest + 2, m)
    values = np.where(rng.random(m) < 0.2, rng.choice([INT32.min, INT32.max, 0], m), values)
    return values.astype(np.int32), rng.random(m) < 0.5


def frozen(seed, m, size, channels, n_kinds, pool=None, stride=1, border=0, largest=9):
    pads = tuple(((n - 1) // 2, n // 2) for n in size)
    bits = kernels.pack(repeated(seed, m, size, channels, n_kinds))
    window = Window(size, (stride, stride), pads, border)
    return FrozenConv(bits, *steps(seed, m, largest), window, pool)


@settings(max_examples=40)
@given(
    seeds,
    st.sampled_from([1, 2, 9, 64, 65]),
    st.sampled_from([(1, 1), (2, 2), (3, 3), (1, 5)]),
    st.sampled_from([1, 3, 64, 70]),
    st.sampled_from([1, 2, 7]),
    st.sampled_from([None, Window((2, 2), (2, 2)), Window((3, 3), (2, 2), ((1, 1), (1, 1)))]),
    st.sampled_from([1, 2]),
    st.sampled_from([0, 1, -1]),
    st.booleans(),
)
def test_reuse_gives_the_same_bits(
    implementation, seed, m, size, channels, n_kinds, pool, stride, border, pixels
):
    rng = np.random.default_rng(seed)
    largest = 255 * 9 if pixels else 9
    layer = frozen(seed, m, size, channels, n_kinds, pool, stride, border, largest)
    shape = (2, 7, 6, channels)
    x = rng.integers(0, 256, shape, np.uint8) if pixels else kernels.pack(signs(seed, shape))
    assert len(layer.reuse.weight) <= n_kinds
    expected = layer.outputs(layer.integers(x))
    y = layer.reuse.signs(x)
    assert (layer._pooled(y) if pool else y) == expected
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reuse, "pays", lambda self, x: True)
        assert layer.run(x) == expected
        patch.setattr(Reuse, "pays", lambda self, x: False)
        assert layer.run(x) == expected


@given(seeds, st.sampled_from([1, 5, 40]), st.sampled_from([1, 63, 64, 65]), st.integers(1, 6))
def test_each_filter_is_the_unique_one_or_its_negation(seed, m, channels, n_kinds):
    filters = repeated(seed, m, (2, 3), channels, n_kinds)
    bits, of, negated = unique_filters(kernels.pack(filters))
    again = bits.signs()[of] * np.where(negated, -1, 1)[:, None, None, None]
    assert np.array_equal(again, filters)
    either = {min(f.tobytes(), (-f).tobytes()) for f in filters + 0.0}
    assert len(bits) == len(either)
    assert set(of) == set(range(len(bits)))
    assert (bits.signs()[:, 0, 0, 0] == 1).all()


def test_when_it_is_used():
    bits, pixels = kernels.pack(np.ones((1, 3, 3, 1))), np.zeros((1, 3, 3, 1), np.uint8)
    for shape, n_kinds, of_bits, of_pixels in (
        ((1024, (3, 3), 1), 256, False, False),  # 9 and 8 words
        ((64, (3, 3), 256), 16, True, True),  # 36 and 288
        ((64, (3, 3), 192), 16, False, True),  # 27 and 216
        ((64, (6, 6), 1), 16, True, False),  # 36 and 8
        ((64, (11, 11), 3), 16, True, True),  # 121 and 48
        ((16, (3, 3), 256), 9, False, False),  # more than a quarter differ
    ):
        reuse = frozen(0, *shape, n_kinds).reuse
        assert (reuse.pays(bits), reuse.pays(pixels)) == (of_bits, of_pixels)
    assert unique.LEAST_WORDS == 32


def test_a_grouped_convolution_multiplies_each_filter(monkeypatch):
    monkeypatch.setattr(Reuse, "pays", lambda self, x: True)
    layer = frozen(0, 6, (3, 3), 2, 2)
    layer = FrozenConv(
        *(getattr(layer, n) for n in ("bits", "thresholds", "rising", "window")), groups=2
    )
    x = kernels.pack(signs(0, (2, 5, 5, 4)))
    assert layer.run(x) == layer.outputs(layer.integers(x))
