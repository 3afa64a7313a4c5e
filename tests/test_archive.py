"""Files are read completely or rejected: changed bytes, hostile zips, full disks."""

import hashlib
import io
import json
import os
import subprocess
import sys
import warnings
import zipfile

import numpy as np
import pytest

from bitnet import InputError
from bitnet.archive import archive_bytes, kind_of, read_archive, write_archive
from bitnet.files import check_writable, replacing

ARRAYS = {
    "a": np.arange(6, dtype=np.int32).reshape(2, 3),
    "b": np.array([True, False]),
    "c": np.array(7, np.int64),
    "d": np.zeros((0, 4), np.float32),
}


@pytest.fixture
def path(tmp_path):
    write_archive(tmp_path / "file.npz", "test", 1, {"n": [1, 2]}, ARRAYS)
    return tmp_path / "file.npz"


def sealed(content):
    """Return bytes with a valid digest at their end, like those of a hostile writer."""
    return content + hashlib.sha256(content).hexdigest().encode()


def hostile(path, members, compress=zipfile.ZIP_STORED):
    """Write a zip with these members and a valid digest."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compress) as archive:
        archive.comment = b"sha256 " + b"0" * 64
        for name, content in members:
            with warnings.catch_warnings(action="ignore"):  # about duplicate names
                archive.writestr(name, content)
    path.write_bytes(sealed(stream.getvalue()[:-64]))


def npy(array=None, header=None):
    """Return the bytes of a .npy member, with its own header or another one."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.zeros(3) if array is None else array)
    if header is None:
        return stream.getvalue()
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(24)


HEADER = npy(np.frombuffer(b'{"magic": "bitnet", "kind": "test", "version": 1}', np.uint8))


def refused(path, message=".", kind="test", version=1, **options):
    with pytest.raises(InputError, match=message) as caught:
        read_archive(path, kind, version, **options)
    assert str(path) in str(caught.value)


def test_what_goes_in_comes_out_and_numpy_opens_it(path):
    header, arrays = read_archive(path, "test", 1)
    assert header == {"n": [1, 2]}
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert np.array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype
        assert arrays[name].shape == array.shape
    with np.load(path) as opened:
        assert np.array_equal(opened["a"], ARRAYS["a"])


def test_arrays_are_stored_in_c_order(path):
    write_archive(path, "kind", 1, {}, {"a": np.arange(6).reshape(2, 3).T})
    with zipfile.ZipFile(path) as archive:
        content = archive.read("a.npy")
    assert b"'fortran_order': False, 'shape': (3, 2)" in content
    assert content.endswith(np.array([0, 3, 1, 4, 2, 5]).tobytes())


def test_the_same_content_gives_the_same_bytes(path, tmp_path):
    write_archive(tmp_path / "again.npz", "test", 1, {"n": [1, 2]}, ARRAYS)
    assert (tmp_path / "again.npz").read_bytes() == path.read_bytes()


def test_every_changed_byte_is_detected(path):
    whole = path.read_bytes()
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        refused(path)


def test_every_truncation_is_detected(path):
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        refused(path)
    path.write_bytes(whole + b"0")
    refused(path)


def test_another_kind_or_version_is_refused(path):
    refused(path, "holds a 'test'; expected a model", kind="model")
    refused(path, "version 1 of a test; this bitnet reads version 2", version=2)
    refused(path, "expected at most 100", max_bytes=100)
    size = path.stat().st_size
    read_archive(path, "test", 1, max_bytes=size)
    refused(path, "expected at most", max_bytes=size - 1)


