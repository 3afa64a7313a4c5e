"""Programs for people: one line for an error, an exit code, no traceback."""

import os
import subprocess
import sys

import pytest

from bitnet import InputError
from bitnet.__main__ import main
from bitnet.cli import run


def failing(error):
    def program():
        raise error

    return program


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("got this,\nexpected that"), 1, "error: got this, expected that\n"),
        (FileNotFoundError(2, "No such file", "net.npz"), 1, "error: net.npz: No such file\n"),
        (OSError(28, "No space left on device"), 1, "error: No space left on device\n"),
        (MemoryError("9 TiB"), 1, "error: not enough memory (9 TiB); use a smaller net or batch\n"),
        (KeyboardInterrupt(), 130, "stopped\n"),
        (KeyboardInterrupt("3 epochs are kept"), 130, "stopped: 3 epochs are kept\n"),
    ],
)
def test_errors_become_a_line_and_a_code(capsys, error, code, line):
    with pytest.raises(SystemExit) as caught:
        run(failing(error))
    assert caught.value.code == code
    assert capsys.readouterr() == ("", line)


def test_a_defect_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run(failing(ZeroDivisionError()))


def test_status_names_what_is_there_and_what_is_not(capsys):
    main(["status"])
    out = capsys.readouterr().out
    for name in (
        "bitnet",
        "python",
        "numpy",
        "numba",
        "cupy",
        "kernels",
        "data embedded",
        "data ptb",
    ):
        assert f"\n{name} " in f"\n{out}"


def test_the_command_line_from_a_shell():
    def bitnet(*words):
        return subprocess.run(
            [sys.executable, "-m", "bitnet", *words], capture_output=True, text=True
        )

    assert bitnet("status").returncode == 0
    assert bitnet("--help").stdout.startswith("usage: bitnet")
    for words in ((), ("fly",), ("status", "--fast")):
        out = bitnet(*words)
        assert (out.returncode, out.stdout, out.stderr.count("\n")) == (2, "", 1)
        assert out.stderr.startswith("error: ")
        assert "--help`" in out.stderr


def test_a_reader_that_goes_away_is_no_error():
    code = "import bitnet; bitnet.cli.run(lambda: print('x\\n' * 1_000_000, flush=True))"
    out = subprocess.run(
        f'"{sys.executable}" -c "{code}" | head -1', shell=True, capture_output=True, text=True
    )
    assert (out.stdout, out.stderr) == ("x\n", "")


def test_names_that_the_terminal_cannot_show_are_escaped():
    program = "import bitnet; bitnet.cli.run(lambda: print('é', '\\udcff'))"
    for encoding, shown in (("ascii", rb"\xe9 \udcff"), ("utf-8", "é \\udcff".encode())):
        out = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            env={**os.environ, "PYTHONIOENCODING": encoding},
        )
        assert (out.returncode, out.stdout.strip(), out.stderr) == (0, shown, b"")
