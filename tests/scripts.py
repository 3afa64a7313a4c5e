"""Run the examples as a user does."""

import contextlib
import io
import pathlib
import runpy
import subprocess
import sys
import unittest.mock

import pytest

import bitnet

EXAMPLES = pathlib.Path(bitnet.__file__).parent.parent / "examples"


COMPLETE = "differing_integers=0, differing_scores=0, differing_classes=0"


def run(name, *words, folder, code=0):
    command = [sys.executable, EXAMPLES / name, *words]
    out = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert "Traceback" not in out.stderr, out.stderr
    assert out.returncode == code, out.stderr
    return out


def refused(name, *words, folder, code):
    """Run an example in this process; check its exit code and return what it writes to stderr."""
    errors = io.StringIO()
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stderr(errors),
        contextlib.redirect_stdout(io.StringIO()),
        unittest.mock.patch.object(sys, "argv", [name, *words]),
        unittest.mock.patch.object(sys, "path", [str(EXAMPLES), *sys.path]),
        unittest.mock.patch.object(bitnet, "set_num_threads"),
        pytest.raises(SystemExit) as end,
    ):
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    assert end.value.code == code, errors.getvalue()
    assert code == 2 or errors.getvalue().count("\n") == 1
    return errors.getvalue()
