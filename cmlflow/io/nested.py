"""Branches with lists of lists per event, as flat arrays and counts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from cmlflow.event import IntArray
from cmlflow.io.files import FormatError
from cmlflow.io.root import guarded


@dataclass(frozen=True)
class Nested:
    """A branch over some entries, with lists inside the list of each entry.

    Attributes
    ----------
    name : str
        Of the branch.
    counts : list of ndarray, int64
        How many the lists of each depth hold: first of the entries, then of all that those hold, and so on.
    values : ndarray of shape (n_values,)
        What the innermost lists hold.
    """

    name: str
    counts: list[IntArray]
    values: NDArray[Any]

    def _range(self, i: int, depth: int) -> tuple[int, int]:
        """Lists of a depth that belong to entry i; depth 0 is the entry itself, the last one its values."""
        a, b = i, i + 1
        for edges in self._edges[:depth]:
            a, b = int(edges[a]), int(edges[b])
        return a, b

    @cached_property
    def _edges(self) -> list[IntArray]:
        return [np.concatenate(([0], np.cumsum(counts))) for counts in self.counts]

    def event(self, i: int) -> NDArray[Any]:
        """All values of entry i."""
        a, b = self._range(i, len(self.counts))
        return self.values[a:b]

    def counts_of(self, i: int) -> IntArray:
        """How many values each innermost list of entry i has."""
        a, b = self._range(i, len(self.counts) - 1)
        return self.counts[-1][a:b]

    def check_like(self, other: Nested, path: Path, start: int) -> None:
        """Lists are as long as those of another branch of the same depth.

        Raises
        ------
        FormatError
            Names the file, the entry, and both branches with their lengths.
        """
        for depth, (have, want) in enumerate(zip(self.counts, other.counts, strict=True)):
            self._compare(have, want, have == want, depth, other, path, start)

    def cut_like(self, other: Nested, path: Path, start: int) -> Nested:
        """Without the lists by which those of the second depth go on beyond the other branch's.

        Raises
        ------
        FormatError
            There are fewer lists than the other branch has.
        """
        self._compare(self.counts[0], other.counts[0], self.counts[0] == other.counts[0], 0, other, path, start)
        have, want = self.counts[1], other.counts[1]
        self._compare(have, want, have >= want, 1, other, path, start)
        if (have == want).all():
            return self
        begin = np.repeat(np.cumsum(have) - have, have)
        keep = np.arange(len(begin)) - begin < np.repeat(want, have)
        values = self.values[np.repeat(keep, self.counts[2])]
        return Nested(self.name, [self.counts[0], want, self.counts[2][keep]], values)

    def _compare(
        self, have: IntArray, want: IntArray, fits: NDArray[np.bool_], depth: int, other: Nested, path: Path, start: int
    ) -> None:
        if fits.all():
            return
        j = int(np.flatnonzero(~fits)[0])
        entry = j
        for counts in reversed(self.counts[:depth]):
            entry = int(np.searchsorted(np.cumsum(counts), entry, side="right"))
        what = ("clusters", "cells in a cluster", "truth particles in a cell")[depth]
        raise FormatError(
            f"{path}, entry {start + entry}: {self.name} has {have[j]} {what}, but {other.name} has {want[j]}"
        )


def read_nested(path: Path, tree: Any, branch: str, start: int, stop: int, depth: int) -> Nested:
    """A branch with `depth` lists inside each other, over the entries start..stop-1.

    Raises
    ------
    FormatError
        The branch cannot be read, or is nested otherwise.
    """
    what = f"branch {branch}, entries {start}..{stop - 1}"
    array = guarded(path, what, partial(tree[branch].array, entry_start=start, entry_stop=stop))
    if array.ndim != depth + 1:
        raise FormatError(f"{path}: branch {branch} has {tree[branch].typename} per event, expected lists {depth} deep")
    counts = []
    for _ in range(depth):
        counts.append(np.asarray(ak.to_numpy(ak.num(array)), np.int64))
        array = ak.flatten(array)
    return Nested(branch, counts, np.asarray(ak.to_numpy(array)))
