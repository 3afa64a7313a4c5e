"""A setting of the C library that lets the process keep freed memory for later arrays."""

import ctypes
import sys

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # of mallopt, as in glibc's malloc.h
LARGEST = 1 << 30  # bytes of the largest array that reuses freed memory
OLD_LARGEST = 1 << 25  # the maximum in older versions of glibc


def keep_memory() -> bool:
    """Keep freed memory in the process, for programs that allocate the same sizes repeatedly.

    The C library returns arrays of some megabytes to the system as soon as they are freed.  The
    next array of that size then needs new pages; each one costs a page fault and is filled with
    zeros, which takes much of the time of a training step.  After this call the process keeps up
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
