"""Running a program for a person: one sentence for an error, an exit code, no traceback."""

import io
import sys

from bitnet.errors import InputError

INTERRUPTED = 130  # 128 + SIGINT, what a shell reports


def run(main):
    """Call `main()` and end the process as a command does.

    Refused input and errors of the operating system become one line on standard error and
    exit code 1; Ctrl-C becomes exit code 130.  Any other exception is a defect and keeps its
    traceback.

    Parameters
    ----------
    main : callable
        The program; takes no arguments.

    Raises
    ------
    SystemExit
        With a code that is not 0, if `main` did not end well.

    Examples
    --------
    >>> run(lambda: print("done"))
    done
    """
    for stream in (sys.stdout, sys.stderr):
        _accept_all_names(stream)
    try:
        main()
    except InputError as error:
        _leave(f"error: {error}", 1)
    except BrokenPipeError:
        sys.stderr.close()  # nobody reads on; be as silent as other commands
        raise SystemExit(1) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _leave(f"error: {where}{error.strerror or error}", 1)
    except MemoryError as error:
        _leave(f"error: not enough memory ({error}); use a smaller net or batch", 1)
    except KeyboardInterrupt as error:
        _leave(f"stopped{': ' if error.args else ''}{' '.join(map(str, error.args))}", INTERRUPTED)


def _accept_all_names(stream):
    """Have a stream escape what it cannot encode, as é in ASCII, or the bytes of a file's name."""
    exact = stream is None or (stream.encoding, stream.errors) == ("utf-8", "surrogateescape")
    if isinstance(stream, io.TextIOWrapper) and not exact:
        stream.reconfigure(errors="backslashreplace")


def _leave(message, code):
    """Print one line on standard error and end the process."""
    print(" ".join(str(message).split()), file=sys.stderr)
    raise SystemExit(code) from None
