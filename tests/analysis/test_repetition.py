"""Repetition of 2-D filters, against sets of tuples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds, signs

import bitnet
from bitnet import InputError, kernels
from bitnet.analysis.repetition import Repetition, Repetitions, repetition, repetitions, unique_rows
from bitnet.nn import BatchNorm, Flatten, QuantConv2d, Quantize, QuantLinear, Sequential, models


def by_hand(filters):
    """Unique, unique up to sign, and up to sign in the layer, with sets."""
    m, rows, columns, channels = filters.shape
    flat = filters.reshape(m, rows * columns, channels)
    unique = up_to_sign = 0
    in_layer = set()
    for c in range(channels):
        here = {tuple(flat[i, :, c]) for i in range(m)}
        either = {max(f, tuple(-v for v in f)) for f in here}
        unique, up_to_sign = unique + len(here), up_to_sign + len(either)
        in_layer |= either
    return unique, up_to_sign, len(in_layer)


@given(
    seeds,
    st.sampled_from([1, 2, 17]),
    st.sampled_from([(1, 1), (1, 2), (2, 2), (3, 3), (3, 6), (5, 7), (8, 8), (9, 9), (11, 12)]),
    st.sampled_from([1, 3, 63, 64, 65]),
    st.sampled_from([1, 3, 100]),
)
def test_counts_of_any_number_of_taps(seed, m, size, channels, n_kinds):
    rng = np.random.default_rng(seed)
    kinds = signs(seed, (n_kinds, *size))
    chosen = rng.integers(0, n_kinds, (m, channels))
    filters = np.moveaxis(kinds[chosen], 1, -1) * rng.choice([-1.0, 1.0], (m, 1, 1, channels))
    found = repetition(kernels.pack(filters))
    assert (found.unique, found.up_to_sign, found.different) == by_hand(filters)
    assert found.filters == m * channels
    assert found.saved == 1 - found.up_to_sign / found.filters


@given(seeds, st.integers(1, 40), st.integers(1, 5), st.sampled_from([np.uint8, np.uint64]))
def test_each_row_is_one_of_the_unique_ones(seed, n_rows, n_columns, dtype):
    rows = np.random.default_rng(seed).integers(0, 2, (n_rows, n_columns), dtype)
    unique, of = unique_rows(rows)
    assert np.array_equal(unique[of], rows)
    assert len(unique) == len({row.tobytes() for row in rows})
    assert set(of.tolist()) == set(range(len(unique)))


@given(seeds, st.sampled_from([(4, 2), (6, 3), (5, 5)]), st.sampled_from([1, 3, 70]))
def test_filters_of_different_groups_see_different_channels(seed, sizes, channels):
    m, groups = sizes
    filters = signs(seed, (m, 2, 2, channels))
    found = repetition(kernels.pack(filters), groups)
    parts = [by_hand(part) for part in np.split(filters, groups)]
    assert (found.unique, found.up_to_sign) == tuple(np.sum(parts, axis=0)[:2])
    assert found.different == by_hand(filters)[2]
    assert found.share_of_random == pytest.approx(8 * (1 - (7 / 8) ** (m // groups)) * groups / m)


def test_random_filters_are_as_expected_at_random():
    found = repetition(kernels.pack(signs(0, (256, 3, 3, 64))))
    assert found.share == pytest.approx(found.share_of_random, abs=0.01)
    assert found.share_of_random == pytest.approx(1 - (1 - 1 / 256) ** 256)
    assert found.different == 256
    one_tap = repetition(kernels.pack(signs(0, (8, 1, 1, 4))))
    assert (one_tap.up_to_sign, one_tap.share, one_tap.share_of_random) == (4, 1 / 8, 1 / 8)
    assert Repetition(5, 1, 60, 60, 5, 5, 5).share_of_random == pytest.approx(1)


def test_a_net_and_its_frozen_form_agree():
    rng = np.random.default_rng(0)
    model = models.binary_convnet((8, 8, 1), [(40,), (70,)], [10], rng=rng)
    trained = repetitions(model)
    frozen = repetitions(bitnet.freeze(model))
    assert trained.layers == frozen.layers
    assert [*frozen.layers] == ["layers.0", "layers.4"]
    table = trained.as_dict()
    assert table["layers"][0]["layer"] == "layers.0"
    assert table["share"] == np.mean([layer["share"] for layer in table["layers"]])
    assert "42.0 %" in str(trained)


def test_filters_of_more_bits_are_left_out_by_name():
    rng = np.random.default_rng(0)
    layers = [
        QuantConv2d(1, 9, rng=rng, weight_quantizer=2, kernel_size=3, padding="same"),
        BatchNorm(9),
        Quantize(1),
    ]
    layers += [
        QuantConv2d(9, 8, rng=rng, weight_quantizer=1, kernel_size=3, padding="same"),
        BatchNorm(8),
        Quantize(1),
        Flatten(),
    ]
    model = Sequential(*layers, QuantLinear(8 * 16, 3, rng=rng), BatchNorm(3))
    pixels = np.zeros((1, 4, 4, 1), np.uint8)
    trained, frozen = repetitions(model), repetitions(bitnet.freeze(model, pixels))
    assert trained.layers == frozen.layers
    for found in (trained, frozen):
        assert [*found.layers] == ["layers.3"]
        assert found.left_out == ("layers.0 with 2-bit weights",)
    assert "not counted, as not ±1: layers.0 with 2-bit weights" in str(frozen)
    assert repr(frozen).startswith("Repetitions(1 layers, ")
    assert frozen.as_dict()["left_out"] == ["layers.0 with 2-bit weights"]
    few = Sequential(*layers[:3], Flatten(), QuantLinear(9 * 16, 3, rng=rng), BatchNorm(3))
    for net in (few, bitnet.freeze(few, pixels)):
        with pytest.raises(InputError, match="with 2-bit weights; expected ±1 filters"):
            repetitions(net)


def test_what_has_no_filters_is_refused():
    mlp = models.binary_mlp([4, 2], rng=np.random.default_rng(0))
    for refused, message in ((mlp, "no convolutions of bits; expected ±1 filters"), (3, "got int")):
        with pytest.raises(InputError, match=message):
            repetitions(refused)
    for groups in (0, 2, 4):
        with pytest.raises(InputError, match="expected a divisor of 3"):
            repetition(kernels.pack(np.ones((3, 1, 1, 2))), groups)
    for refused in (kernels.pack(np.ones((2, 3))), kernels.pack(np.ones((0, 3, 3, 1))), None):
        with pytest.raises(InputError, match="expected Bits"):
            repetition(refused)


TABLE = """\
layer        filters     2-D  unique  up to sign  in the layer   share  at random
0 conv   128x128x3x3  16,384  13,000      10,000           256  61.0 %     78.8 %
average            -       -       -           -             -  61.0 %     78.8 %
papers             -       -       -           -             -  42.0 %          -
"""


def test_a_table_by_hand():
    found = Repetition(128, 128, 3, 3, 13000, 10000, 256)
    assert (found.filters, round(found.share, 3), round(found.saved, 3)) == (16384, 0.61, 0.39)
    assert str(Repetitions({"0 conv": found})).startswith(TABLE)


def test_a_filter_and_its_negation():
    edge = np.array([[1.0, 1.0], [-1.0, -1.0]])
    found = repetition(kernels.pack(np.stack([edge, edge, -edge, edge.T])[..., None]))
    assert (found.filters, found.unique, found.up_to_sign) == (4, 3, 2)
