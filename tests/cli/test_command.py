"""Programs for people: one line for an error, an exit code, no traceback."""

import os
import re
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import bitnet
from bitnet import InputError
from bitnet.__main__ import main
from bitnet.cli import run
from bitnet.cli.command import Terminated
from bitnet.nn.models import binary_mlp

# `bitnet predict`, which says "writing" as soon as it reads standard input
WAITING = """import bitnet, bitnet.__main__, bitnet.cli.predict as predict
own = predict.standard_input
predict.standard_input = lambda most: (print("writing", flush=True), own(most))[1]
bitnet.__main__.command()"""
WAITING = [sys.executable, "-c", WAITING, "predict"]


def failing(error):
    def program():
        raise error

    return program


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("got this,\nexpected that"), 1, "error: got this, expected that\n"),
        (
            FileNotFoundError(2, "No such file", "net.npz"),
            1,
            "error: net.npz: No such file; check the name and the folder\n",
        ),
        (OSError(28, "No space left on device"), 1, "error: No space left on device\n"),
        (MemoryError("9 TiB"), 1, "error: not enough memory (9 TiB); use a smaller net or batch\n"),
        (KeyboardInterrupt(), 130, "stopped\n"),
        (KeyboardInterrupt("3 epochs are kept"), 130, "stopped: 3 epochs are kept\n"),
        (Terminated("3 epochs are kept"), 143, "stopped: 3 epochs are kept\n"),
    ],
)
def test_errors_become_a_line_and_a_code(capsys, error, code, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
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


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        ("status", 0, ""),
        (
            "evaluate nowhere/no.npz",
            1,
            "error: nowhere/no.npz: No such file or directory; check the name and the folder\n",
        ),
        ("summary mlp:0", 1, "error: there is no file mlp:0; net is 'mlp:0'; expected .*\n"),
        ("evaluate", 2, "error: the following arguments are required: FILE; see .*\n"),
        ("evaluate a b", 2, "error: unexpected argument 'b'; see .*\n"),
    ],
)
def test_exit_codes(words, code, line):
    command = [sys.executable, "-m", "bitnet", *words.split()]
    out = subprocess.run(command, capture_output=True, text=True)
    assert out.returncode == code
    assert re.fullmatch(line, out.stderr)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_nothing_half_written(tmp_path, number, code):
    """While `bitnet freeze` and its like write a file, and while they wait."""
    program = """if True:
        import sys, time, bitnet
        from bitnet.files import replacing
        def main():
            with replacing("net.npz") as file:
                file.write(b"half")
                print("writing", flush=True)
                time.sleep(60)
        bitnet.cli.run(main)"""
    for command in ([sys.executable, "-c", program], [*WAITING, "net.npz", "-"]):
        bitnet.freeze(binary_mlp([784, 10], rng=np.random.default_rng(0))).save(
            tmp_path / "net.npz"
        )
        before = (tmp_path / "net.npz").read_bytes()
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        with subprocess.Popen(command, cwd=tmp_path, text=True, **pipes) as process:
            assert process.stdout.readline() == "writing\n"
            os.kill(process.pid, number)
            process.wait()  # standard input is still open
            assert (process.returncode, process.stderr.read()) == (code, "stopped\n")
        assert [path.name for path in tmp_path.iterdir()] == ["net.npz"]
        assert (tmp_path / "net.npz").read_bytes() == before


def test_run_keeps_the_handlers_of_its_caller():
    before = signal.getsignal(signal.SIGTERM)
    run(lambda: None)
    assert signal.getsignal(signal.SIGTERM) is before
    thread = threading.Thread(target=run, args=[lambda: None])  # which may not set handlers
    thread.start()
    thread.join()


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


def test_a_missing_file_with_a_similar_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits.npz").touch()
    with pytest.raises(SystemExit):
        bitnet.cli.run(lambda: main(["evaluate", "digit.npz"]))
    expected = "error: digit.npz: No such file or directory; did you mean digits.npz?\n"
    assert capsys.readouterr().err == expected


def test_a_misspelt_net(capsys):
    with pytest.raises(bitnet.InputError, match=r"did you mean mlp:32\?$"):
        main(["train", "--net", "mpl:32"])
    with pytest.raises(bitnet.InputError, match=r"did you mean cifar10\?$"):
        main(["train", "--net", "cifar-10"])


@pytest.mark.parametrize(
    "module", ["bitnet.errors", "bitnet.cli.command", "bitnet.cli.parser", "numpy", "bitnet.data"]
)
def test_control_c_during_an_import_is_one_line(module):
    """A finder of modules raises the signal when this one is imported."""
    code = f"""if True:
        import signal, sys
        class Finder:
            def find_spec(self, name, path=None, target=None):
                if name == {module!r}:
                    signal.raise_signal(signal.SIGINT)
        sys.meta_path.insert(0, Finder())
        from bitnet.__main__ import command
        sys.argv = ["bitnet", "evaluate", "no.npz"]
        command()"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (out.returncode, out.stdout, out.stderr) == (130, "", "stopped\n")


def test_the_module_of_the_command_imports_nothing_that_takes_long():
    code = "import sys, bitnet.__main__; print(*(m for m in sys.modules if 'bitnet' in m))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    names = [name for name in out.stdout.split() if not name.startswith("__editable")]
    assert names == ["bitnet", "bitnet.__main__"]


def test_text_of_files_cannot_control_the_terminal(capsys):
    run(lambda: print("\x1b[31mred\x07\tä\u202e\r\nline"))
    assert capsys.readouterr().out == "\\x1b[31mred\\x07\tä\\u202e\\r\nline\n"
    with pytest.raises(SystemExit):
        run(failing(InputError("got \x1b[31m\x07,\nexpected")))
    assert capsys.readouterr().err == "error: got \\x1b[31m\\x07, expected\n"


def test_names_of_classes_stay_in_their_line(tmp_path, capsys):
    net = bitnet.freeze(binary_mlp([784, 3], rng=np.random.default_rng(0)))
    net.classes, net.picture = ("a\nb", "\x1b[31m", "\x07"), (28, 28, 1)
    net.save(tmp_path / "net.npz")
    np.save(tmp_path / "a.npy", np.zeros((2, 28, 28), np.uint8))
    main(["predict", str(tmp_path / "net.npz"), str(tmp_path / "a.npy"), "--top", "3"])
    out = capsys.readouterr().out
    assert len(out.splitlines()) == 2
    assert out.count(r"a\nb") == out.count(r"\x1b[31m") == out.count(r"\x07") == 2
    assert "\x1b" not in out and "\x07" not in out
