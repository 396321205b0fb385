"""Compilation of the CPU kernels by numba."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from numba import njit
from numba.core.caching import FunctionCache

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

_warned: set[str] = set()


class _SafeCache(FunctionCache):  # type: ignore[misc]
    """Numba's cache on disk; where it cannot be read or written, kernels are compiled without it."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception as err:  # damaged: EOFError, UnpicklingError, whatever pickle finds
            _warn("read", self.cache_path, err)
            with suppress(Exception):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except Exception as err:  # a full disk or quota, a folder that is read-only
            _warn("written", self.cache_path, err)


def _warn(what: str, folder: str, err: Exception) -> None:
    if not _warned:  # one warning is enough, whatever the number of folders
        _warned.add(folder)
        text = " ".join(str(err).split()) or type(err).__name__
        warnings.warn(
            f"numba's cache in {folder} cannot be {what} ({text}): kernels are compiled without it, which takes some "
            "seconds; NUMBA_CACHE_DIR names another folder",
            RuntimeWarning,
            stacklevel=3,
        )


def compiled(**options: Any) -> Callable[[Kernel], Kernel]:
    """``numba.njit``, the result kept on disk where there is a folder to keep it in.

    Numba looks beside the source file, in the user's cache folder and in ``NUMBA_CACHE_DIR``, and gives up where it
    may write in none of them, as in some batch jobs. Here the kernel is then compiled anew by each process.
    """

    def decorate(function: Kernel) -> Kernel:
        kernel: Any = njit(**options)(function)
        with suppress(RuntimeError):  # no folder to write in
            kernel._cache = _SafeCache(function)
        compiled_kernel: Kernel = kernel
        return compiled_kernel

    return decorate
