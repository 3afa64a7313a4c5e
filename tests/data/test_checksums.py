"""Unpacked archives, files that differ from the published ones, and the verb `data`."""

import gzip
import pathlib
import tarfile

import pytest
from server import archive

from bitnet import InputError, load_dataset
from bitnet.__main__ import main
from bitnet.data import fetch, verify

pytest.importorskip("pooch", reason="Pooch is not installed")

FIRST = "train-images-idx3-ubyte.gz"


def test_an_archive_is_unpacked_and_its_files_are_remembered(server, cifar):
    folder, members, publish = cifar
    publish(archive([("cifar-10-batches-bin/readme.html", b"hello"), *members.items()]))
    server.breaks = [2000]
    paths = fetch("cifar10")
    assert [path.parent for path in paths] == [folder / "cifar-10-batches-bin"] * 6
    data = load_dataset("cifar10")
    assert (len(data.train_images), len(data.test_images)) == (15, 3)
    assert data.classes == tuple("abcdefghij")
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == sorted(
        [*(pathlib.PurePosixPath(name).name for name in members), "SHA256SUMS"]
    )
    assert all("SHA-256 of the unpacked file" in verdict.words for verdict in verify("cifar10"))
    asked = len(server.asked)
    fetch("cifar10")
    assert len(server.asked) == asked
    paths[2].write_bytes(paths[3].read_bytes())
    assert [verdict.good for verdict in verify("cifar10")].count(False) == 1
    fetch("cifar10")
    assert all(verdict.good for verdict in verify("cifar10"))
    (folder / "cifar-10-batches-bin" / "SHA256SUMS").unlink()
    assert {verdict.good for verdict in verify("cifar10")} == {None}
    assert "no checksum of this file is known" in verify("cifar10")[0].words


def link(name, target, kind):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return name, info


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.pop("cifar-10-batches-bin/data_batch_3.bin"),
        lambda m: m.update({"cifar-10-batches-bin/data_batch_3.bin": bytes(9218)}),
        lambda m: m.update({"cifar-10-batches-bin/data_batch_3.bin": bytes(9_000_000)}),
        lambda m: m.update(
            [link("cifar-10-batches-bin/data_batch_3.bin", "/etc/passwd", tarfile.SYMTYPE)]
        ),
        lambda m: m.update(
            [
                link(
                    "cifar-10-batches-bin/data_batch_3.bin",
                    "cifar-10-batches-bin/data_batch_1.bin",
                    tarfile.LNKTYPE,
                )
            ]
        ),
    ],
)
def test_an_archive_without_the_expected_files_is_refused(cifar, change):
    folder, members, publish = cifar
    change(members)
    publish(archive(list(members.items())))
    with pytest.raises(InputError, match=r"no data_batch_3.bin of the published size"):
        fetch("cifar10")
    assert not (folder / "cifar-10-batches-bin" / "data_batch_3.bin").exists()


def test_an_archive_writes_nothing_else_and_nowhere_else(cifar, tmp_path):
    folder, members, publish = cifar
    hostile = [
        ("../outside", b"x"),
        (f"{tmp_path}/absolute", b"x"),
        ("cifar-10-batches-bin/../../outside", b"x"),
        ("cifar-10-batches-bin/more", b"x"),
        link("cifar-10-batches-bin", str(tmp_path), tarfile.SYMTYPE),
    ]
    publish(archive([*hostile, *members.items()]))
    before = {path.name for path in tmp_path.iterdir()}
    fetch("cifar10")
    assert {path.name for path in tmp_path.iterdir()} - before == {"cifar10"}
    assert not (folder / "cifar-10-batches-bin").is_symlink()
    assert not list(folder.rglob("more"))


@pytest.mark.parametrize(
    "cut", [lambda raw: raw[:5000], lambda raw: b"no archive", lambda raw: b"x"]
)
def test_an_archive_that_is_none_is_refused(cifar, cut):
    _, members, publish = cifar
    publish(cut(archive(list(members.items()))))
    with pytest.raises(InputError, match=r"tar.gz: (damaged|no data_batch)"):
        fetch("cifar10")


def test_a_list_of_checksums_that_is_none_is_refused(cifar):
    folder, members, publish = cifar
    publish(archive(list(members.items())))
    fetch("cifar10")
    for content in (b"hello", b"\xff" * 100, b"0" * 10**6):
        (folder / "cifar-10-batches-bin" / "SHA256SUMS").write_bytes(content)
        with pytest.raises(InputError, match="not a list of checksums"):
            verify("cifar10")


def test_verdicts_of_files_that_are_not_the_published_ones(mnist):
    fetch("mnist")
    name = mnist / FIRST
    whole = gzip.decompress(name.read_bytes())
    for content, words in (
        (whole[:-1], f"{len(whole) - 1} bytes; expected {len(whole)}"),
        (whole + b"x", f"more bytes; expected {len(whole)}"),
        (gzip.compress(bytes(10**8), 1), "more bytes"),
        (gzip.compress(whole)[:-9], "damaged"),
        (whole[:-1] + b"!", "not as published: MD5 of the content"),
        (b"", "0 bytes"),
    ):
        name.write_bytes(content)
        verdict = verify("mnist")[0]
        assert verdict.good is False
        assert words in verdict.words


def test_the_verb_fetches_verifies_and_lists(server, mnist, capsys):
    main(["data"])
    assert f"not in {mnist}; `bitnet data fetch mnist` (0 MB)" in capsys.readouterr().out
    main(["data", "fetch", "mnist", "--quiet"])
    assert capsys.readouterr().out.splitlines()[0] == str(mnist / FIRST)
    main(["data", "verify", "mnist"])
    assert capsys.readouterr().out.count("as published (MD5") == 4
    main(["data", "verify"])
    assert "cifar10        not there" in capsys.readouterr().out
    main(["data", "--verbose"])
    assert f"{len(server.files[FIRST]):,} {mnist / FIRST}" in capsys.readouterr().out
    (mnist / FIRST).unlink()
    main(["data"])
    assert f"no {FIRST.removesuffix('.gz')} in {mnist}" in capsys.readouterr().out
    with pytest.raises(InputError, match="1 file is not as published"):
        main(["data", "verify", "mnist"])
    other = mnist.parent / "other"
    main(["data", "fetch", "mnist", "--folder", str(other), "--url", server.address, "--quiet"])
    main(["data", "verify", "mnist", "--folder", str(other)])
    with pytest.raises(InputError, match="needs NAME"):
        main(["data", "verify", "--folder", str(other)])


def test_what_a_library_is_missing_for_is_said(mnist, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    main(["data"])
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert "needs SciPy: `pip install scipy`" in lines["svhn"]
    assert "needs Pillow: `pip install pillow`" in lines["folder"]
