"""`bitnet export` as a user types it."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from exported import CONFORMANCE, mlp, of

from bitnet import nn
from bitnet.__main__ import main
from bitnet.cli.command import run


@pytest.fixture
def net(tmp_path, monkeypatch):
    """Return a small net that is saved as net.npz in the working folder."""
    monkeypatch.chdir(tmp_path)
    model = mlp(784, 40, 33, 10, before=[nn.PixelPlanes(2)])
    own = of(model, np.zeros((1, 784), np.uint8)).net
    own.save("net.npz")
    return own


def failed(capsys, *words):
    """Return the exit code and the message of a run that fails."""
    with pytest.raises(SystemExit) as stopped:
        run(lambda: main(list(words)))
    return stopped.value.code, capsys.readouterr().err


def test_three_commands_from_a_net_to_a_class(net, tmp_path):
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    main(["export", "net.npz", "--to", "c", "--main", "--out", "digits.c"])
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "digits.c", "-o", "digits"], check=True)
    images = np.random.default_rng(0).integers(0, 256, (20, 784), np.uint8)
    done = subprocess.run(["./digits"], input=images.tobytes(), capture_output=True)
    assert done.returncode == 0
    assert [int(line) for line in done.stdout.split()] == net.predict(images).tolist()
    done = subprocess.run(["./digits"], input=b"short", capture_output=True)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"the last input has 5 values; expected 784\n"


def test_one_file_of_python(net):
    main(["export", "net.npz", "--to", "python"])
    images = np.random.default_rng(1).integers(0, 256, (3, 784), np.uint8)
    own = [sys.executable, "net.py"]
    done = subprocess.run(own, input=images.tobytes(), capture_output=True, check=True)
    assert [int(line) for line in done.stdout.split()] == net.predict(images).tolist()


def test_folders_for_arduino_and_platformio(net, tmp_path, capsys):
    main(["export", "net.npz", "--to", "c", "--arduino", "digits"])
    assert (tmp_path / "digits/src/digits.h").is_file()
    assert "digits_predict" in (tmp_path / "digits/examples/predict/predict.ino").read_text()
    main(["export", "net.npz", "--to", "c", "--arduino", "digits"])  # its own folder is replaced
    main(["export", "net.npz", "--to", "c", "--platformio", "pio", "--name", "own"])
    assert (tmp_path / "pio/src/own.h").is_file()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("")
    code, error = failed(capsys, "export", "net.npz", "--to", "c", "--arduino", "mine")
    assert code == 1
    assert "is no library of bitnet" in error


ARDUINO = """
#include <stdint.h>
struct Port { void begin(long); void print(const char *); void print(int); void println(int);
    void println(const char *); void println(unsigned long); };
extern Port Serial;
unsigned long micros(void);
void delay(int);
"""


@pytest.mark.parametrize("folder", ["arduino", "platformio"])
def test_the_example_sketch_compiles(net, tmp_path, folder):
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    main(["export", "net.npz", "--to", "c", f"--{folder}", "digits"])
    (tmp_path / "Arduino.h").write_text(ARDUINO)
    (sketch,) = [*tmp_path.rglob("*.ino"), *tmp_path.rglob("main.cpp")]
    own = ["-xc++", "-std=c++11", "-Wall", "-Wextra", "-Werror", "-I.", "-Idigits/src"]
    subprocess.run(["g++", *own, "-fsyntax-only", str(sketch)], check=True)


AVR = """
#include <avr/io.h>
#include <avr/sleep.h>
#include <avr/interrupt.h>
#include "net.h"
static net_state state;
int main(void)
{
    int failed = net_self_test(&state);
    UCSR0B = 1 << TXEN0;
    UDR0 = (uint8_t)('0' + failed);
    while (!(UCSR0A & (1 << UDRE0)))
        ;
    UDR0 = '\\n';
    while (!(UCSR0A & (1 << TXC0)))
        ;
    cli();
    sleep_enable();
    sleep_cpu();
    return 0;
}
"""


@pytest.mark.parametrize("first", ["planes", "tables", "adds"])
def test_the_self_test_passes_on_an_avr_with_constants_in_flash(net, tmp_path, first):
    if shutil.which("avr-gcc") is None or shutil.which("simavr") is None:
        pytest.skip("avr-gcc or simavr is not installed")
    main(["export", "net.npz", "--to", "c", "--out", "net.h", "--first", first])
    (tmp_path / "avr.c").write_text(AVR)
    own = ["-mmcu=atmega2560", "-DF_CPU=16000000UL", "-std=gnu99", "-Os", "-Wall", "-Werror"]
    subprocess.run(["avr-gcc", *own, "avr.c", "-o", "avr.elf"], check=True)
    command = ["simavr", "-m", "atmega2560", "-f", "16000000", "avr.elf"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert "Loaded 0 .data" in done.stdout + done.stderr
    assert "0." in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--to", "c", "--out", "net.npz"], 1, "expected a name that ends with .h"),
        (["--to", "c", "--name", "9"], 1, "expected a letter"),
        (["--to", "python", "--main"], 1, "--main applies only to --to c"),
        (["--to", "java"], 2, "expected one of c, python"),
        (["--to", "c", "--first", "plane"], 2, "did you mean 'planes'"),
        (["--to", "c", "--steps", "0"], 1, "--steps is 0"),
        (["--to", "c", "--arduino", "a", "--out", "a.h"], 1, "no --out"),
    ],
)
def test_wrong_arguments(net, capsys, words, code, said):
    found, error = failed(capsys, "export", "net.npz", *words)
    assert found == code
    assert said in error


def test_files_that_are_no_net_or_have_no_form(net, tmp_path, capsys):
    (tmp_path / "notes.npz").write_text("no net")
    assert failed(capsys, "export", "notes.npz", "--to", "c")[0] == 1
    code, error = failed(capsys, "export", str(CONFORMANCE / "sequences.npz"), "--to", "python")
    assert code == 1
    assert "expected" in error
    assert not list(tmp_path.glob("*.py"))
