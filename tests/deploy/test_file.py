"""The file of a frozen net: small, whole, and refused if anything in it does not fit."""

import contextlib
import copy
import io
import itertools
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from frozen_nets import NETS, node, opened, places, put, read, sizes_of
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import seeds, some_widths

import bitnet
from bitnet import InputError, kernels, nn
from bitnet.archive import read_archive, write_archive
from bitnet.data.preparation import Preparation
from bitnet.deploy.file import KIND, VERSION
from bitnet.deploy.graph import FrozenGraph
from bitnet.deploy.sizes import at, total
from bitnet.nn.models.feedforward import binary_mlp


def frozen(sizes, seed=0, signs=False):
    model = binary_mlp(sizes, rng=np.random.default_rng(seed))
    return bitnet.freeze(model, kernels.pack(np.ones((1, sizes[0]))) if signs else None)


@settings(max_examples=25)
@given(st.lists(some_widths, min_size=2, max_size=4), seeds, st.booleans())
def test_what_goes_in_comes_out(tmp_path_factory, sizes, seed, signs):
    path = tmp_path_factory.mktemp("net") / "net.npz"
    net = frozen(sizes, seed, signs)
    net.save(path)
    loaded = bitnet.load(path)
    assert repr(loaded) == repr(net)
    assert_equal(net.graph, loaded.graph)
    x = np.random.default_rng(seed).choice(np.array([1, 255], np.uint8), (3, sizes[0]))
    x = np.where(x == 1, 1.0, -1.0) if signs else x
    assert np.array_equal(net.scores(x), loaded.scores(x))


def assert_equal(one, other):
    """Compare two graphs, node by node and array by array."""
    assert one.outputs == other.outputs
    assert one.values == other.values
    for a, b in zip(one.nodes, other.nodes, strict=True):
        assert (type(a), a.kind, a.inputs, a.name) == (type(b), b.kind, b.inputs, b.name)
        (header, arrays), (header_b, arrays_b) = a.contents(), b.contents()
        assert header == header_b
        assert arrays.keys() == arrays_b.keys()
        for name, array in arrays.items():
            assert array.dtype == arrays_b[name].dtype
            assert array.tobytes() == arrays_b[name].tobytes()


@pytest.mark.parametrize("name", NETS)
def test_nets_of_all_kinds_of_nodes_come_back(name, tmp_path):
    net = NETS[name]()
    net.save(tmp_path / "net.npz")
    loaded = bitnet.load(tmp_path / "net.npz")
    assert repr(loaded) == repr(net)
    assert_equal(net.graph, loaded.graph)
    loaded.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "net.npz").read_bytes()


def test_the_default_net_takes_five_percent_more_than_its_bits_and_thresholds(tmp_path):
    sizes = [784, 512, 512, 512, 10]
    frozen(sizes).save(tmp_path / "net.npz")
    bits = sum(m * n for n, m in itertools.pairwise(sizes)) / 8
    thresholds = sum(sizes[1:-1]) * (4 + 1 / 8) + 3 * 4 * sizes[-1]
    assert (tmp_path / "net.npz").stat().st_size <= 1.05 * (bits + thresholds)


@pytest.mark.parametrize(
    ("weights", "bits"), [(1, 1), (2, 2), (4, 4), (8, 8), ("log:4", 4), ("ternary", 2)]
)
def test_a_file_has_as_many_bits_as_the_weights(tmp_path, weights, bits):
    own = {"rng": np.random.default_rng(0), "weight_quantizer": weights}
    layers = nn.QuantLinear(512, 256, **own), nn.BatchNorm(256), nn.Quantize(1)
    net = bitnet.freeze(nn.Sequential(*layers, nn.QuantLinear(256, 4, **own), nn.BatchNorm(4)))
    net.save(tmp_path / "net.npz")
    n_weights = 512 * 256 + 256 * 4
    there = (tmp_path / "net.npz").stat().st_size
    assert bits * n_weights / 8 < there < bits * n_weights / 8 + 12_000


