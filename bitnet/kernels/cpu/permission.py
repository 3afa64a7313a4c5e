"""Permission to use the tile registers, which Linux gives to a process that asks for it.

A processor with AMX has eight registers of 1 KB, the tiles.  Linux saves them only for processes
that asked; in any other process the first tile instruction ends the process (SIGILL).  The
permission belongs to all threads of the process, also those started before.  A forked process
inherits it; a new program, such as a spawned worker, must ask again.
"""

import ctypes
import functools
import os
import platform
import sys

ARCH_PRCTL = 158  # the system call
GET_PERMITTED, REQUEST = 0x1022, 0x1023  # ARCH_GET_XCOMP_PERM, ARCH_REQ_XCOMP_PERM
TILES = 18  # XFEATURE_XTILEDATA


@functools.cache
def refusal() -> str | None:
    """Ask for the tiles, once per process; return why they cannot be used, or None."""
    is_64_bit = platform.machine() == "x86_64" and ctypes.sizeof(ctypes.c_void_p) == 8
    if not sys.platform.startswith("linux") or not is_64_bit:
        return "a permission that only Linux on x86-64 grants"
    try:
        call = ctypes.CDLL(None, use_errno=True).syscall
    except (OSError, AttributeError):
        return "a C library with `syscall`"
    call.restype = ctypes.c_long
    if call(ctypes.c_long(ARCH_PRCTL), ctypes.c_long(REQUEST), ctypes.c_long(TILES)):
        return f"the tiles, which Linux refused ({os.strerror(ctypes.get_errno())})"
    granted = ctypes.c_uint64(0)
    failed = call(ctypes.c_long(ARCH_PRCTL), ctypes.c_long(GET_PERMITTED), ctypes.byref(granted))
    if failed or not granted.value >> TILES & 1:
        return "the tiles, which Linux did not grant"
    return None
