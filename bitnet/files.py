"""Files: opened for reading only if they have an end, and written completely or not at all."""

import contextlib
import io
import os
import pathlib
import stat

from bitnet.errors import InputError

try:
    import fcntl
except ImportError:  # Windows: there are no locks, and files of a killed process stay
    fcntl = None  # type: ignore[assignment]

MAX_BYTES = 4 << 30  # of files of bitnet


def is_stream(path):
    """Return whether an object is an open file or an `io.BytesIO`, not the path of a file."""
    return hasattr(path, "read") or hasattr(path, "write")


def opened(path, expected="a file"):
    """Open a file to read bytes; refuse a folder, a device and a pipe, which have no end."""

    def open_at_once(name, flags):  # without waiting for the writer of a pipe
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))

    if os.path.isdir(path):
        raise InputError(f"{path}: it is a folder; expected {expected}")
    file = open(path, "rb", opener=open_at_once)  # noqa: SIM115  (the caller closes it)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise InputError(f"{path}: it is a device or a pipe; expected {expected}")
    return file


@contextlib.contextmanager
def reading(path, most=MAX_BYTES, expected="a file"):
    """Open a file, or the rest of a stream, for reading; give it, its size and its name.

    More than `most` bytes are refused.  A stream stays at its position.
    """
    if not is_stream(path):
        with opened(path, expected) as file:
            yield file, size_of(path, file, most), str(path)
        return
    name, before = "the stream", path.tell()
    content = path.read(most + 1)
    path.seek(before)
    if not isinstance(content, bytes):
        raise InputError(f"{name} gives {type(content).__name__}; open it in binary mode")
    if len(content) > most:
        raise InputError(f"{name} has more than {most} bytes; expected at most {most}")
    yield io.BytesIO(content), len(content), name


def size_of(path, file, most):
    """Return the size of an open file in bytes; refuse more than `most`."""
    if (n_bytes := os.fstat(file.fileno()).st_size) > most:
        raise InputError(f"{path}: {n_bytes} bytes; expected at most {most}")
    return n_bytes


@contextlib.contextmanager
def replacing(path):
    """Open a binary file that replaces `path` only if the block succeeds.

    The bytes go to `.NAME.PROCESS.partial` in the same folder, a file of this process alone.  At
    the end they are flushed to disk and the file is renamed.  Even if two processes write at the
    same time, `path` holds all bytes of one of them.  A symbolic link stays, and its target is
    replaced.  Partial files of processes that were killed are removed.
    """
    partial = _partial(path)
    _remove_left(path)
    try:
        with open(partial, "w+b") as file:
            _lock(file)
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, _target(path))
    except BaseException as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename, error.filename2 = str(path), None  # not the partial file's name
        raise


def _target(path):
    """Return the file that a path names, which may not exist yet; links are followed."""
    return pathlib.Path(os.path.realpath(path))


def _partial(path):
    """Return the path of the temporary file that replaces `path`."""
    path = _target(path)
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


def _lock(file):
    """Lock an open file until it is closed; return whether no other process has locked it."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # locked, or the file system has no locks
        return False
    return True


def _remove_left(path):
    """Remove partial files of `path` that no process holds, such as one that was killed."""
    path = _target(path)
    with contextlib.suppress(OSError):
        for other in path.parent.iterdir():
            start, end = f".{path.name}.", ".partial"
            if not (other.name.startswith(start) and other.name.endswith(end)):
                continue
            if other.name[len(start) : -len(end)].isdecimal():
                with contextlib.suppress(OSError), opened(other) as file:
                    if _lock(file):
                        other.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path):
    """Refuse to enter a block in which another process writes to `path`.

    The lock is a file `.NAME.lock` in the same folder.  It holds the number of the process, and
    counts only as long as that process runs.
    """
    target = _target(path)
    lock = target.with_name(f".{target.name}.lock")
    while True:
        try:
            file = open(lock, "a+b")  # noqa: SIM115  (closed below)
        except OSError as error:
            error.filename = str(path)
            raise
        if fcntl is not None and not _lock(file):
            file.seek(0)
            holder = file.read(20).decode("ascii", "replace").strip()
            file.close()
            raise InputError(
                f"{path} is being written by process {holder}; wait for its end, or choose "
                "another name"
            )
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.stat(lock), os.fstat(file.fileno())):
                break
        file.close()  # its holder has removed it in between
    try:
        file.truncate(0)
        file.write(f"{os.getpid()}\n".encode())
        file.flush()
        yield
    finally:
        with contextlib.suppress(OSError):
            lock.unlink()
        file.close()


def check_writable(path):
    """Raise an error if `path` cannot be written; called before a long computation."""
    path = pathlib.Path(path)
    if path.exists() and not path.is_file():
        raise InputError(f"cannot write {path}: it is a folder or a device; expected a file name")
    folder = (_target(path) if path.is_symlink() else path).parent
    if not folder.is_dir():
        raise InputError(f"cannot write {path}: there is no folder {folder}; create it first")
    try:
        _partial(path).touch()
        _partial(path).unlink()
    except OSError as error:
        error.filename = str(path)
        raise
