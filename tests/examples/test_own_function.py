"""The example of functions and quantizers of one's own, as a user types it."""

from scripts import run


def test_all_integers_are_equal(tmp_path):
    done = run("own_function.py", "--quick", folder=tmp_path)
    assert "pixels, weights, linear, thresholds, weights, linear, affine, abs" in done.stdout
    assert "frozen: all 160000 integers and all scores are equal" in done.stdout
