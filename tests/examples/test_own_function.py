"""The example of functions and quantizers of one's own, as a user types it."""

from tests.scripts import run_example


def test_all_integers_are_equal(tmp_path):
    done = run_example("own_function.py", "--quick", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "pixels, weights, linear, thresholds, weights, linear, affine, abs" in done.stdout
    assert "frozen: all 160000 integers and all scores are equal" in done.stdout
