"""C equals Python for any model that `whole_models` draws, or the node without a form is named."""

import collections

import exported
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from variants import computed_by
from whole_models import KINDS, ROWS, STEPS, whole_models

import bitnet
from bitnet import InputError
from bitnet.export.c.host import Compiled

IS_THOROUGH = settings.get_current_profile_name() == "thorough"
EXAMPLES = 300 if IS_THOROUGH else 12
NO_FORM = r"there is no form in C for .*; print the net in another language, or use other layers"
NO_SIZE = r"the size .* depends on the inputs; expected B or T"


def bits_of(x):
    """Return results as they are compared, each NaN like another, with the sign of 0."""
    x = np.asarray(x)
    return np.where(x == x, x, 0).astype(x.dtype).tobytes(), (x == x).tobytes(), x.shape, x.dtype


@pytest.mark.parametrize("kind", KINDS)
def test_c_equals_python(kind):
    if reason := exported.missing(["gcc"]):
        pytest.skip(reason)
    counts = collections.Counter()

    @settings(
        max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), report_multiple_bugs=False
    )
    @given(whole_models(kind))
    def try_models(whole):
        if whole.too_large:
            return
        example = whole.rows(0)
        with np.errstate(all="ignore"), computed_by("reference", 1):
            net = bitnet.freeze(whole.model, example, axes=whole.axes)
            options = {"steps": STEPS} if "TB" in whole.axes else {}
            try:
                compiled = Compiled(net, "gcc", [*exported.STRICT, "-O1"], **options)
            except InputError as error:
                counts["refused"] += 1
                assert pytest.RaisesExc(InputError, match=f"{NO_FORM}|{NO_SIZE}").matches(error)
                return
            counts["compared"] += 1
            for rows in [range(ROWS)] if net.graph.is_by_row else [[k] for k in range(ROWS)]:
                inputs = whole.rows(*rows)
                for z, found in zip(
                    net.pre_activations(*inputs), compiled.pre_activations(*inputs), strict=True
                ):
                    assert np.ma.filled(found == z, True).all()
                results = net.run(*inputs)
                assert [*map(bits_of, compiled.run(*inputs))] == [*map(bits_of, results)]

    try_models()
    assert counts["compared"] >= EXAMPLES / 5
