"""Memory that stays with the process, so that large arrays are not mapped anew in each step."""

import ctypes
import sys

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # of mallopt, as in glibc's malloc.h
LARGEST = 1 << 30  # bytes of an array that comes from memory which is kept
OLD_LARGEST = 1 << 25  # the most that older versions of glibc take


def keep_memory():
    """Keep freed memory in the process, for programs that make arrays of the same sizes again.

    The C library returns arrays of some megabytes to the system as soon as they are freed, and
    the next one of that size is made of new pages, each of which costs a fault and is filled
    with zeros: a good part of the time of a training step.  After this call the process keeps up
    to 2 GiB of freed memory.  It works with glibc (Linux); elsewhere it does nothing.

    Returns
    -------
    bool
        Whether the C library accepted it.

    Examples
    --------
    >>> keep_memory() in (True, False)
    True
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    taken = mallopt(MMAP_THRESHOLD, LARGEST) or mallopt(MMAP_THRESHOLD, OLD_LARGEST)
    return bool(taken and mallopt(TRIM_THRESHOLD, (1 << 31) - 1))
