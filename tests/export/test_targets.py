"""C equals Python, integer for integer and bit for bit, wherever it is compiled and run."""

import dataclasses
import re
import subprocess

import exported
import numpy as np
import pytest
from exported import CASES, HOSTS, assert_equal, case
from processors import CORES, checked

from bitnet.export.c.host import Compiled

NAMES = list(CASES)
# each case in the daily tests: with one compiler of the host, and on one core; see below for all
DAILY_HOSTS = [(own, list(HOSTS)[k % len(HOSTS)]) for k, own in enumerate(NAMES)]
DAILY_CORES = [(own, list(CORES)[k % len(CORES)]) for k, own in enumerate(NAMES)]
ALL_HOSTS = [(own, host) for own in NAMES for host in HOSTS if (own, host) not in DAILY_HOSTS]
ALL_CORES = [(own, core) for own in NAMES for core in CORES if (own, core) not in DAILY_CORES]
MAIN = """
#include <stdio.h>
int main(void)
{
    for (;;) {
        int32_t best;
READ
        run_scores();
        best = run_predict();
        fwrite(seen, 4, NET_INTEGERS, stdout);
WRITE
        fwrite(&best, 4, 1, stdout);
    }
}
"""


def on_host(name, host):
    """Compare a case with what a compiler of this machine makes of it."""
    if reason := exported.missing(HOSTS[host][0]):
        pytest.skip(reason)
    own = case(name)
    compiled = Compiled(own.net, HOSTS[host][0], exported.flags_of(host), **own.options)
    for inputs, expected in zip(own.inputs, own.expected, strict=True):
        integers = [np.ma.filled(z, exported.UNSEEN) for z in compiled.pre_activations(*inputs)]
        z = np.concatenate([np.zeros(0, np.int32), *(z.ravel() for z in integers)])
        results = [np.asarray(y).ravel() for y in compiled.run(*inputs)]
        best = int(compiled.predict(*inputs)[0]) if expected[2] >= 0 else -1
        assert_equal((z, results, best), expected, f"{name}, {host}")
    assert compiled.self_test() == 0


def on_core(name, core, folder):
    """Compare a case with what a core gives."""
    core, own = CORES[core], case(name)
    if absent := core.missing():
        pytest.skip(f"{' and '.join(absent)} not installed: see the extra embed")
    machine = core.machine(own.header, folder)
    for inputs, expected in zip(own.inputs, own.expected, strict=True):
        assert_equal(machine(*own.arrays(inputs)), expected, f"{name}, {core.name}")
    assert machine.call("run_test") == (0 if own.header.has("run_test") else -1)


@pytest.mark.parametrize(("name", "host"), DAILY_HOSTS)
def test_on_the_host(name, host):
    on_host(name, host)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "host"), ALL_HOSTS)
def test_on_the_host_with_each_compiler(name, host):
    on_host(name, host)


@pytest.mark.parametrize(("name", "core"), DAILY_CORES)
def test_on_a_core(name, core, tmp_path):
    on_core(name, core, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "core"), ALL_CORES)
def test_on_each_core(name, core, tmp_path):
    on_core(name, core, tmp_path)


def sanitized(own, folder):
    """Run a case as a program that checks addresses and undefined behaviour."""
    if reason := exported.missing(["gcc"]):
        pytest.skip(reason)
    header = own.header
    lines = {
        is_input: [
            f"        if (fread({name}, sizeof {name}[0], {n}, stdin) != {n}) return 0;"
            if is_input
            else f"        fwrite({name}, sizeof {name}[0], {n}, stdout);"
            for _, name, given, n in header.arguments
            if given == is_input
        ]
        for is_input in (True, False)
    }
    main = MAIN.replace("READ", "\n".join(lines[True])).replace("WRITE", "\n".join(lines[False]))
    functions = ["run_scores", "run_predict"]
    (folder / "net.h").write_text(header.text)
    (folder / "net.c").write_text(header.program(True, functions) + main)
    flags = ["-std=c99", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    checked(["gcc", *flags, str(folder / "net.c"), "-o", str(folder / "net")])
    given = b"".join(x.tobytes() for inputs in own.inputs for x in own.arrays(inputs))
    done = subprocess.run([folder / "net"], input=given, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[:3000]
    words = np.frombuffer(done.stdout, np.int32).reshape(len(own.inputs), -1)
    for row, expected in zip(words, own.expected, strict=True):
        starts = np.cumsum([header.macro("INTEGERS"), *(len(own) for own in expected[1])])
        z, *results, best = np.split(row, starts)
        kinds = [kind for kind, _, is_input, _ in header.arguments if not is_input]
        types = [np.float32 if kind == "float" else np.int32 for kind in kinds]
        pairs = [own.view(kind) for own, kind in zip(results, types, strict=True)]
        assert_equal((z, pairs, int(best[0])), expected, "sanitized")


@pytest.mark.parametrize("name", ["digits auto", "convnet"])
def test_nothing_is_undefined(name, tmp_path):
    sanitized(case(name), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", [own for own in NAMES if own not in ("digits auto", "convnet")])
def test_nothing_is_undefined_in_any_case(name, tmp_path):
    sanitized(case(name), tmp_path)


def changed(own, old, new):
    """Return a case whose header has one text for another where it is first."""
    assert old in own.header.text
    other = exported.Case(own.net, own.options, own.inputs)
    other.header = dataclasses.replace(own.header, text=own.header.text.replace(old, new, 1))
    return other


@pytest.mark.parametrize("wrong", ["pixels[NET_INPUTS]", "1 << (pixels[0] + 40)"])
def test_what_is_undefined_is_found(wrong, tmp_path):
    own = changed(case("mlp"), "(void)state;", f"(void)state; if (({wrong}) == 7) return;")
    with pytest.raises(AssertionError, match=r"AddressSanitizer|runtime error"):
        sanitized(own, tmp_path)


def test_a_wrong_bit_is_found(tmp_path):
    own = case("mlp")
    weights = own.header.text.index("static const uint32_t net_w")
    first = re.search(r"0x(\w+)u", own.header.text[weights:])[1]
    other = changed(own, f"0x{first}u", f"0x{int(first, 16) ^ 1:08x}u")
    if absent := CORES["wasm32"].missing():
        pytest.skip(f"{' and '.join(absent)} not installed: see the extra embed")
    machine = CORES["wasm32"].machine(other.header, tmp_path)
    found = [machine(*own.arrays(inputs)) for inputs in own.inputs]
    with pytest.raises(AssertionError, match="wrong: integers"):
        for row, expected in zip(found, own.expected, strict=True):
            assert_equal(row, expected, "wrong")