def test_changed_bytes_and_truncations_are_refused(tmp_path):
    """At every fifth place; `tests/test_archive.py` tests the container at every place."""
    path = tmp_path / "net.npz"
    frozen([9, 5, 3]).save(path)
    whole = path.read_bytes()
    assert len(whole) < 5000
    for place in range(0, len(whole), 5):
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        for content in (bytes(changed), whole[:place]):
            path.write_bytes(content)
            with pytest.raises(InputError, match=r"net\.npz"):
                bitnet.load(path)


def of(kind, *path):
    """Return a function that sets a value in the first node of a kind."""

    def change(value):
        return lambda header, arrays: put(node(header, kind)[1], path, value)

    return change


def array(kind, name):
    """Return a function that changes an array of the first node of a kind; None removes it."""

    def change(function):
        def run(header, arrays):
            key = f"{node(header, kind)[0]}.{name}"
            own = arrays.pop(key)
            if function is not None:
                arrays[key] = function(own)

        return run

    return change


WINDOW = {"size": [3, 3], "stride": [1, 1], "padding": [[1, 1], [1, 1]], "border": 0}
BIG = 10**30
SAME = {
    "mlp": [
        (lambda h, a: h.update(nodes=h["nodes"][:3]), "the file has arrays of .*which no node has"),
        (lambda h, a: h.update(nodes=[0] * 65537), "expected 1 to 65536"),
        (lambda h, a: h.update(nodes=[]), "expected 1 to"),
        (lambda h, a: h.update(nodes="9"), "expected 1 to"),
        (lambda h, a: h.pop("nodes"), "the header has .*; expected"),
        (lambda h, a: h.update(more=1), "the header has .*; expected"),
        (lambda h, a: h.update(nodes=h["nodes"][::-1]), "node 0"),
        (lambda h, a: h.update(nodes=[5, *h["nodes"][1:]]), "node 0: kind is 'None'"),
        (lambda h, a: h.update(outputs=[]), "an output"),
        (lambda h, a: h.update(outputs=5), "expected a list"),
        (lambda h, a: h.update(outputs=[99]), "expected numbers of nodes"),
        (lambda h, a: h.update(outputs=[-1]), "expected numbers of nodes"),
        (lambda h, a: h.update(outputs=[True]), "expected numbers of nodes"),
        (lambda h, a: h.update(convention={}), "expected classes, data, nodes, outputs"),
        (of("linear", "kind")("lineer"), "did you mean 'linear'"),
        (of("linear", "kind")(["linear"]), "kind is"),
        (of("linear", "kind")("conv"), "groups, inputs, kind, window"),
        (of("linear", "inputs")([2, 2]), "expected 2 or more numbers of earlier nodes"),
        (of("linear", "inputs")([0, 99]), "numbers of earlier nodes"),
        (of("linear", "inputs")([0, -1]), "numbers of earlier nodes"),
        (of("linear", "inputs")([0, True]), "numbers of earlier nodes"),
        (of("linear", "inputs")([0, 1.0]), "numbers of earlier nodes"),
        (of("linear", "inputs")([0]), "numbers of earlier nodes"),
        (of("linear", "inputs")([1, 0]), "expected packed values or pixels"),
        (of("linear", "inputs")("01"), "no list of operands"),
        (of("linear", "more")(1), "expected inputs, kind"),
        (of("linear", "name")(5), "has the name 5; expected text"),
        (of("pixels", "shape")(["B", 10]), r"pixels or packed values|expected packed"),
        (of("pixels", "shape")([]), "expected axes"),
        (of("pixels", "shape")(["B", -9]), "the size -9"),
        (of("pixels", "shape")(["B", "9"]), "the size '9'"),
        (of("pixels", "shape")(["B"] + 20 * [2]), "at most 8 sizes"),
        (of("pixels", "shape")(["B", 2**28, 2**28]), "at most 8 axes and 268435456 elements"),
        (of("pixels", "shape")(["B*T", 9]), "expected numbers, and names such as B"),
        (of("weights", "columns")(17), "17 signs per row"),
        (of("weights", "columns")(BIG), "a whole number of 1"),
        (of("weights", "columns")(0), "a whole number of 1"),
        (of("weights", "columns")(True), "has True; expected a whole number"),
        (of("weights", "columns")([9]), "expected a whole number"),
        (lambda h, a: node(h, "weights")[1].pop("columns"), "a whole number of 1"),
        (array("weights", "bits")(None), "signs per row"),
        (array("weights", "bits")(lambda a: a[:4]), "operands|thresholds is int32"),
        (array("weights", "bits")(lambda a: a | 128), "padding"),
        (array("weights", "bits")(lambda a: a.astype(float)), "float64"),
        (array("weights", "bits")(lambda a: a[0, 0]), "9 signs per row"),
        (array("thresholds", "increasing")(None), "increasing, thresholds"),
        (array("thresholds", "increasing")(lambda a: a[None]), "increasing is .*|signs per row"),
        (array("thresholds", "increasing")(lambda a: np.uint8([255])), "padding"),
        (array("thresholds", "thresholds")(np.float64), "thresholds is float64"),
        (array("thresholds", "thresholds")(lambda a: a[:4]), r"padding|\(4,\)"),
        (array("thresholds", "thresholds")(lambda a: a[0]), r"thresholds is int32 of shape \(\)"),
        (array("affine", "mean")(lambda a: a * np.float32(np.nan)), "mean holds NaN"),
        (array("affine", "scale")(lambda a: a[:2]), r"scale is float32 of shape \(2,\)"),
        (array("affine", "shift")(lambda a: a.astype(np.float64)), "three arrays .* of one type"),
        (lambda h, a: a.update(more=np.zeros(2)), "which no node has"),
        (lambda h, a: a.update({"0.more": np.zeros(2)}), "the file has .*more"),
        (lambda h, a: a.update({"99.bits": np.zeros(2)}), "which no node has"),
    ],
    "images": [
        (of("conv", "window")(None), "expected a dict with border, dilation, padding"),
        (of("conv", "window")([WINDOW]), "expected a dict with border, dilation, padding"),
        (of("conv", "window", "size")([2, 3]), "with the taps of"),
        (of("conv", "window", "size")([3, "3"]), "Window: size"),
        (of("conv", "window", "size")([3, 3.0]), "Window: size"),
        (of("conv", "window", "size")([2**31, 3]), "Window: size"),
        (of("conv", "window", "fly")(1), "expected a dict with border, dilation, padding"),
        (of("conv", "window", "border")(7), "border 7"),
        (of("conv", "window", "stride")([0, 1]), "stride"),
        (of("conv", "window", "padding")([[10**9, 1], [1, 1]]), "smaller than the window"),
        (
            of("maxpool", "window")(WINDOW | {"size": [1, 3]}),
            "smaller than the window on each axis",
        ),
        (of("maxpool", "window", "size")([2**12, 2**13]), "taps; expected at most 4096"),
        (of("sumpool", "window", "size")([2**20, 20]), "taps; expected at most 4096"),
        (of("conv", "groups")(0), "a whole number of 1"),
        (of("conv", "groups")(1.5), "a whole number of 1"),
        (of("conv", "groups")(3), "divides both"),
        (of("maxpool", "window", "size")([9, 9]), "does not fit"),
        (of("maxpool", "window", "size")([10**9, 10**9]), "taps; expected at most 4096"),
        (of("float conv", "groups")(2), "filters"),
        (of("sumpool", "window", "padding")([[5, 5], [5, 5]]), "smaller than the window"),
        (of("quantize 2", "codebook")(None), "edges of shape"),
        (of("quantize 2", "codebook", "unit")(0.0), "a unit above 0"),
        (of("quantize 2", "codebook", "unit")(float("inf")), "a finite number"),
        (of("quantize 2", "codebook", "patterns")([0, 1 << 40]), "whole numbers"),
        (of("quantize 2", "codebook", "patterns")([3, 2, 1, 0]), "increasing numbers"),
        (of("quantize 2", "codebook", "patterns")([0, -1]), "whole numbers|0 or more"),
        (of("quantize 2", "codebook", "more")(1), "coefficients, offset, patterns, unit"),
        (array("quantize 2", "edges")(lambda a: a[::-1]), "sorted"),
        (
            array("quantize 2", "edges")(lambda a: a * np.float32(np.nan)),
            "expected at most 3, sorted",
        ),
        (
            array("quantize 2", "edges")(lambda a: a.astype(np.float64)),
            r"operands .*expected float64",
        ),
        (array("select", "ids")(lambda a: a + 1), "expected numbers below"),
        (array("select", "ids")(lambda a: a - 1), "expected numbers below"),
        (array("select", "ids")(lambda a: a.astype(np.int32)), "ids is int32"),
        (of("select", "axis")(7), "an axis 7"),
        (of("slice", "index")([{"slice": [0, 1, 0]}]), "start, stop and step"),
        (of("slice", "index")([0, 0, 0]), "an array with more axes"),
        (of("slice", "index")(["...", "..."]), "more axes"),
        (of("slice", "index")([None]), "a part of an index"),
        (of("slice", "index")([{"slice": [None, 1, None]}]), "depends on the inputs"),
        (of("slice", "index")(["...", 99]), "has the element 99"),
        (of("slice", "index")(["new axis"] * 12), "at most 8 axes"),
        (of("power", "exponent")("2"), "a finite number"),
        (of("concatenate", "inputs")([]), "numbers of earlier nodes"),
        (array("constant", "array")(lambda a: a * np.inf), "NaN or infinity"),
        (of("constant", "shape")([99]), "broadcasts to"),
    ],
    "sequences": [
        (of("ids", "below")(0), "a whole number of 1 or more"),
        (of("ids", "below")(6), "ids of up to 5 for a table of 5 rows"),
        (of("ids", "below")(2**31), "a whole number of 1"),
        (of("reshape", "shape")(["T*B", 5]), "as many elements"),
        (of("reshape", "shape")(["T*B*Z", 4]), "as many elements"),
        (of("reshape", "shape")(["9" * 99 + "*T"]), "the size"),
        (of("lstm", "unit")(None), "a finite number"),
        (of("lstm", "relu")(1), "true or false"),
        (of("lstm", "kind")("gru"), "expected floats"),
        (of("lstm", "inputs")([0, 0, 0, 0]), "expected floats"),
        (array("lstm", "edges")(lambda a: a.astype(np.float64)), "edges float64.*expected float32"),
        (array("lstm", "edges")(lambda a: np.tile(a, 9)), "edges of shape"),
        (array("lstm", "edges")(lambda a: a[::-1]), "edges"),
        (array("lstm", "edges")(lambda a: a * np.float32(np.nan)), "edges"),
        (of("rescale", "unit")(1e300), "at most what floats hold"),
        (array("rescale", "bias")(lambda a: a[1:]), "bias is float32"),
        (of("take", "inputs")([0, 0]), "numbers of earlier nodes|expected numbers"),
    ],
}
CASES = [(name, *case) for name, own in SAME.items() for case in own]


