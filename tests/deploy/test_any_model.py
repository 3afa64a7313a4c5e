"""Frozen = trained for any model that `whole_models` draws, bit for bit.

`pytest --hypothesis-profile=thorough tests/deploy/test_any_model.py` compares 10 000 models, other
ones each time, and says how many at its end; `whole_models.whole(...)`, which a failure prints,
makes a model again.
"""

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from variants import available, computed_by
from whole_models import KINDS, ROWS, whole_models

import bitnet
from bitnet import InputError
from bitnet.kernels import BitPlanes, Bits
from bitnet.nn.module import evaluating

IS_THOROUGH = settings.get_current_profile_name() == "thorough"
COUNTS = {"rows": (20, 3500), "images": (24, 4500), "sequences": (16, 2000)}


def flat(y):
    """Return nested results in one list."""
    return [own for part in y for own in flat(part)] if isinstance(y, (tuple, list)) else [y.data]


def of(model, inputs):
    """Return the results of a model in evaluation mode, or None if they hold NaN in between."""
    with evaluating(model), np.errstate(all="ignore"):
        try:
            return flat(model(*inputs))
        except InputError as error:
            if "NaN" not in str(error):
                raise
            return None


def assert_same(found, expected, what):
    """Compare results bit for bit, also the sign of 0; a NaN is like another."""
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape, what
        assert type(a) is type(b), what
        if isinstance(a, BitPlanes):
            assert (a.coefficients, a.unit, a.scale, a.offset) == (
                b.coefficients,
                b.unit,
                b.scale,
                b.offset,
            ), what
            a, b = a.bits, b.bits
        if isinstance(a, Bits):
            assert a.equals(b), what
            continue
        assert a.dtype == b.dtype, what
        numbers = a == a
        assert np.array_equal(numbers, b == b), what
        assert np.array_equal(
            np.where(numbers, a, 0).view(f"u{a.itemsize}"),
            np.where(numbers, b, 0).view(f"u{b.itemsize}"),
        ), what


def check(whole, variants, path):
    """Compare a model with its frozen net, in memory and from its file."""
    first, second, third = variants
    example = whole.rows(0)
    if whole.too_large:
        with pytest.raises(InputError, match="int32"):
            bitnet.freeze(whole.model, example, axes=whole.axes)
        return
    with np.errstate(all="ignore"):
        net = bitnet.freeze(whole.model, example, axes=whole.axes)
        net.save(path)
        loaded = bitnet.load(path)
        assert repr(loaded) == repr(net)
        for rows in ([], [ROWS - 1], range(ROWS)):
            inputs = whole.rows(*rows)
            with computed_by(*first):
                try:
                    expected = of(whole.model, inputs)
                except (InputError, ValueError):  # some operations take no empty batch
                    assert not len(rows)
                    continue
            if expected is None:
                continue
            for own, variant in ((net, second), (loaded, third)):
                own.batch = 2 if own is loaded else own.batch
                with computed_by(*variant):
                    assert_same(own.run(*inputs), expected, (variant, len(rows)))
        if expected is not None:
            with computed_by(*second):
                agreement = bitnet.compare(whole.model, net, *inputs)
            assert agreement.is_complete, agreement


@pytest.mark.parametrize("kind", KINDS)
def test_frozen_is_trained(kind, tmp_path, record_property):
    tried, variants = [], available()
    turns = itertools.count()

    @settings(
        max_examples=COUNTS[kind][IS_THOROUGH],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @given(whole_models(kind))
    def try_models(whole):
        i = next(turns)
        tried.append(whole.too_large)
        check(
            whole, [variants[(i + 3 * j) % len(variants)] for j in range(3)], tmp_path / "net.npz"
        )

    try:
        try_models()
    finally:
        record_property("models", len(tried))
    assert sum(tried) < len(tried) / 4  # models refused as their integers may not fit int32