@pytest.mark.parametrize(
    "members",
    [
        [],
        [("a.npy", npy())],
        [("header.npy", HEADER), ("header.npy", HEADER)],
        [("header.npy", npy(np.zeros(3)))],
        [("header.npy", npy(np.frombuffer(b"[" * 100_000, np.uint8)))],
        [("header.npy", npy(np.frombuffer(b"[1]", np.uint8)))],
        [("header.npy", npy(np.frombuffer(b"{}", np.uint8)))],
        [("header.npy", HEADER), ("a.npy", b"")],
        [("header.npy", HEADER), ("a.npy", b"no array")],
        [("header.npy", HEADER), ("a.npy", npy()[:-1])],
        [("header.npy", HEADER), ("a.npy", npy() + b"\0")],
        [("header.npy", HEADER), ("a.npy", npy(np.asfortranarray(np.ones((2, 2)))))],
        *(
            [("header.npy", HEADER), ("a.npy", npy(header=text))]
            for text in (
                "{'descr': '|O', 'fortran_order': False, 'shape': (3,)}",
                "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999,)}",
                "{'descr': '<f8', 'fortran_order': False, 'shape': (-3,)}",
                "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000,)}",
                "{'descr': '<f8', 'fortran_order': False, 'shape': 3}",
                "{'descr': '<q9', 'fortran_order': False, 'shape': (3,)}",
                "{'descr': '<f8', 'shape': (3,)}",
                "__import__('os').abort()",
                "{" * 90,
                "{'descr': '<f8', 'fortran_order': False, 'shape': (" + "1" * 60 + "x",
                "{'descr': '<f8', 'fortran_order': False, 'shape': (1 1,), }",
                "{'descr': '>f8', 'fortran_order': False, 'shape': (3,), }",
            )
        ),
    ],
)
def test_hostile_archives_with_a_valid_digest_are_refused(tmp_path, members):
    hostile(tmp_path / "file.npz", members)
    refused(tmp_path / "file.npz")


def test_zips_that_zipfile_cannot_read_are_refused(path):
    """Encrypted members, and a directory outside the file."""
    whole = path.read_bytes()[:-64]
    entry, end = whole.index(b"PK\x01\x02"), whole.index(b"PK\x05\x06")
    for place, value in (
        (entry + 8, b"\x01"),
        (end + 16, b"\xfe\xff\xff\xff"),
        (end + 16, b"\xff" * 4),
    ):
        changed = whole[:place] + value + whole[place + len(value) :]
        path.write_bytes(sealed(changed))
        refused(path)


def test_members_that_share_their_bytes_are_refused(path):
    """Directory entries that share one stored array: a small file must not grow in memory."""
    whole = path.read_bytes()[:-64]
    start, end = whole.index(b"PK\x01\x02"), whole.index(b"PK\x05\x06")
    entries = whole[start:end]
    copies = b"".join(entries.replace(b".npy", b".np%d" % i) for i in range(9))
    tail = bytearray(whole[end:])
    count = len(ARRAYS) + 1
    tail[8:12] = (10 * count).to_bytes(2, "little") * 2
    tail[12:16] = (len(entries) + len(copies)).to_bytes(4, "little")
    path.write_bytes(sealed(whole[:end] + copies + bytes(tail)))
    refused(path, "share")


def test_compressed_members_are_refused(tmp_path):
    members = [("header.npy", HEADER), ("a.npy", npy(np.zeros(10_000_000, np.uint8)))]
    hostile(tmp_path / "bomb.npz", members, zipfile.ZIP_DEFLATED)
    refused(tmp_path / "bomb.npz")


def test_a_pickle_is_refused_and_not_run(tmp_path):
    np.savez(tmp_path / "pickle.npz", header=np.array([print], dtype=object))
    refused(tmp_path / "pickle.npz", "not a bitnet file")