@pytest.mark.parametrize(("name", "change", "message"), CASES)
def test_inconsistent_files_with_a_valid_seal_are_refused(tmp_path, name, change, message):
    path = tmp_path / "net.npz"
    header, arrays = opened(name)
    write_archive(path, KIND, VERSION, header, arrays)
    header, arrays = read_archive(path, KIND, VERSION)
    change(header, arrays)
    write_archive(path, KIND, VERSION, header, arrays)
    with pytest.raises(InputError, match=message) as caught:
        bitnet.load(path)
    assert str(path) in str(caught.value)


LONG = "x" * 5000
PREPARE = {"steps": ["gcn"], "image": [4, 6, 2], "sqrt_bias": 1, "regularizer": 0}
PREPARE |= {"clip": 3, "mean": 0, "std": 1}


@pytest.mark.parametrize(
    "change",
    [
        of("conv", "window", "size")([LONG, 1]),
        of("conv", "window", "stride")(LONG),
        of("conv", "window", "padding")([LONG, LONG]),
        of("conv", "window", "border")(LONG),
        of("conv", "kind")(LONG),
        of("pixels", "shape")(LONG),
        lambda h, a: h.update(data=[LONG]),
        lambda h, a: h.update(prepare=PREPARE | {"steps": [LONG]}),
        lambda h, a: h.update(prepare=PREPARE | {"image": LONG}),
        lambda h, a: h.update(prepare=PREPARE | {"std": LONG}),
        lambda h, a: h.update(version=LONG),
        lambda h, a: h.update(kind=LONG),
    ],
)
def test_errors_do_not_repeat_a_long_value(tmp_path, change):
    path = tmp_path / "net.npz"
    header, arrays = opened("images")
    header |= {"kind": KIND, "version": VERSION}
    change(header, arrays)
    write_archive(path, KIND, VERSION, header, arrays)
    with pytest.raises(InputError) as caught:
        bitnet.load(path)
    assert len(str(caught.value)) < len(str(path)) + 600


