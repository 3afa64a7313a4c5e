"""Comparisons of results for the tests of two devices."""

import numpy as np


def assert_same(gpu, found, expected, rtol=1e-4, atol=1e-5):
    """Compare arrays of a GPU by name: bit for bit with the stand-in, else integers exactly."""
    assert found.keys() == expected.keys()
    for name, want in expected.items():
        came, want = np.asarray(found[name]), np.asarray(want)
        assert (came.dtype, came.shape) == (want.dtype, want.shape), name
        if gpu == "stand-in" or want.dtype.kind != "f":
            assert np.array_equal(came, want, equal_nan=want.dtype.kind == "f"), name
        else:
            np.testing.assert_allclose(came, want, rtol=rtol, atol=atol, err_msg=name)


def same(found, expected):
    """Return whether arrays are equal bit for bit."""
    pairs = list(zip(found, expected, strict=True))
    return all((a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes()) for a, b in pairs)
