"""Data sets from their public addresses: downloads that go on where they broke, and are verified.

Pooch (extra `data`) holds each download against its published MD5 before the file gets its name.
"""

import hashlib
import importlib.util
import os
import pathlib
import tarfile
import zlib

from bitnet.archive import replacing
from bitnet.data.catalogue import find_files, folder_of, published
from bitnet.data.checksums import verify, write_sums
from bitnet.errors import InputError

BLOCK = 1 << 16
TIMEOUTS_S = (10, 60)  # until a connection, until the next bytes
MAX_NAMES = 1 << 16  # bytes of the list of classes in an archive
MAX_MEMBERS = 100  # of an archive


def fetch(name, folder=None, url=None, progress=True):
    """Download what is missing of a published set.

    A download that was stopped resumes where it was, if the server can do that.  What is there is
    left alone, unless `verify` finds that it is not as published.  CIFAR's archives are unpacked
    and deleted.

    Parameters
    ----------
    name : str
        A published set, as "mnist".
    folder : str or path, optional
        Where to; by default where `load_dataset` looks for the set.
    url : str, optional
        The address of the folder of a mirror, `http://...` or `https://...`, instead of the public
        one.
    progress : bool, optional
        Show a bar for each download on standard error, if it is a terminal.

    Returns
    -------
    list of pathlib.Path
        The files of the set.

    Raises
    ------
    InputError
        If Pooch is missing, the server cannot be reached or has something else, or what came is not
        what was published.

    Examples
    --------
    >>> fetch("mnist")  # doctest: +SKIP
    """
    known, folder = published(name), pathlib.Path(folder or folder_of(name))
    if importlib.util.find_spec("pooch") is None:
        raise InputError("fetching needs Pooch; run `pip install pooch`, or the extra `data`")
    base = known.address if url is None else url
    if not base.startswith(("http://", "https://")):
        raise InputError(f"the address {base!r} does not begin with http:// or https://")
    there = {verdict.path.name for verdict in verify(name, folder) if verdict.good is not False}
    folder.mkdir(parents=True, exist_ok=True)
    for download in known.downloads:
        address = f"{base.rstrip('/')}/{download.name}"
        if known.archive_folder:
            if len(there) < len(known.files):
                archive = _download(address, download, folder, progress)
                _unpack(known, archive, folder)
                archive.unlink()
        elif not there & {download.name, download.name.removesuffix(".gz")}:
            _download(address, download, folder, progress)
    return [path for path in find_files(name, folder).values() if path]


def _download(url, stated, folder, progress):
    """One file, verified; its path."""
    import pooch

    pooch.get_logger().setLevel("WARNING")
    goes_on = _GoingOn(folder / f".{stated.name}.part", stated.n_bytes, progress)
    while True:
        try:
            path = pooch.retrieve(url, f"md5:{stated.md5}", stated.name, folder, downloader=goes_on)
            return pathlib.Path(path)
        except InputError:
            raise
        except ValueError:  # Pooch's, of a checksum; it has deleted what came
            if not goes_on.had_begun:
                what = "what came is not what was published (another MD5) and was deleted"
                raise InputError(f"{url}: {what}; try again, or another --url") from None
            # otherwise the part was of another file: once more, from the start


class _GoingOn:
    """A downloader for Pooch that keeps the part that came, and asks for the rest."""

    def __init__(self, part, n_bytes, progress):
        self.part, self.n_bytes, self.progress = part, n_bytes, progress
        self.had_begun = False  # whether a part was there that an earlier download left

    def __call__(self, url, output_file, pooch):
        self.had_begun = self.done() > 0
        while (before := self.done()) < self.n_bytes:
            reason = self.go_on(url, before)
            if reason and self.done() <= before:  # trying again would be of no use
                what, kept = "cannot be reached", ""
                if before:
                    kept = f"; {before} of {self.n_bytes} bytes are kept, and the next try goes on"
                    what = "broke off"
                raise InputError(f"{url} {what} ({reason}); check the connection{kept}")
        os.replace(self.part, output_file)

    def done(self):
        """How many bytes are there."""
        return self.part.stat().st_size if self.part.exists() else 0

    def go_on(self, url, before):
        """Append what follows the bytes that are there; why no more came, None to begin again."""
        import requests
        import urllib3

        headers = {"Accept-Encoding": "identity"}
        if before:
            headers["Range"] = f"bytes={before}-"
        try:
            with requests.get(url, headers=headers, stream=True, timeout=TIMEOUTS_S) as response:
                if response.status_code == 416 and before:  # the server's file ends before that
                    self.part.unlink()
                    return None
                response.raise_for_status()
                self.append(url, response, before)
            return "the connection ended"
        except requests.HTTPError:
            answer = f"{response.status_code} {response.reason}"
            raise InputError(f"{url}: the server answers {answer}; try another --url") from None
        except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError) as error:
            inner = error.args[0] if error.args else error
            return type(getattr(inner, "reason", error)).__name__
        except requests.RequestException as error:
            raise InputError(f"{url}: {error}") from None

    def append(self, url, response, before):
        """Write what a server sends behind the bytes that are there, or over them if it is all."""
        from tqdm import tqdm

        if response.status_code != 206:
            before = 0  # the server sends all of it
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {before}-"):
            raise InputError(f"{url}: the server sends another part than asked for")
        stated = response.headers.get("Content-Length", "")
        if stated.isdecimal() and before + int(stated) != self.n_bytes:
            there = f"{before + int(stated)} bytes, published are {self.n_bytes}"
            raise InputError(f"{url}: the server has {there}; try another --url")
        shown = {"total": self.n_bytes, "initial": before, "unit": "B", "unit_scale": True}
        shown |= {"desc": url.rpartition("/")[2], "disable": None if self.progress else True}
        with tqdm(**shown) as bar, open(self.part, "ab" if before else "wb") as file:
            for block in response.raw.stream(BLOCK, decode_content=False):
                before += len(block)
                if before > self.n_bytes:
                    raise InputError(f"{url}: more than the {self.n_bytes} bytes published")
                file.write(block)
                bar.update(len(block))


def _unpack(known, archive, folder):
    """The expected files of an archive, and no others, with the list of their checksums."""
    wanted = {f"{known.archive_folder}/{file.name}": file.n_bytes for file in known.files}
    names = f"{known.archive_folder}/{known.names_file}"
    folder = folder / known.archive_folder
    folder.mkdir(exist_ok=True)
    sums = {}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for _, member in zip(range(MAX_MEMBERS), tar, strict=False):
                n_bytes = wanted.pop(member.name, None)
                fits = member.size == n_bytes or (member.name == names and member.size < MAX_NAMES)
                if not member.isreg() or not fits:
                    continue  # a readme, or what is found missing below
                path = folder / pathlib.PurePosixPath(member.name).name
                sums[path.name] = _copy(tar.extractfile(member), path)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise InputError(f"{archive}: damaged ({error}); delete it and fetch again") from None
    if missing := [file.name for file in known.files if file.name not in sums]:
        raise InputError(f"{archive}: no {missing[0]} of the published size in it; delete it")
    write_sums(folder, sums)


def _copy(source, path):
    """Write a file from an archive, whole or not at all; its SHA-256."""
    digest = hashlib.sha256()
    with replacing(path) as file:
        while block := source.read(BLOCK):
            digest.update(block)
            file.write(block)
    return digest.hexdigest()
