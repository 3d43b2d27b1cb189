"""The C library's allocator, told to keep what PyTorch frees.

glibc maps every large tensor anew and gives it back when it is freed; the page faults of the next one can cost more
than the arithmetic. Training calls this once; a library must not, so importing does nothing.
"""

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4                      # malloc.h
_KEEP_BYTES = 2**31 - 1


def keep_freed_memory() -> bool:
    """Serve large blocks from the heap and never shrink it; False where the allocator is not glibc's."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    settings = {_MMAP_MAX: 0, _TRIM_THRESHOLD: _KEEP_BYTES, _TOP_PAD: 2**26}
    return all([mallopt(name, value) for name, value in settings.items()])
