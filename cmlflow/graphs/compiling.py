"""Compilation of the CPU kernels by numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def compiled(**options: Any) -> Callable[[Kernel], Kernel]:
    """``numba.njit``, the result kept on disk where there is a folder to keep it in.

    Numba looks beside the source file, in the user's cache folder and in ``NUMBA_CACHE_DIR``, and gives up where it
    may write in none of them, as in some batch jobs. Here the kernel is then compiled anew by each process.
    """

    def decorate(function: Kernel) -> Kernel:
        try:
            kernel: Kernel = njit(cache=True, **options)(function)
        except RuntimeError:
            kernel = njit(**options)(function)
        return kernel

    return decorate