VALUES = [None, True, False, -1, 0, 1, 2, 3, 7, 64, 2**28, 2**31, 10**30, 0.5, 1e300, float("nan")]
VALUES += ["", "B", "T*B", "3*B", "linear", "signs", "float64", [], [1], [0, 1], [[1, 1], [0, 0]]]
VALUES += [{}, ["B", 4], ["B", 2**27], {"slice": [0, 1, 1]}, "...", "new axis", WINDOW]
ARRAYS = [
    lambda a: a[:0],
    lambda a: a[1:],
    lambda a: a[..., None],
    lambda a: a.astype(np.float32),
    lambda a: a.astype(np.int64),
    lambda a: a.astype(np.uint8),
    lambda a: np.concatenate([a, a]),
    lambda a: a.T,
    lambda a: a.reshape(-1),
    lambda a: a[::-1].copy(),
    lambda a: a.astype(np.bool_),
    lambda a: np.full_like(a, 200),
    lambda a: np.zeros((), a.dtype),
    None,
]


def changed(data, header, arrays):
    """Change one thing in a header or its arrays."""
    if data.draw(st.integers(0, 3)) == 0:
        name = data.draw(st.sampled_from(sorted(arrays)))
        function = data.draw(st.sampled_from(ARRAYS))
        own = arrays.pop(name)
        if function is not None and own.ndim:
            arrays[data.draw(st.sampled_from([name, name, name, *arrays]))] = function(own)
        return
    *way, last = data.draw(st.sampled_from(places(header)))
    here = header
    for key in way:
        here = here[key]
    how = data.draw(st.sampled_from(["value", "value", "other", "remove", "twice", "reverse"]))
    if how == "value":
        here[last] = copy.deepcopy(data.draw(st.sampled_from(VALUES)))
    elif how == "other":
        value = header
        for key in data.draw(st.sampled_from(places(header))):
            value = value[key]
        here[last] = copy.deepcopy(value)
    elif how == "remove":
        del here[last]
    elif isinstance(here, list):
        here[:] = here[::-1] if how == "reverse" else [*here, copy.deepcopy(here[last])]