def test_the_bytes_are_whole_and_on_the_disk_before_they_take_the_old_ones_place(path, monkeypatch):
    synced, replace, fsync = [], os.replace, os.fsync
    old = path.read_bytes()

    def checked_replace(partial, target):
        assert synced
        assert (partial.read_bytes(), target.read_bytes()) == (b"new", old)
        replace(partial, target)

    monkeypatch.setattr(os, "fsync", lambda number: synced.append(fsync(number)))
    monkeypatch.setattr(os, "replace", checked_replace)
    with replacing(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(path):
    whole = path.read_bytes()
    with pytest.raises(ZeroDivisionError), replacing(path) as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert path.read_bytes() == whole
    assert os.listdir(path.parent) == [path.name]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(path):
    """A limit on the size of files stands in for a full disk: writing fails half-way."""
    whole = path.read_bytes()
    code = (
        "import resource, sys, numpy as np\n"
        "from bitnet.archive import write_archive\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n"
        "    write_archive(sys.argv[1], 'test', 1, {}, {'a': np.zeros(1_000_000)})\n"
        "except OSError as error:\n"
        "    print('refused:', error)\n"
    )
    pytest.importorskip("resource", reason="limits on the size of files need Unix")
    out = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert out.stdout.startswith("refused:")
    assert path.read_bytes() == whole
    assert os.listdir(path.parent) == [path.name]


def test_paths_that_cannot_be_written_are_refused_early(tmp_path):
    check_writable(tmp_path / "file")
    check_writable("file-in-this-folder")
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="is a folder"):
        check_writable(tmp_path)
    with pytest.raises(InputError, match="device"):
        check_writable(os.devnull)
    with pytest.raises(OSError, match=r"too long: '[^.]*/n{250}'"):
        check_writable(tmp_path / ("n" * 250))
    with pytest.raises(OSError, match="missing/file'"), replacing(tmp_path / "missing" / "file"):
        pass
    with pytest.raises(InputError, match="no folder"):
        check_writable(tmp_path / "missing" / "file")


def test_the_bytes_of_an_archive_without_a_file(tmp_path):
    content = "test", 1, {"n": 3, "name": "ä"}, {"a": np.arange(7), "b": np.zeros((0, 3), "<f4")}
    write_archive(tmp_path / "a.npz", *content)
    assert archive_bytes(*content) == (tmp_path / "a.npz").stat().st_size


def test_two_processes_do_not_write_into_one_file(tmp_path, monkeypatch):
    path = tmp_path / "a"
    with replacing(path) as file:
        file.write(b"first")
        with monkeypatch.context() as other:
            other.setattr(os, "getpid", lambda: 1)
            with replacing(path) as second:
                second.write(b"second")
        assert path.read_bytes() == b"second"
    assert path.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="the system has no /dev/zero")
def test_a_device_is_refused_before_it_is_read():
    for read in (kind_of, lambda path: read_archive(path, "test", 1)):
        with pytest.raises(InputError, match="a device or a pipe"):
            read("/dev/zero")


@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(6.0).reshape(2, 3)[:, ::2],
        np.arange(3, dtype=">i4"),
        np.array(5, np.int8),
        np.array([np.nan, np.inf], np.float32),
        np.zeros((0, 3)),
        [1, 2],
    ],
)
def test_what_is_written_is_read(tmp_path, array):
    write_archive(tmp_path / "a", "test", 1, {"n": [None, 1.5]}, {"part/x.npy": array})
    header, arrays = read_archive(tmp_path / "a", "test", 1)
    array = np.asarray(array)
    assert header == {"n": [None, 1.5]}
    assert list(arrays) == ["part/x.npy"]
    assert arrays["part/x.npy"].dtype == array.dtype.newbyteorder("=")
    assert np.array_equal(arrays["part/x.npy"], array, equal_nan=array.dtype.kind == "f")


