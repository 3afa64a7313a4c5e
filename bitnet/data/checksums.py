"""Are the files of a data set those that were published?"""

import dataclasses
import gzip
import hashlib
import pathlib
import re
import zlib

from bitnet.archive import replacing
from bitnet.data.catalogue import find_files, folder_of, published
from bitnet.errors import InputError

SUMS = "SHA256SUMS"  # in the format of `sha256sum`
SUM_LINE = re.compile(r"([0-9a-f]{64}) [ *]([\w.-]{1,100})")
MAX_SUMS = 1 << 16  # bytes
BLOCK = 1 << 20


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What is to be said about one file."""

    path: pathlib.Path
    good: bool | None
    words: str


def verify(name, folder=None):
    """Hold the files of a published set against the sizes and checksums that are known.

    Of IDX files the content counts, however it is compressed.  For the files that are unpacked
    from an archive no checksum is published; `fetch` writes those of what it unpacks from the
    verified archive into `SHA256SUMS` beside them.

    Parameters
    ----------
    name : str
        One of `bitnet.data.catalogue.PUBLISHED`.
    folder : str or path, optional
        Where the files are, if not where `load_dataset` looks for them.

    Returns
    -------
    list of Verdict
        One a file.

    Raises
    ------
    InputError
        If there is no such set, or `SHA256SUMS` is no such list.
    OSError
        If a file cannot be read.

    Examples
    --------
    >>> verify("mnist", "no/such/folder")[0].words
    'missing'
    """
    known, folder = published(name), pathlib.Path(folder or folder_of(name))
    found, verdicts = find_files(name, folder), []
    for stated in known.files:
        path = found[stated.name]
        if path is None:
            verdicts.append(Verdict(folder / stated.name, False, "missing"))
        else:
            verdicts.append(Verdict(path, *_judge(stated, path, known.kind == "idx")))
    return verdicts


def _judge(stated, path, unzip):
    """Whether a file is the published one, in a bool or None and in words."""
    digest, expected, source = None, None, ""
    if stated.md5:
        digest, expected = hashlib.md5(usedforsecurity=False), stated.md5
        source = "MD5 of the content" if unzip else "MD5"
    elif expected := _read_sums(path.parent / SUMS).get(path.name):
        digest, source = hashlib.sha256(), "SHA-256 of what was unpacked"
    try:
        n_bytes = _digest(path, stated.n_bytes, unzip, digest)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        return False, f"damaged: {error}"
    if n_bytes != stated.n_bytes:
        more = "more" if n_bytes > stated.n_bytes else f"{n_bytes}"
        return False, f"not as published: {more} bytes; expected {stated.n_bytes}"
    if digest is None:
        return None, f"{n_bytes} bytes, as published; no checksum of this file is known"
    if digest.hexdigest() != expected:
        return False, f"not as published: {source} {digest.hexdigest()}; expected {expected}"
    return True, f"as published ({source} {expected})"


def _digest(path, n_bytes, unzip, digest):
    """Give a digest the content of a file; how many bytes that are, at most one too many."""
    with open(path, "rb") as raw:
        zipped = unzip and raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        done = 0
        with gzip.GzipFile(fileobj=raw) if zipped else raw as file:
            while block := file.read(min(BLOCK, n_bytes + 1 - done)):
                done += len(block)
                if digest:
                    digest.update(block)
    return done


def write_sums(folder, sums):
    """Keep the SHA-256 of files in a list beside them, as `sha256sum` writes it."""
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