@pytest.mark.parametrize("name", NETS)
@settings(max_examples=100 if settings.get_current_profile_name() == "bitnet" else 2000)
@given(data=st.data())
def test_a_changed_header_is_read_or_refused(name, data):
    """Nothing but InputError is raised, little memory is taken, and what is read also runs."""
    header, arrays = opened(name)
    for _ in range(data.draw(st.integers(1, 3))):
        changed(data, header, arrays)
    tracemalloc.start()
    try:
        with contextlib.suppress(InputError), np.errstate(all="ignore"):
            net = read(name, header, arrays)
            assert repr(net) in net._repr_html_() or "&" in net._repr_html_()
            run_small(net)
        assert tracemalloc.get_traced_memory()[1] < 1 << 26
    finally:
        tracemalloc.stop()


def run_small(net):
    """Run a net on one zero input, unless its values are large."""
    sizes = sizes_of(net.graph, 1)
    shapes = [at(value.shape, sizes) for value in net.graph.values]
    if all(total(shape) < 1 << 16 and min(shape, default=1) >= 0 for shape in shapes):
        kinds = {"pixels": np.uint8, "ids": np.int64}
        inputs = [
            np.full(at(own.shape, sizes), own.kind == "signs", kinds.get(own.kind, np.float32))
            for own in net.graph.inputs
        ]
        net.run(*inputs)


