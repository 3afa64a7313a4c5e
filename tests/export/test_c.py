"""Exported C beyond single inputs: names, packed results, states of sequences, and all of MNIST."""

import os
import re
import subprocess

import exported
import numpy as np
import pytest
from exported import HOSTS, assert_equal, case
from processors import CORES

import bitnet
from bitnet import InputError, nn
from bitnet.export import to_c
from bitnet.export.c.host import Compiled
from bitnet.export.c.text import check_name

NO_GCC = exported.missing(["gcc"])
needs_gcc = pytest.mark.skipif(NO_GCC is not None, reason=str(NO_GCC))
needs_mnist = pytest.mark.skipif("BITNET_DATA" not in os.environ, reason="BITNET_DATA is not set")


@pytest.mark.parametrize("name", ["", "9a", "a-b", "int", "class", "é", "a" * 64, 3])
def test_other_names_are_refused(name):
    with pytest.raises(InputError, match="expected a letter"):
        check_name(name)


def test_packed_results_are_refused_by_the_title_of_their_node():
    model = nn.Sequential(nn.BinaryLinear(8, 3, rng=np.random.default_rng(0)), nn.Sign())
    net = bitnet.freeze(model, np.zeros((1, 8), np.uint8))
    with pytest.raises(InputError, match=r"\(thresholds\): there is no form in C for packed res"):
        to_c(net)


@needs_gcc
def test_a_language_model_runs_step_by_step():
    net = case("lstm 1").net
    ids, states = (
        np.random.default_rng(0).integers(0, 7, (5, 1)),
        [np.zeros((1, 9), np.float32)] * 2,
    )
    scores, *last = net.run(ids, *states)
    compiled, found = Compiled(net, "gcc", steps=1), []
    for own in ids:
        y, *states = compiled.run(own[None], *states)
        found.append(y)
    assert np.array_equal(np.concatenate(found), scores)
    assert all(np.array_equal(a, b) for a, b in zip(states, last, strict=True))


@needs_gcc
@pytest.mark.parametrize("name", ["mlp", "digits integer"])
def test_integers_have_the_order_of_the_scores(name):
    net = case(name).net
    x = np.random.default_rng(1).integers(0, 256, (300, *net.shape), np.uint8)
    compiled = Compiled(net, "gcc", scores="integer")
    assert bitnet.compare(net, compiled, x).differing_classes == 0


@pytest.fixture(scope="module")
def mnist():
    """Return the test images of MNIST."""
    return bitnet.load_dataset("mnist").test_images.reshape(-1, 784)


@needs_gcc
@needs_mnist
@pytest.mark.slow
@pytest.mark.parametrize("host", HOSTS)
def test_all_of_mnist_on_the_host(host, mnist):
    if reason := exported.missing(HOSTS[host][0]):
        pytest.skip(reason)
    net = case("digits auto").net
    agreement = bitnet.compare(net, Compiled(net, *HOSTS[host]), mnist)
    assert (agreement.images, agreement.integers) == (10_000, 1_060_000)
    assert agreement.is_complete


@needs_mnist
@pytest.mark.slow
@pytest.mark.parametrize("core", CORES)
def test_mnist_on_cores(core, mnist, tmp_path):
    if absent := CORES[core].missing():
        pytest.skip(f"{' and '.join(absent)} not installed: see the extra embed")
    digits = case("digits auto")
    own = exported.Case(digits.net, {}, [(image[None],) for image in mnist[:50]])
    machine = CORES[core].machine(own.header, tmp_path)
    for inputs, expected in zip(own.inputs, own.expected, strict=True):
        assert_equal(machine(*own.arrays(inputs)), expected, core)


@needs_gcc
@pytest.mark.parametrize("name", ["mlp", "convnet", "residual", "lstm 1"])
@pytest.mark.parametrize("form", [1, 2, 3])
def test_flash_bytes_are_those_of_the_constants(name, form, tmp_path):
    (tmp_path / "net.h").write_text(case(name).header.text + "flash NET_FLASH_BYTES\n")
    command = ["gcc", "-E", "-P", f"-DNET_FIRST={form}", str(tmp_path / "net.h")]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    sizes = {"uint32_t": 4, "int32_t": 4, "float": 4, "int16_t": 2, "uint8_t": 1}
    arrays = re.findall(r"^static const (\w+) net_(\w+)\[(\d+)\]", text, re.MULTILINE)
    found = sum(sizes[kind] * int(n) for kind, own, n in arrays if own != "expected")
    assert found == int(re.search(r"^flash (\d+)", text, re.MULTILINE)[1])
