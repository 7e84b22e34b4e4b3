"""Keep freed memory for the next layer instead of handing it back to the system each time."""

import ctypes
import platform

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # malloc.h of glibc
_MOST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Tell glibc's allocator to reuse large blocks; return whether it is there and agreed.

    Training on a CPU frees and asks for tens of megabytes at each layer. By
    default each of them comes fresh from the kernel, page by page, which costs
    a third of the time of a step (benchmarks/README.md). Other systems'
    allocators do not do that, and are left alone.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(
        mallopt(option, value) == 1
        for option, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _MOST), (_TOP_PAD, 64 << 20))
    )
