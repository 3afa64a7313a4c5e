"""Verify the files of a data set against published sizes and checksums."""

import dataclasses
import gzip
import hashlib
import pathlib
import re

from bitnet.data.catalogue import find_files, folder_of, published
from bitnet.data.idx import DAMAGED_GZIP, GZIP
from bitnet.errors import InputError
from bitnet.files import opened, replacing

SUMS = "SHA256SUMS"  # in the format of `sha256sum`
SUM_LINE = re.compile(r"([0-9a-f]{64}) [ *]([\w.-]{1,100})")
MAX_SUMS = 1 << 16  # bytes
BLOCK = 1 << 20


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The result for one file; `good` is None if no checksum of the file is known."""

    path: pathlib.Path
    good: bool | None
    words: str


def verify(name: str, folder: pathlib.Path | str | None = None) -> list[Verdict]:
    """Compare the files of a published set with their known sizes and checksums.

    For IDX files the decompressed content is compared.  No checksums are published for files inside
    an archive; `fetch` writes the checksums of the files that it unpacks from a verified archive to
    `SHA256SUMS` in the same folder.

    Parameters
    ----------
    name : str
        A published set, such as "mnist".
    folder : str or path, optional
        The folder of the files (default: where `load_dataset` looks for them).

    Returns
    -------
    list of Verdict
        One per file: `path`, `good` (None if no checksum is known) and `words`.

    Raises
    ------
    InputError
        If the name is unknown, or `SHA256SUMS` is not a list of checksums.

    Examples
    --------
    >>> verify("mnist", "no/such/folder")[0].words
    'missing'
    """
    known, folder = published(name), pathlib.Path(folder or folder_of(name))
    found = find_files(name, folder)
    unzip = known.kind == "idx"
    return [_judge(stated, found[stated.name], folder, unzip) for stated in known.files]


def _judge(stated, path, folder, unzip):
    """Return the verdict on one file."""
    if path is None:
        return Verdict(folder / stated.name, False, "missing")
    digest, expected, source = None, None, ""
    if stated.md5:
        digest, expected = hashlib.md5(usedforsecurity=False), stated.md5
        source = "MD5 of the content" if unzip else "MD5"
    elif expected := _read_sums(path.parent / SUMS).get(path.name):
        digest, source = hashlib.sha256(), "SHA-256 of the unpacked file"
    try:
        n_bytes = _digest(path, stated.n_bytes, unzip, digest)
    except DAMAGED_GZIP as error:
        return Verdict(path, False, f"damaged: {error}")
    if n_bytes != stated.n_bytes:
        came = f"{'more' if n_bytes > stated.n_bytes else n_bytes} bytes"
        return Verdict(path, False, f"not as published: {came}; expected {stated.n_bytes}")
    if digest is None:
        words = f"{n_bytes} bytes, as published; no checksum of this file is known"
        return Verdict(path, None, words)
    if (came := digest.hexdigest()) != expected:
        return Verdict(path, False, f"not as published: {source} {came}; expected {expected}")
    return Verdict(path, True, f"as published ({source} {expected})")


def _digest(path, n_bytes, unzip, digest):
    """Update a digest with the content of a file; return its size, `n_bytes` + 1 at most."""
    with opened(path) as raw:
        zipped = unzip and raw.read(2) == GZIP
        raw.seek(0)
        done = 0
        with gzip.GzipFile(fileobj=raw) if zipped else raw as file:
            while block := file.read(min(BLOCK, n_bytes + 1 - done)):
                done += len(block)
                if digest:
                    digest.update(block)
    return done


def write_sums(folder, sums):
    """Write SHA-256 checksums by file name to a folder, in the format of `sha256sum`."""
    with replacing(pathlib.Path(folder) / SUMS) as file:
        file.write("".join(f"{value}  {name}\n" for name, value in sums.items()).encode())


def _read_sums(path):
    """Return the checksums of `write_sums` by name; empty if there is no such file."""
    if not path.is_file():
        return {}
    with opened(path) as file:
        lines = file.read(MAX_SUMS).decode("ascii", "replace").splitlines()
    matches = list(map(SUM_LINE.fullmatch, lines))
    if not all(matches):
        raise InputError(f"{path}: not a list of checksums in the format of sha256sum; delete it")
    return {match[2]: match[1] for match in matches}
