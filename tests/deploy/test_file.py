"""The file of a frozen net: small, whole, and refused if anything in it does not fit."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import seeds, some_widths

import bitnet
from bitnet import InputError
from bitnet.archive import read_archive, write_archive
from bitnet.data.preparation import Preparation
from bitnet.deploy.file import KIND, VERSION
from bitnet.nn.models.feedforward import binary_mlp


def frozen(sizes, seed=0, input="pixels"):
    return bitnet.freeze(binary_mlp(sizes, rng=np.random.default_rng(seed)), input)


@settings(max_examples=25)
@given(st.lists(some_widths, min_size=2, max_size=4), seeds, st.sampled_from(["pixels", "signs"]))
def test_what_goes_in_comes_out(tmp_path_factory, sizes, seed, input):
    path = tmp_path_factory.mktemp("net") / "net.npz"
    net = frozen(sizes, seed, input)
    net.save(path)
    loaded = bitnet.load(path)
    assert repr(loaded) == repr(net)
    for a, b in zip(net.layers, loaded.layers, strict=True):
        assert a.bits.equals(b.bits)
        for name in vars(a).keys() - {"bits"}:
            assert np.array_equal(getattr(a, name), getattr(b, name))
            assert getattr(getattr(a, name), "dtype", None) == getattr(
                getattr(b, name), "dtype", None
            )
    x = np.random.default_rng(seed).choice(np.array([1, 255], np.uint8), (3, sizes[0]))
    x = x if input == "pixels" else np.where(x == 1, 1.0, -1.0)
    assert np.array_equal(net.scores(x), loaded.scores(x))


def test_the_default_net_takes_five_percent_more_than_its_bits_and_thresholds(tmp_path):
    sizes = [784, 512, 512, 512, 10]
    frozen(sizes).save(tmp_path / "net.npz")
    bits = sum(m * n for n, m in itertools.pairwise(sizes)) / 8
    thresholds = sum(sizes[1:-1]) * (4 + 1 / 8) + 3 * 4 * sizes[-1]
    assert (tmp_path / "net.npz").stat().st_size <= 1.05 * (bits + thresholds)


def test_every_changed_byte_and_every_truncation_is_refused(tmp_path):
    path = tmp_path / "net.npz"
    frozen([9, 5, 3]).save(path)
    whole = path.read_bytes()
    assert len(whole) < 4000
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        for content in (bytes(changed), whole[:place]):
            path.write_bytes(content)
            with pytest.raises(InputError, match=r"net\.npz"):
                bitnet.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h, a: h.update(layers=h["layers"][:1]), r"the file has \['0', '1'\]; expected 0"),
        (lambda h, a: h.update(layers=h["layers"] * 10**4), r"the file has \['0', '1'\]; expected"),
        (lambda h, a: h.update(layers=h["layers"] * 10**6), "expected 1 to 65536"),
        (
            lambda h, a: h["layers"][1].update(inputs=6),
            r"layer 1 .*: .*\(3, 6\); expected \(M, 5\)",
        ),
        (lambda h, a: h["layers"][0].update(inputs=17), "17 signs per row"),
        (lambda h, a: h["layers"][0].update(inputs=10**30), "signs per row"),
        (lambda h, a: h["layers"][0].update(inputs=0), "layer 0 .*: .*a whole number of 1 or more"),
        (lambda h, a: h["layers"][0].update(inputs=True), "has True; expected a whole number"),
        (lambda h, a: h["layers"][0].update(inputs=[9]), "expected a whole number"),
        (lambda h, a: h["layers"][0].pop("inputs"), "expected inputs, kind"),
        (lambda h, a: h["layers"][0].update(more=1), "expected inputs, kind"),
        (lambda h, a: h["layers"][0].update(kind="FrozenOutput"), "the file of a layer has"),
        (lambda h, a: h["layers"][0].update(kind="dict"), "layer 0: kind is 'dict'"),
        (lambda h, a: h["layers"][0].update(kind=["FrozenLayer"]), "layer 0: kind is"),
        (lambda h, a: h.update(layers=[5, h["layers"][1]]), "layer 0: kind is None"),
        (lambda h, a: h.update(layers=h["layers"][::-1]), "the file of a layer has"),
        (lambda h, a: h.update(layers=[]), "expected 1 to"),
        (lambda h, a: h.update(layers="9"), "expected 1 to"),
        (lambda h, a: h.pop("layers"), "the header has .*; expected"),
        (lambda h, a: h.update(more=1), "the header has .*; expected"),
        (lambda h, a: h.update(input="floats"), "floats"),
        (lambda h, a: h.update(input=["pixels"]), "pixels"),
        (lambda h, a: h.update(convention={}), "a convention different"),
        (lambda h, a: h.pop("convention"), "a convention different"),
        (
            lambda h, a: a.pop("0.increasing"),
            "layer 0 .*: the file of a layer has .*increasing, thresholds",
        ),
        (lambda h, a: a.update(more=a.pop("0.increasing")), "expected 0, 1"),
        (lambda h, a: a.update(more=np.zeros(2)), "expected 0, 1"),
        (lambda h, a: a.update({"0.more": np.zeros(2)}), "expected bits, increasing, thresholds"),
        (lambda h, a: a.update({"0.bits": a["0.bits"][:4]}), "padding bit .* the 4 signs"),
        (lambda h, a: a.update({"0.bits": a["0.bits"] | 128}), "padding"),
        (lambda h, a: a.update({"0.bits": a["0.bits"].astype(float)}), "float64"),
        (lambda h, a: a.update({"0.bits": a["0.bits"][0]}), "layer 0 .*: 9 signs per row"),
        (lambda h, a: a.update({"0.bits": a["0.bits"][0, 0]}), "layer 0 .*: 9 signs per row"),
        (
            lambda h, a: a.update({"0.increasing": a["0.increasing"][None]}),
            r"increasing is .*\(1, 5\)",
        ),
        (lambda h, a: a.update({"0.thresholds": np.zeros(5)}), "thresholds is float64"),
        (lambda h, a: a.update({"0.thresholds": np.zeros(4, np.int32)}), r"\(4,\)"),
        (lambda h, a: a.update({"0.increasing": np.uint8([255])}), "padding"),
        (lambda h, a: a.update({"1.mean": np.full(3, np.nan, np.float32)}), "NaN"),
    ],
)
def test_inconsistent_files_with_a_valid_seal_are_refused(tmp_path, change, message):
    path = tmp_path / "net.npz"
    frozen([9, 5, 3]).save(path)
    header, arrays = read_archive(path, KIND, VERSION)
    change(header, arrays)
    write_archive(path, KIND, VERSION, header, arrays)
    with pytest.raises(InputError, match=message) as caught:
        bitnet.load(path)
    assert str(path) in str(caught.value)


def test_unknown_versions_and_large_files_are_refused(tmp_path):
    path = tmp_path / "net.npz"
    net = frozen([9, 5, 3])
    net.save(path)
    header, arrays = read_archive(path, KIND, VERSION)
    write_archive(path, KIND, VERSION + 1, header, arrays)
    with pytest.raises(InputError, match="version 2"):
        bitnet.load(path)
    net.save(path)
    with pytest.raises(InputError, match="at most 1000"):
        bitnet.load(path, max_bytes=1000)
    with pytest.raises(FileNotFoundError):
        bitnet.load(tmp_path / "nothing.npz")


def described():
    """A net with everything that a file can store about its data."""
    net = frozen([12, 5, 2])
    net.classes, net.data, net.picture = ("a", "b"), "digits", (3, 4, 1)
    images = np.random.default_rng(0).integers(0, 256, (50, 3, 4, 1), np.uint8)
    net.preparation = Preparation.fit(("gcn", "zca"), images)
    return net, images


def test_what_a_net_is_of_comes_back(tmp_path):
    net, images = described()
    net.save(tmp_path / "net.npz")
    loaded = bitnet.load(tmp_path / "net.npz")
    assert (loaded.classes, loaded.data, loaded.picture) == (("a", "b"), "digits", (3, 4, 1))
    prepared = loaded.prepare(images)
    assert np.array_equal(prepared, net.preparation(images))
    assert np.array_equal(loaded.prepare(images[..., 0]), prepared)
    assert np.array_equal(loaded.scores(images), net.scores(prepared, prepared=True))
    assert np.array_equal(loaded.predict(images), loaded.predict(prepared, prepared=True))
    assert "pixels prepared by gcn zca)" in repr(loaded)
    net.preparation = None
    assert net.prepare(images) is images


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("classes", ["a"], "classes"),
        ("classes", ["a", 5], "classes"),
        ("classes", "ab", "classes"),
        ("data", 5, "data"),
        ("picture", [3, 4], "picture"),
        ("picture", [3, 5, 1], "picture"),
        ("picture", [-3, -4, 1], "picture"),
        ("picture", [3.0, 4, 1], "picture"),
        ("prepare", None, "Preparation"),
        ("prepare", {"steps": ["gcn"]}, "Preparation"),
    ],
)
def test_lies_about_the_data_are_refused(tmp_path, name, value, message):
    path = tmp_path / "net.npz"
    described()[0].save(path)
    header, arrays = read_archive(path, KIND, VERSION)
    write_archive(path, KIND, VERSION, header | {name: value}, arrays)
    with pytest.raises(InputError, match=f"net.npz.*{message}"):
        bitnet.load(path)


def test_arrays_of_a_preparation_are_checked(tmp_path):
    path = tmp_path / "net.npz"
    described()[0].save(path)
    header, arrays = read_archive(path, KIND, VERSION)
    for change in (
        {"prepare.zca_matrix": np.zeros((12, 11), np.float32)},
        {"prepare.zca_matrix": np.full((12, 12), np.nan, np.float32)},
        {"prepare.other": np.zeros(3, np.float32)},
    ):
        write_archive(path, KIND, VERSION, header, arrays | change)
        with pytest.raises(InputError, match="Preparation"):
            bitnet.load(path)
    image = header["prepare"]["image"]
    header["prepare"]["image"] = [2, 6, 1]
    write_archive(path, KIND, VERSION, header, arrays)
    with pytest.raises(InputError, match="images differ from the net's"):
        bitnet.load(path)
    header["prepare"] |= {"image": [*image, 1]}
    write_archive(path, KIND, VERSION, header, arrays)
    with pytest.raises(InputError, match="Preparation"):
        bitnet.load(path)


def test_a_frozen_net_is_read_without_the_trainer(tmp_path):
    frozen([9, 5, 3]).save(tmp_path / "net.npz")
    code = (
        "import sys, bitnet\n"
        "import numpy as np\n"
        "net = bitnet.load(sys.argv[1])\n"
        "print(*(name for name in sys.modules if name.partition('.')[0] == 'bitnet'))\n"
        "net.predict(np.ones((2, 9), np.uint8))\n"
        "print(*(name for name in sys.modules if name.partition('.')[0] == 'bitnet'))"
    )
    command = [sys.executable, "-c", code, tmp_path / "net.npz"]
    out = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded, predicted = (line.split() for line in out.stdout.splitlines())
    assert len(loaded) <= 42
    rooms = {name.partition(".")[2].partition(".")[0] for name in predicted}
    rooms -= {"", "archive", "arrays", "data", "deploy", "devices", "errors", "kernels"}
    assert rooms <= {"training"}  # whose files.py knows what reads a kind
    of_training = {name for name in predicted if name.startswith("bitnet.training.")}
    assert of_training == {"bitnet.training.files"}
    assert not {"bitnet.deploy.recurrent", "bitnet.data.datasets"} & set(predicted)
