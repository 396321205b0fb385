"""Compilation of the CPU kernels by numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def compiled(**options: Any) -> Callable[[Kernel], Kernel]:
    """``numba.njit`` with a cache on disk, if there is a folder for it.

    Numba tries the folder of the source file, the user's cache folder and ``NUMBA_CACHE_DIR``, and fails if none of
    them is writable, as in some batch jobs. Here each process then compiles the kernel itself.
    """

    def decorate(function: Kernel) -> Kernel:
        try:
            kernel: Kernel = njit(cache=True, **options)(function)
        except RuntimeError:
            kernel = njit(**options)(function)
        return kernel

    return decorate
