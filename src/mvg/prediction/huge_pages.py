"""Memory of computations on CPUs: in huge pages, and kept for the next ones.

A prediction asks for thousands of blocks of some megabytes. By default the system clears each of them page by page, and
finds each page by a search of its own, which is slow on virtual machines. Taken together that is a fifth of the time.
"""

import ctypes
import os
import sys
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENAS = -1, -3, -8  # parameters of glibc's mallopt
_HUGE_PAGE = 14  # of madvise
_PAGE = 2**21  # bytes of a huge page
_BLOCK = 2**29  # bytes that are laid out in huge pages; freed memory goes back to the system from twice as many on
_LARGE = 2**25  # bytes of a block, from which on it goes back to the system
_SETTINGS = ("MALLOC_", "GLIBC_TUNABLES")


@cache
def prefer_huge_pages() -> bool:
    """Have this process keep up to 1 GiB that was freed, the first half in huge pages; whether that was possible.

    All threads share one heap then. It is possible on Linux with glibc, unless the user has set how memory is allocated
    (GLIBC_TUNABLES, MALLOC_...). Blocks of 32 MiB or more, volumes for example, go back to the system as before. Only
    the first call has an effect.
    """
    if sys.platform != "linux" or any(name.startswith(_SETTINGS) for name in os.environ):
        return False
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 - other libraries have no such settings
        library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
        library.free.argtypes = [ctypes.c_void_p]
        library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    except (AttributeError, OSError):
        return False
    for parameter, value in ((_TRIM_THRESHOLD, 2 * _BLOCK), (_MMAP_THRESHOLD, 2 * _BLOCK), (_ARENAS, 1)):
        library.mallopt(parameter, ctypes.c_int(value))
    block = library.malloc(_BLOCK)  # at the end of the heap, and there again when it is freed
    if block:
        first = -(-block // _PAGE) * _PAGE
        library.madvise(first, (block + _BLOCK - first) // _PAGE * _PAGE, _HUGE_PAGE)
        library.free(block)
    library.mallopt(_MMAP_THRESHOLD, ctypes.c_int(_LARGE))
    return bool(block)


def return_memory() -> bool:
    """Hand memory that was freed to the system, which glibc else keeps; whether that was possible."""
    if sys.platform != "linux":
        return False
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError):  # another library has no such function
        return False
    return True
