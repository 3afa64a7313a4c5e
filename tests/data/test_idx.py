"""IDX files, valid and hostile."""

import gzip
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitnet import InputError
from bitnet.data import read_idx
from bitnet.data.idx import write_idx

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 4, 5), dtype=np.uint8)


def content(array=IMAGES, type_code=8, shape=None):
    shape = array.shape if shape is None else shape
    header = struct.pack(f">BBBB{len(shape)}I", 0, 0, type_code, len(shape), *shape)
    return header + array.tobytes()


def refused(tmp_path, data, message, **options):
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(InputError, match=message) as caught:
        read_idx(path, **options)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["plain", "zipped.gz"])
def test_write_and_read(tmp_path, name):
    write_idx(tmp_path / name, IMAGES)
    assert np.array_equal(read_idx(tmp_path / name), IMAGES)
    assert (tmp_path / name).read_bytes().startswith(b"\x1f\x8b") == name.endswith(".gz")


def test_gzip_is_known_by_its_bytes(tmp_path):
    (tmp_path / "images").write_bytes(gzip.compress(content()))
    assert np.array_equal(read_idx(tmp_path / "images"), IMAGES)


def test_no_elements(tmp_path):
    (tmp_path / "empty").write_bytes(content(shape=(0, 28, 28), array=IMAGES[:0]))
    assert read_idx(tmp_path / "empty").shape == (0, 28, 28)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not an IDX file"),
        (b"\0\0\x08", "not an IDX file"),
        (b"PK\x03\x04 some zip", "not an IDX file"),
        (b"\0\0\x08\0", "not an IDX file"),
        (b"\0\0\x08\x09" + bytes(99), "not an IDX file"),
        (content(type_code=0x0D), "type code 13"),
        (content()[:9], "truncated within the header"),
        (content()[:-1], "truncated"),
        (content() + b"\0", "too long"),
        (content(shape=(3, 4, 2**32 - 1)), "expected at most"),
        (content(shape=(2**32 - 1, 2**32 - 1, 2**32 - 1)), "expected at most"),
        (content(shape=(0, 2**32 - 1, 2**32 - 1)), "expected at most"),
        (content(shape=(1000, 1000, 500)), "truncated: the header states 500000000 bytes"),
    ],
)
def test_what_is_no_good_file_is_refused(tmp_path, pack, data, message):
    refused(tmp_path, pack(data), message)


@given(cut=st.integers(1, 60), data=st.data())
def test_damaged_gzip_is_refused(tmp_path_factory, cut, data):
    whole = gzip.compress(content(), mtime=0)
    folder = tmp_path_factory.mktemp("idx")
    refused(folder, whole[:-cut], ".")
    place = data.draw(st.integers(10, len(whole) - 1))
    changed = bytearray(whole)
    changed[place] ^= 1 << data.draw(st.integers(0, 7))
    refused(folder, bytes(changed), ".")


def test_garbage_behind_gzip_is_refused(tmp_path):
    refused(tmp_path, gzip.compress(content()) + b"more", "damaged")


def test_a_limit_holds_before_anything_is_allocated(tmp_path):
    refused(tmp_path, content(), "at most 59", max_bytes=59)
    assert read_idx(tmp_path / "file", max_bytes=60).shape == IMAGES.shape
    bomb = gzip.compress(content(shape=(1, 1, 1000)) + bytes(50_000_000))
    tracemalloc.start()
    refused(tmp_path, content(shape=(1000, 1000, 1000)), "truncated")
    refused(tmp_path, bomb, "too long")
    assert tracemalloc.get_traced_memory()[1] < 8_000_000
    tracemalloc.stop()


def test_a_missing_file_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "nothing")


@pytest.mark.parametrize("array", [np.zeros(3), np.uint8(3), np.zeros((1,) * 5, np.uint8)])
def test_what_idx_cannot_hold_is_refused(tmp_path, array):
    with pytest.raises(InputError, match="uint8"):
        write_idx(tmp_path / "file", array)
    assert not list(tmp_path.iterdir())
