"""Fixtures: a server with small data sets in place of the published ones."""

import dataclasses
import hashlib
import threading

import numpy as np
import pytest
from server import Server

from bitnet.data.catalogue import PUBLISHED, Stated
from bitnet.data.cifar import write_cifar
from bitnet.data.idx import write_idx

RNG = np.random.default_rng(0)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def md5(content):
    return hashlib.md5(content).hexdigest()


def stated(name, content):
    return Stated(name, len(content), md5(content))


@pytest.fixture
def mnist(server, monkeypatch, tmp_path):
    """Put a small MNIST on the server in place of the published one; return its folder."""
    monkeypatch.setenv("BITNET_DATA", str(tmp_path))
    arrays = [
        RNG.integers(0, 10, shape, dtype=np.uint8)
        for shape in ((300, 28, 28), (300,), (20, 28, 28), (20,))
    ]
    known, files, downloads = PUBLISHED["mnist"], [], []
    for file, array in zip(known.files, arrays, strict=True):
        write_idx(tmp_path / "plain", array)
        write_idx(tmp_path / "zipped.gz", array)
        content = (tmp_path / "zipped.gz").read_bytes()
        server.files[f"{file.name}.gz"] = content
        files.append(stated(file.name, (tmp_path / "plain").read_bytes()))
        downloads.append(stated(f"{file.name}.gz", content))
    changed = dataclasses.replace(
        known,
        train=tuple(files[:2]),
        test=tuple(files[2:]),
        downloads=tuple(downloads),
        address=server.address,
    )
    monkeypatch.setitem(PUBLISHED, "mnist", changed)
    return tmp_path / "mnist"


@pytest.fixture
def cifar(server, monkeypatch, tmp_path):
    """Return the folder of CIFAR-10, the members of a small archive, and how to publish it."""
    monkeypatch.setenv("BITNET_DATA", str(tmp_path))
    known, members = PUBLISHED["cifar10"], {}
    for file in known.files:
        write_cifar(tmp_path / "x", RNG.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8), [0, 1, 2])
        members[f"{known.archive_folder}/{file.name}"] = (tmp_path / "x").read_bytes()
    names = "\n".join("abcdefghij").encode() + b"\n\n"
    members[f"{known.archive_folder}/batches.meta.txt"] = names

    def publish(content):
        server.files["cifar-10-binary.tar.gz"] = content
        changed = dataclasses.replace(
            known,
            train=tuple(Stated(file.name, 9219) for file in known.train),
            test=(Stated("test_batch.bin", 9219),),
            downloads=(stated("cifar-10-binary.tar.gz", content),),
            address=server.address,
        )
        monkeypatch.setitem(PUBLISHED, "cifar10", changed)

    return tmp_path / "cifar10", members, publish
