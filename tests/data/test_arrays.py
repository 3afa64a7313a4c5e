"""Arrays of pixels from .npy and .npz: files of NumPy are read back, others are refused."""

import contextlib
import io
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from bitnet import InputError
from bitnet.data.arrays import parse_npy, read_arrays


def npy(array, **more):
    np.lib.format.write_array(file := io.BytesIO(), array, **more)
    return file.getvalue()


@given(
    arrays(np.uint8, array_shapes(min_dims=0, min_side=0, max_side=5)),
    st.booleans(),
    st.sampled_from([(1, 0), (2, 0)]),
)
def test_what_numpy_writes_comes_back(array, fortran, version):
    array = np.asfortranarray(array) if fortran else array
    assert np.array_equal(parse_npy(npy(array, version=version), "a"), array)


def test_files(tmp_path):
    a, b = np.arange(12, dtype=np.uint8).reshape(3, 2, 2), np.zeros((1, 2, 2), np.uint8)
    np.save(tmp_path / "a.npy", a)
    assert np.array_equal(read_arrays(tmp_path / "a.npy")[""], a)
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "ab.npz", a=a, b=b)
        found = read_arrays(tmp_path / "ab.npz")
        assert sorted(found) == ["a", "b"]
        assert np.array_equal(found["a"], a)


def header(text):
    text = text.encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a .npy"),
        (b"\x93NUMPY", "not a .npy"),
        (npy(np.zeros(3)), "expected uint8"),
        (npy(np.array([{}], object), allow_pickle=True), "expected uint8"),
        (npy(np.zeros(30, np.uint8))[:-1], "cut off"),
        (npy(np.zeros(30, np.uint8)) + b"x", "cut off"),
        (header("{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999,), }\n"), "cut"),
        (
            header("{'descr': '|u1', 'fortran_order': False, 'shape': (1, -1), }\n"),
            "expected uint8",
        ),
        (header("{'descr': '|u1', 'fortran_order': False, 'shape': (1 2), }\n"), "uint8"),
        (header("{'descr': '|u1', 'fortran_order': False, 'shape': (5), }\n"), "uint8"),
        (header("{'descr': '|u1', 'fortran_order': False, 'shape': (,), }\n"), "uint8"),
        (header("{'descr': '|u1', 'fortran_order': False, 'shape': (08,), }\n"), "cut off"),
        (
            header(f"{{'descr': '|u1', 'fortran_order': False, 'shape': (0, {19 * '9'}), }}\n"),
            "expected a shape that an array can have",
        ),
        (b"\x93NUMPY\x02\x00" + b"\xff" * 4 + b"x" * 50, "uint8"),
        (b"\x93NUMPY\x02\x00" + b"\xff" * 4, "uint8"),
    ],
)
def test_other_bytes_are_refused(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        parse_npy(content, "a.npy")
    with pytest.raises(InputError):
        (tmp_path / "a.npy").write_bytes(content)
        read_arrays(tmp_path / "a.npy")


def test_every_cut_and_changed_byte_is_read_or_refused():
    whole = npy(np.arange(9, dtype=np.uint8))
    for place in range(len(whole)):
        with pytest.raises(InputError):
            parse_npy(whole[:place], "a.npy")
        for change in (1, 0x80):
            content = bytearray(whole)
            content[place] ^= change
            with contextlib.suppress(InputError):
                parse_npy(bytes(content), "a.npy")


def test_a_bomb_is_refused(tmp_path):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", npy(np.zeros(10**6, np.uint8)))
    assert path.stat().st_size < 10**4
    with pytest.raises(InputError, match="too large when unpacked"):
        read_arrays(path, max_bytes=10**5)
    np.save(tmp_path / "large.npy", np.zeros(10**6, np.uint8))
    with pytest.raises(InputError, match="too large; expected at most 100000 bytes"):
        read_arrays(tmp_path / "large.npy", max_bytes=10**5)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, a=np.zeros(10, np.uint8))
    whole = path.read_bytes()
    for content in (
        b"",
        b"text",
        whole[:-5],
        whole[:40],
        whole.replace(b"\x00" * 10, b"\x01" * 10),
        whole[:-6] + b"\xfe\xff\xff\xff" + whole[-2:],  # a directory outside of the file
        whole[:-10] + b"\xff\xff\xff\x7f" + whole[-6:],
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"a\.npz"):
            read_arrays(path)


def test_an_npz_unpacks_to_a_stated_multiple_of_its_size(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.zeros((100, 1000), np.uint8))
    assert read_arrays(path)["a"].shape == (100, 1000)
    monkeypatch.setattr("bitnet.data.arrays.UNPACKED", 0)
    with pytest.raises(
        InputError, match=r"too large when unpacked; expected at most .* for a file"
    ):
        read_arrays(path)


@pytest.mark.parametrize("stated", [50, 5000])
def test_a_member_of_another_size_than_stated_is_refused(tmp_path, stated):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.npy", npy(np.zeros(1000, np.uint8)))
        n_bytes = file.getinfo("a.npy").file_size
    before = n_bytes.to_bytes(4, "little")
    (tmp_path / "a.npz").write_bytes(
        stream.getvalue().replace(before, stated.to_bytes(4, "little"))
    )
    with pytest.raises(InputError, match=r"a\.npz"):
        read_arrays(tmp_path / "a.npz")
