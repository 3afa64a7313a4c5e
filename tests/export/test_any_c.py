"""C equals Python for any model that `whole_models` draws, or the node without a form is named."""

import re

import exported
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from variants import computed_by
from whole_models import KINDS, ROWS, STEPS, whole, whole_models

import bitnet
from bitnet import InputError
from bitnet.export.c.header import FIRST
from bitnet.export.c.host import Compiled

NO_GCC = exported.missing(["gcc"])
needs_gcc = pytest.mark.skipif(NO_GCC is not None, reason=str(NO_GCC))
IS_THOROUGH = settings.get_current_profile_name() == "thorough"
EXAMPLES = 300 if IS_THOROUGH else 20
# results of a pooled product; pixels twice; wide integers under few thresholds; abs(-0.0)
FOUND = ("images", 125, 5), ("images", 149, 10), ("rows", 1095, 4), ("rows", 1110, 5)
NO_FORM = r"there is no form in C for .*; print the net in another language, or use other layers"
NO_SIZE = r"the size .* depends on the inputs; expected B or T"


def bits_of(x):
    """Return results as they are compared, each NaN like another, with the sign of 0."""
    x = np.asarray(x)
    return np.where(x == x, x, 0).astype(x.dtype).tobytes(), (x == x).tobytes(), x.shape, x.dtype


def check(whole, first="auto"):
    """Compare a model's C with its frozen net; return whether it has C."""
    example = whole.rows(0)
    with np.errstate(all="ignore"), computed_by("reference", 1):
        net = bitnet.freeze(whole.model, example, axes=whole.axes)
        options = {"first": first, "steps": STEPS if "TB" in whole.axes else 1}
        try:
            compiled = Compiled(net, "gcc", [*exported.STRICT, "-O1"], **options)
        except InputError as error:
            assert re.search(f"{NO_FORM}|{NO_SIZE}", str(error)), error
            return False
        for rows in [range(ROWS)] if net.graph.is_by_row else [[k] for k in range(ROWS)]:
            inputs = whole.rows(*rows)
            pairs = net.pre_activations(*inputs), compiled.pre_activations(*inputs)
            for z, found in zip(*pairs, strict=True):
                assert np.ma.filled(found == z, True).all()
            results = net.run(*inputs)
            assert [*map(bits_of, compiled.run(*inputs))] == [*map(bits_of, results)]
    return True


@needs_gcc
@pytest.mark.parametrize("origin", FOUND)
def test_models_whose_c_was_once_wrong(origin):
    assert all(check(whole(*origin), first) for first in FIRST)


@needs_gcc
@pytest.mark.parametrize("kind", KINDS)
def test_c_equals_python(kind):
    done = []

    @settings(
        max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), report_multiple_bugs=False
    )
    @given(whole_models(kind))
    def try_models(whole):
        if not whole.too_large:
            done.append(check(whole, FIRST[len(done) % len(FIRST)]))

    try_models()
    assert sum(done) >= EXAMPLES / 5
