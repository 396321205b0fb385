"""CPU kernel that selects the k smallest entries of every row of a distance tile, compiled on first use."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from cmlflow.graphs.compiling import compiled

Float = np.ndarray[Any, np.dtype[np.float32]]
Int = np.ndarray[Any, np.dtype[np.int64]]

GROUP = 8


@compiled(fastmath={"nsz", "arcp", "contract", "reassoc"})
def smallest(distance: Float, k: int, out: Int) -> None:
    """Columns of the k smallest entries of each row, by rising value, equal values by column.

    Each row is read twice: for the minima of groups of 8 columns, the k-th smallest of which bounds the k-th smallest
    entry; then, in the groups below that bound, for the entries themselves.

    Parameters
    ----------
    distance : ndarray of shape (rows, n), float32
        Entries that are nan are not chosen; where too few others are left, column 0 fills the row.
    k : int
        At most n.
    out : ndarray of shape (rows, k), int64
        Receives the columns.
    """
    rows, n = distance.shape
    n_groups = n // GROUP
    minimum = np.empty(n_groups, np.float32)
    best = np.empty(k, np.float32)
    column = np.empty(k, np.int64)
    for i in range(rows):
        row = distance[i]
        have = 0
        bound = np.float32(np.inf)
        if n_groups >= k:
            minimum[:] = row[:n_groups]
            for s in range(1, GROUP):  # group g has the columns g, g + n_groups, g + 2 n_groups, ...
                part = row[s * n_groups : (s + 1) * n_groups]
                for g in range(n_groups):
                    minimum[g] = min(minimum[g], part[g])
            bound = _kth_smallest(minimum, k, best)
            for g in range(n_groups):
                if minimum[g] <= bound:
                    for c in range(g, n_groups * GROUP, n_groups):
                        if row[c] <= bound:
                            have = _insert(row[c], c, best, column, have, k)
            start = n_groups * GROUP
        else:
            start = 0
        for c in range(start, n):
            if row[c] <= bound:
                have = _insert(row[c], c, best, column, have, k)
        for j in range(k):
            out[i, j] = column[j] if j < have else 0


@njit  # type: ignore[untyped-decorator]
def _kth_smallest(values: Float, k: int, work: Float) -> np.float32:
    have = 0
    for x in values:
        if have < k or x < work[have - 1]:
            j = have if have < k else k - 1
            while j > 0 and work[j - 1] > x:
                work[j] = work[j - 1]
                j -= 1
            work[j] = x
            have = min(have + 1, k)
    last: np.float32 = work[k - 1]
    return last


@njit  # type: ignore[untyped-decorator]
def _insert(x: np.float32, c: int, best: Float, column: Int, have: int, k: int) -> int:
    """Insert into the list that rises by value, then by column; how many entries it has now."""
    if have == k and not _before(x, c, best[k - 1], column[k - 1]):
        return have
    j = have if have < k else k - 1
    while j > 0 and _before(x, c, best[j - 1], column[j - 1]):
        best[j] = best[j - 1]
        column[j] = column[j - 1]
        j -= 1
    best[j] = x
    column[j] = c
    return min(have + 1, k)


@njit(inline="always")  # type: ignore[untyped-decorator]
def _before(x: np.float32, c: int, other: np.float32, other_column: int) -> bool:
    return bool(x < other or (x == other and c < other_column))