@pytest.mark.parametrize(
    ("header", "arrays", "words"),
    [
        ({}, {"a": np.zeros(2, np.float16)}, "'a' is float16; expected one of b1, u1"),
        ({}, {"a": np.zeros(2, np.uint32)}, "'a' is uint32; expected one of"),
        ({}, {"a": np.zeros(2, complex)}, "complex128 values"),
        ({}, {"a": np.array([None])}, "object values"),
        ({}, {"header": np.zeros(2)}, "name 'header'"),
        ({}, {"a\\b": np.zeros(2)}, "an array has the name"),
        ({}, {"a\0b": np.zeros(2)}, "an array has the name"),
        ({}, {"": np.zeros(2)}, "an array has the name"),
        ({}, {"\ud800": np.zeros(2)}, "an array has the name"),
        ({"n": 10**5000}, {}, "header cannot hold these values"),
        ({"n": {1: 2}}, {}, "the key 1; expected text"),
        ({"n": {2}}, {}, "cannot hold set"),
        ({"n": "x" * (8 << 20)}, {}, "expected at most 8388608"),
        ({}, {"a": np.broadcast_to(np.zeros(1), 1 << 30)}, "bytes; expected at most 4294967296"),
    ],
)
def test_what_would_not_be_read_is_refused_before_the_old_file_is_touched(
    path, header, arrays, words
):
    whole = path.read_bytes()
    with pytest.raises(InputError, match=words):
        write_archive(path, "test", 1, header, arrays)
    assert path.read_bytes() == whole
    assert os.listdir(path.parent) == [path.name]


def test_a_large_header_is_refused_before_it_is_parsed(tmp_path):
    for n_bytes in (8 << 20, (8 << 20) + 4000):
        text = b'{"magic": "bitnet", "kind": "test", "version": 1, "n": "'
        text += b"x" * (n_bytes - len(text) - 2) + b'"}'
        hostile(tmp_path / "a", [("header.npy", npy(np.frombuffer(text, np.uint8)))])
        if n_bytes == 8 << 20:
            assert kind_of(tmp_path / "a") == "test"
            assert list(read_archive(tmp_path / "a", "test", 1)[0]) == ["n"]
            continue
        with pytest.raises(InputError, match="expected at most 8388608"):
            read_archive(tmp_path / "a", "test", 1)
        with pytest.raises(InputError, match="not a file of bitnet"):
            kind_of(tmp_path / "a")


def test_integers_of_5000_digits_are_refused(tmp_path):
    text = b'{"magic": "bitnet", "kind": "test", "version": 1' + b"0" * 5000 + b"}"
    hostile(tmp_path / "a", [("header.npy", npy(np.frombuffer(text, np.uint8)))])
    with pytest.raises(InputError, match="no bitnet header"):
        read_archive(tmp_path / "a", "test", 1)
    with pytest.raises(InputError, match="not a file of bitnet"):
        kind_of(tmp_path / "a")


def test_hostile_kinds_and_versions_are_quoted_in_short(tmp_path):
    for header in ({"kind": "x" * 10**5}, {"kind": "test", "version": "x" * 10**5}):
        text = json.dumps({"magic": "bitnet", "version": 1} | header).encode()
        hostile(tmp_path / "a", [("header.npy", npy(np.frombuffer(text, np.uint8)))])
        with pytest.raises(InputError) as info:
            read_archive(tmp_path / "a", "test", 1)
        assert len(str(info.value)) < len(str(tmp_path)) + 200


def test_archives_in_streams_are_those_in_files(path):
    stream = io.BytesIO()
    write_archive(stream, "test", 1, {"n": [1, 2]}, ARRAYS)
    assert stream.getvalue() == path.read_bytes()
    stream.seek(0)
    assert kind_of(stream) == "test"
    header, arrays = read_archive(stream, "test", 1)
    assert header == {"n": [1, 2]}
    assert {name: a.tolist() for name, a in arrays.items()} == {
        name: a.tolist() for name, a in ARRAYS.items()
    }
    with pytest.raises(InputError, match="the stream has more than 9 bytes"):
        read_archive(stream, "test", 1, 9)
    with pytest.raises(InputError, match="the stream: the file is damaged"):
        read_archive(
            io.BytesIO(stream.getvalue().replace(b"int", b"inf", 1)[:-1] + b"g"), "test", 1
        )
    with pytest.raises(InputError, match="gives str; open it in binary mode"):
        read_archive(io.StringIO("text"), "test", 1)