def test_unknown_versions_and_large_files_are_refused(tmp_path):
    path = tmp_path / "net.npz"
    net = frozen([9, 5, 3])
    net.save(path)
    header, arrays = read_archive(path, KIND, VERSION)
    write_archive(path, KIND, VERSION + 1, header, arrays)
    with pytest.raises(InputError, match=f"version {VERSION + 1}"):
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
    assert len(loaded) <= 52
    rooms = {name.partition(".")[2].partition(".")[0] for name in predicted}
    rooms -= {"", "archive", "arrays", "data", "deploy", "devices", "errors", "files", "kernels"}
    assert rooms <= {"training"}  # whose files.py knows what reads a kind
    of_training = {name for name in predicted if name.startswith("bitnet.training.")}
    assert of_training == {"bitnet.training.files"}
    assert not {"bitnet.deploy.freeze", "bitnet.data.datasets"} & set(predicted)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("classes", [0, 1, 2]),
        ("classes", ["a", "b"]),
        ("classes", "abc"),
        ("data", 7),
        ("picture", [3, 3]),
        ("picture", (3, 3, 1.0)),
    ],
)
def test_what_would_not_be_loaded_is_not_saved(tmp_path, name, value):
    net, path = frozen([9, 5, 3]), tmp_path / "net.npz"
    net.save(path)
    whole = path.read_bytes()
    setattr(net, name, value)
    with pytest.raises(InputError, match=f"cannot be saved: .*{name}"):
        net.save(path)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("classes", [("a", "b", "c"), np.array(["a", "b", "c"]), ["é", "\x1b", ""]])
def test_what_is_saved_is_loaded_from_a_file_and_from_a_stream(tmp_path, classes):
    net, stream = frozen([9, 5, 3]), io.BytesIO()
    net.classes, net.data, net.picture = classes, "own", (3, 3, 1)
    net.save(tmp_path / "net.npz")
    net.save(stream)
    assert stream.getvalue() == (tmp_path / "net.npz").read_bytes()
    for source in (tmp_path / "net.npz", io.BytesIO(stream.getvalue())):
        loaded = bitnet.load(source)
        about = loaded.classes, loaded.data, loaded.picture
        assert about == (tuple(classes), "own", (3, 3, 1))
        x = np.arange(18, dtype=np.uint8).reshape(2, 9)
        assert loaded.scores(x).tolist() == net.scores(x).tolist()


def graph_of(*nodes):
    """Return the graph of (kind, operands, further entries)."""
    own = [{"kind": kind, "inputs": inputs, **more} for kind, inputs, more in nodes]
    return FrozenGraph.from_contents({"nodes": own, "outputs": [len(own) - 1]}, {})


@pytest.mark.parametrize(
    ("shape", "size", "words"),
    [
        ([65, 64, 1], [65, 64], "4160 taps; expected at most 4096"),
        ([2000, 2000, 1], [64, 64], "sees 15368065024 elements per input"),
    ],
)
def test_windows_that_compute_for_long_are_refused(shape, size, words):
    window = WINDOW | {"size": size, "padding": [[0, 0], [0, 0]]}
    with pytest.raises(InputError, match=words):
        graph_of(("pixels", [], {"shape": ["B", *shape]}), ("maxpool", [0], {"window": window}))
    window["size"] = [64, 64]  # a pooling of whole images
    graph_of(("pixels", [], {"shape": ["B", 64, 64, 9]}), ("maxpool", [0], {"window": window}))


def test_the_work_of_all_nodes_is_bounded():
    start = ("numbers", [], {"shape": ["B", 1 << 20]})
    steps = [("exp", [i], {}) for i in range(4095)]
    assert len(graph_of(start, *steps).nodes) == 4096  # 2^20 elements each, 2^32 in all
    with pytest.raises(InputError, match=r"node 4096 \(exp\): more than 4294967296 elements"):
        graph_of(start, *steps, ("exp", [0], {}))
    product = ("matmul", [0, 1], {})
    rows = ("numbers", [], {"shape": [1 << 14, 1 << 14]})
    with pytest.raises(InputError, match=r"node 2 .matmul.: more than"):
        graph_of(rows, rows, product)
