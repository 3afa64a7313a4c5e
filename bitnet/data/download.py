"""Download data sets from their public addresses: resumed when interrupted, and verified.

Pooch (extra `data`) compares each download with its published MD5 before the file is renamed.
"""

import hashlib
import importlib.util
import os
import pathlib
import tarfile
import zlib

from bitnet.data.catalogue import find_files, folder_of, published
from bitnet.data.checksums import verify, write_sums
from bitnet.errors import InputError
from bitnet.files import replacing

BLOCK = 1 << 16
TIMEOUTS_S = (10, 60)  # for a connection, for the next bytes
MAX_NAMES = 1 << 16  # bytes of the list of classes in an archive
MAX_MEMBERS = 100  # files in an archive


def fetch(
    name: str,
    folder: pathlib.Path | str | None = None,
    url: str | None = None,
    progress: bool = True,
) -> list[pathlib.Path]:
    """Download the missing files of a published set.

    An interrupted download resumes, if the server supports it.  Existing files are kept, unless
    `verify` finds that they differ from the published ones.  Archives of CIFAR are unpacked and
    then deleted.

    Parameters
    ----------
    name : str
        A published set, such as "mnist".
    folder : str or path, optional
        The target folder (default: where `load_dataset` looks for the set).
    url : str, optional
        The folder of a mirror, `http://...` or `https://...`, instead of the public address.
    progress : bool, optional
        Show a progress bar per download on standard error, if it is a terminal.

    Returns
    -------
    list of pathlib.Path
        The files of the set.

    Raises
    ------
    InputError
        If Pooch is missing, the server cannot be reached, or a file differs from the published one.

    Examples
    --------
    >>> fetch("mnist")  # doctest: +SKIP
    """
    known, folder = published(name), pathlib.Path(folder or folder_of(name))
    if importlib.util.find_spec("pooch") is None:
        raise InputError("fetch needs Pooch; run `pip install pooch`, or the extra `data`")
    base = known.address if url is None else url
    if not base.startswith(("http://", "https://")):
        raise InputError(
            f"url is {base!r}; expected an address that begins with http:// or https://"
        )
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
    """Download and verify one file; return its path."""
    import pooch

    pooch.get_logger().setLevel("WARNING")
    resuming = _Resuming(folder / f".{stated.name}.part", stated.n_bytes, progress)
    while True:
        try:
            path = pooch.retrieve(
                url, f"md5:{stated.md5}", stated.name, folder, downloader=resuming
            )
            return pathlib.Path(path)
        except InputError:
            raise
        except ValueError:  # of Pooch, for a wrong checksum; it has deleted the file
            if not resuming.had_begun:
                what = "the download differs from the published file (another MD5) and was deleted"
                raise InputError(f"{url}: {what}; try again, or another --url") from None
            # the partial file came from an earlier version: start over


class _Resuming:
    """A downloader for Pooch that keeps a partial file and requests the rest."""

    def __init__(self, part, n_bytes, progress):
        self.part, self.n_bytes, self.progress = part, n_bytes, progress
        self.had_begun = False  # whether an earlier download left a partial file

    def __call__(self, url, output_file, pooch):
        self.had_begun = self.done() > 0
        while (before := self.done()) < self.n_bytes:
            reason = self.resume(url, before)
            if reason and self.done() <= before:  # no progress: another try is useless
                what, kept = "cannot be reached", ""
                if before:
                    kept = f"; {before} of {self.n_bytes} bytes are kept, and the next try resumes"
                    what = "was interrupted"
                raise InputError(f"{url} {what} ({reason}); check the connection{kept}")
        os.replace(self.part, output_file)

    def done(self):
        """Return the size of the partial file."""
        return self.part.stat().st_size if self.part.exists() else 0

    def resume(self, url, before):
        """Request the rest of a file; return why it ended, or None to start over."""
        import requests
        import urllib3

        headers = {"Accept-Encoding": "identity"}
        if before:
            headers["Range"] = f"bytes={before}-"
        try:
            with requests.get(url, headers=headers, stream=True, timeout=TIMEOUTS_S) as response:
                if response.status_code == 416 and before:  # the file of the server is shorter
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
        """Append the response to the partial file, or replace it if the server sends all bytes."""
        from tqdm import tqdm

        if response.status_code != 206:
            before = 0  # the server sends the whole file
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {before}-"):
            raise InputError(
                f"{url}: the server sends a part that was not requested; try another --url"
            )
        stated = response.headers.get("Content-Length", "")
        if stated.isdecimal() and before + int(stated) != self.n_bytes:
            there = f"{before + int(stated)} bytes; expected {self.n_bytes}, as published"
            raise InputError(f"{url}: the server has {there}; try another --url")
        shown = {"total": self.n_bytes, "initial": before, "unit": "B", "unit_scale": True}
        shown |= {"desc": url.rpartition("/")[2], "disable": None if self.progress else True}
        with tqdm(**shown) as bar, open(self.part, "ab" if before else "wb") as file:
            for block in response.raw.stream(BLOCK, decode_content=False):
                before += len(block)
                if before > self.n_bytes:
                    raise InputError(
                        f"{url}: too long; expected {self.n_bytes} bytes, as published"
                    )
                file.write(block)
                bar.update(len(block))


def _unpack(known, archive, folder):
    """Unpack the expected files of an archive and no others; write their checksums."""
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
                    continue  # a readme; a missing file is reported below
                path = folder / pathlib.PurePosixPath(member.name).name
                sums[path.name] = _copy(tar.extractfile(member), path)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise InputError(f"{archive}: damaged ({error}); delete it and fetch again") from None
    if missing := [file.name for file in known.files if file.name not in sums]:
        raise InputError(
            f"{archive}: no {missing[0]} of the published size in it; delete it and fetch again"
        )
    write_sums(folder, sums)


def _copy(source, path):
    """Write a file from an archive, completely or not at all; return its SHA-256."""
    digest = hashlib.sha256()
    with replacing(path) as file:
        while block := source.read(BLOCK):
            digest.update(block)
            file.write(block)
    return digest.hexdigest()
