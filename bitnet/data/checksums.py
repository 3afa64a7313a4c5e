"""Are the files of a data set those that were published?"""

import dataclasses
import gzip
import hashlib
import pathlib
import re

from bitnet.archive import replacing
from bitnet.data.catalogue import find_files, folder_of, published
from bitnet.data.idx import DAMAGED_GZIP, GZIP
from bitnet.errors import InputError

SUMS = "SHA256SUMS"  # in the format of `sha256sum`
SUM_LINE = re.compile(r"([0-9a-f]{64}) [ *]([\w.-]{1,100})")
MAX_SUMS = 1 << 16  # bytes
BLOCK = 1 << 20


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What is to be said about one file; `good` is None where no checksum of it is known."""

    path: pathlib.Path
    good: bool | None
    words: str


def verify(name, folder=None):
    """Compare the files of a published set with the sizes and checksums that are known.

    Of IDX files the content counts, however it is compressed.  For the files that are unpacked from
    an archive no checksum is published; `fetch` writes those of what it unpacks from the verified
    archive into `SHA256SUMS` beside them.

    Parameters
    ----------
    name : str
        A published set, as "mnist".
    folder : str or path, optional
        Where the files are, if not where `load_dataset` looks for them.

    Returns
    -------
    list of Verdict
        One per file: `path`, `good` (None where no checksum is known), and `words`.

    Raises
    ------
    InputError
        If there is no such set, or `SHA256SUMS` is not a list of checksums.

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
    """Say whether a file is the published one."""
    if path is None:
        return Verdict(folder / stated.name, False, "missing")
    digest, expected, source = None, None, ""
    if stated.md5:
        digest, expected = hashlib.md5(usedforsecurity=False), stated.md5
        source = "MD5 of the content" if unzip else "MD5"
    elif expected := _read_sums(path.parent / SUMS).get(path.name):
        digest, source = hashlib.sha256(), "SHA-256 of what was unpacked"
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
    """Give a digest the content of a file; return its bytes, at most one more than expected."""
    with open(path, "rb") as raw:
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
    """Write the SHA-256 of files, by name, into a list beside them, as `sha256sum` does."""
    with replacing(pathlib.Path(folder) / SUMS) as file:
        file.write("".join(f"{value}  {name}\n" for name, value in sums.items()).encode())


def _read_sums(path):
    """What `write_sums` wrote, by name; empty without a file."""
    if not path.is_file():
        return {}
    with open(path, "rb") as file:
        lines = file.read(MAX_SUMS).decode("ascii", "replace").splitlines()
    matches = list(map(SUM_LINE.fullmatch, lines))
    if not all(matches):
        raise InputError(f"{path}: no list of checksums as sha256sum writes it; delete it")
    return {match[2]: match[1] for match in matches}
