"""Sizes of a comparison: found by name, with other numbers of test events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeVar


class Named(Protocol):
    """A size with a name."""

    @property
    def name(self) -> str:
        """Its name."""


Size = TypeVar("Size", bound=Named)


def find_size(size: str | Size, sizes: Mapping[str, Size]) -> Size:
    """A size itself, or the one of this name.

    Raises
    ------
    ValueError
        The name is unknown.
    """
    if not isinstance(size, str):
        return size
    if size not in sizes:
        raise ValueError(f"size: unknown name {size!r}, expected one of {', '.join(sizes)}")
    return sizes[size]


def scaled(n_events: int, part: float) -> int:
    """A part of a number of events, at least 1."""
    return max(1, round(n_events * part))
