"""The wheel of the predictor alone: what it holds, and that it works with NumPy only."""

import pathlib
import subprocess
import sys
import venv
import zipfile

import numpy as np
import predictor_wheel
import pytest

import bitnet

pytestmark = pytest.mark.slow
CONFORMANCE = pathlib.Path(__file__).parent / "conformance"
LOAD = """
import sys
import numpy as np
import bitnet
assert bitnet.__file__.startswith(sys.argv[1]), bitnet.__file__
for path in sys.argv[2:]:
    net = bitnet.load(path)
    print(net, net.execution)
    if net.input == "pixels":
        x = np.arange(3 * np.prod(net.shape)).reshape(3, *net.shape).astype(np.uint8)
        print(net.predict(x).tolist(), net.scores(x).tobytes().hex())
"""


@pytest.mark.parametrize("numba", [True, False])
def test_the_wheel_predicts_with_numpy_alone(numba, tmp_path):
    wheel = predictor_wheel.build(tmp_path, numba)
    folder = tmp_path / "site"
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    numpy = pathlib.Path(np.__file__).parent
    for source in (numpy, numpy.with_name("numpy.libs")):
        if source.exists():
            (site / source.name).symlink_to(source)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    paths = sorted(map(str, CONFORMANCE.glob("*.npz")))
    words = [str(folder / "bin" / "python"), "-I", "-c", LOAD, str(site), *paths]
    lines = iter(
        subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    )
    for path in paths:
        net = bitnet.load(path)
        assert next(lines).startswith(f"{net} node by node: the kernels are those of 'reference'")
        if net.input == "pixels":
            x = np.arange(3 * np.prod(net.shape)).reshape(3, *net.shape).astype(np.uint8)
            assert next(lines) == f"{net.predict(x).tolist()} {net.scores(x).tobytes().hex()}"
    assert list(lines) == []


def test_the_wheel_has_no_trainer():
    names = {".".join(path.with_suffix("").parts) for path in predictor_wheel.files()}
    rooms = {name.split(".")[1] for name in names if name.count(".") > 1}
    assert rooms == {"data", "deploy", "kernels", "training"}
    assert {name for name in names if ".training." in name} == {
        "bitnet.training.__init__",
        "bitnet.training.files",
    }
    few = predictor_wheel.files(numba=False)
    assert set(few) < set(predictor_wheel.files())
    assert not any("cpu" in path.parts or "cuda" in path.parts for path in few)


def test_the_wheel_has_a_record_and_the_same_bytes_each_time(tmp_path):
    first, second = (predictor_wheel.build(tmp_path / name) for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        (record,) = (name for name in archive.namelist() if name.endswith("/RECORD"))
        rows = [line.split(",") for line in archive.read(record).decode().splitlines()]
        assert {row[0] for row in rows} == set(archive.namelist())
        for name, digest, size in rows:
            content = archive.read(name)
            if name != record:
                assert digest == f"sha256={predictor_wheel.digest(content)}"
                assert int(size) == len(content)
    assert f"-{bitnet.__version__}-" in first.name


def test_the_files_are_listed():
    tool = pathlib.Path(predictor_wheel.__file__)
    words = [sys.executable, str(tool), "--list", "--no-numba"]
    out = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert out.split() == [str(path) for path in predictor_wheel.files(numba=False)]
