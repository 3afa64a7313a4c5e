"""What the tests of two devices share."""

import numpy as np


def assert_same(gpu, found, expected, rtol=1e-4, atol=1e-5):
    """Numbers of a GPU, by name: with the stand-in equal, to the last bit; otherwise integers."""
    assert found.keys() == expected.keys()
    for name, want in expected.items():
        came, want = np.asarray(found[name]), np.asarray(want)
        assert (came.dtype, came.shape) == (want.dtype, want.shape), name
        if gpu == "stand-in" or want.dtype.kind != "f":
            assert np.array_equal(came, want, equal_nan=want.dtype.kind == "f"), name
        else:
            np.testing.assert_allclose(came, want, rtol=rtol, atol=atol, err_msg=name)


def same(found, expected):
    """Whether arrays are the same bit for bit."""
    pairs = list(zip(found, expected, strict=True))
    return all((a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes()) for a, b in pairs)
