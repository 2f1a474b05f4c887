"""Memory in large pages: what is read in every step is found with fewer steps of the processor."""

import ctypes
import sys

import jax

_LARGE = 2 << 20  # bytes of a large page on x86 and most of ARM
_COLLAPSE = 25  # MADV_COLLAPSE, since Linux 6.1


def use_large_pages(array: jax.Array) -> None:
    """Asks the system to move an array's memory into large pages; what it cannot do it leaves.

    The array stays where it is and keeps what it holds.
    """
    start, size = array.unsafe_buffer_pointer(), array.nbytes
    first, end = -(-start // _LARGE) * _LARGE, (start + size) // _LARGE * _LARGE
    if sys.platform == "linux" and first < end:
        madvise = ctypes.CDLL(None).madvise
        madvise(ctypes.c_void_p(first), ctypes.c_size_t(end - first), ctypes.c_int(_COLLAPSE))
