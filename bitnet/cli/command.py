"""Run a program for a person: one sentence for an error, an exit code, no traceback."""

import contextlib
import difflib
import io
import pathlib
import signal
import sys
from collections.abc import Callable

from bitnet.errors import InputError, visible

INTERRUPTED, TERMINATED = 130, 143  # 128 + SIGINT, 128 + SIGTERM, what a shell reports


class Terminated(KeyboardInterrupt):
    """SIGTERM came: what Ctrl-C does, with another exit code."""


def run(main: Callable[[], object]) -> None:
    """Call `main()` and end the process as a command does.

    Invalid input and errors of the operating system become one line on standard error and
    exit code 1; Ctrl-C becomes exit code 130, and SIGTERM 143.  Any other exception is a
    defect and keeps its traceback.

    Parameters
    ----------
    main : callable
        The program; takes no arguments.

    Raises
    ------
    SystemExit
        With a code other than 0, if `main` raised an error.

    Examples
    --------
    >>> run(lambda: print("done"))
    done
    """
    for stream in (sys.stdout, sys.stderr):
        _accept_all_names(stream)
    try:
        out = sys.stdout and _Visible(sys.stdout)
        with handling(_terminate, signal.SIGTERM), contextlib.redirect_stdout(out):
            main()
    except InputError as error:
        _leave(f"error: {error}", 1)
    except BrokenPipeError:
        sys.stderr.close()  # nobody reads on; be as silent as other commands
        raise SystemExit(1) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _leave(f"error: {where}{error.strerror or error}{_similar_file(error)}", 1)
    except MemoryError as error:
        _leave(f"error: not enough memory ({error}); use a smaller net or batch", 1)
    except KeyboardInterrupt as error:
        code = TERMINATED if isinstance(error, Terminated) else INTERRUPTED
        _leave(f"stopped{': ' if error.args else ''}{' '.join(map(str, error.args))}", code)


@contextlib.contextmanager
def handling(handler, *signals):
    """Call `handler(number, frame)` when a signal comes; gives the handlers before, by number.

    Outside the main thread, which alone receives signals, nothing changes.
    """
    before = {}
    with contextlib.suppress(ValueError):  # which `signal.signal` raises in other threads
        before |= {number: signal.signal(number, handler) for number in signals}
    try:
        yield before
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def _terminate(number, frame):
    """Raise Terminated."""
    raise Terminated


def _similar_file(error):
    """Return a question about a file with a similar name, if one is missing and one is there."""
    if not isinstance(error, FileNotFoundError) or not isinstance(error.filename, str):
        return ""
    path = pathlib.Path(error.filename)
    with contextlib.suppress(OSError):
        names = [other.stem for other in path.parent.iterdir() if other.suffix == path.suffix]
        if near := difflib.get_close_matches(path.stem, names, 1):
            return f"; did you mean {path.with_name(near[0] + path.suffix)}?"
    return "; check the name and the folder"


class _Visible:
    """A stream that escapes control characters but tabs and line ends."""

    def __init__(self, stream):
        self._stream = stream

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text):
        """Write text that cannot control a terminal."""
        return self._stream.write(visible(text, "\n\t"))


def _accept_all_names(stream):
    """Have a stream escape what it cannot encode, as é in ASCII, or the bytes of a file's name."""
    exact = stream is None or (stream.encoding, stream.errors) == ("utf-8", "surrogateescape")
    if isinstance(stream, io.TextIOWrapper) and not exact:
        stream.reconfigure(errors="backslashreplace")


def _leave(message, code):
    """Print one line on standard error and end the process."""
    print(visible(" ".join(str(message).split())), file=sys.stderr)
    raise SystemExit(code) from None
