"""Columns of tables as flat arrays with the edges of their lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from cmlflow.event import UNKNOWN, IntArray
from cmlflow.event.arrays import whole
from cmlflow.io.files import FormatError


def edges_of(counts: Any) -> IntArray:
    """Where each of some lists begins, and where the last one ends."""
    return np.concatenate(([0], np.cumsum(counts, dtype=np.int64))).astype(np.int64)


@dataclass(frozen=True)
class Column:
    """Some rows of a column: lists inside lists, and what the innermost ones hold.

    Attributes
    ----------
    edges : list of ndarray, int64
        Where the lists of each depth begin, and where the last one ends; none where every row has one value.
    values : ndarray
        Floats with nan for missing values, or whole numbers.
    """

    edges: list[IntArray]
    values: NDArray[Any]

    @property
    def depth(self) -> int:
        """How many lists are inside each other in each row."""
        return len(self.edges)

    @property
    def counts(self) -> IntArray:
        """How many values each list of the innermost depth has."""
        return np.diff(self.edges[-1])

    def __len__(self) -> int:
        return len(self.edges[0]) - 1 if self.edges else len(self.values)

    def row(self, i: int) -> Column:
        """What row `i` has: as many rows as its list has entries, or one."""
        return self.rows(int(self.edges[0][i]), int(self.edges[0][i + 1]), 1) if self.edges else self.rows(i, i + 1)

    def rows(self, a: int, b: int, within: int = 0) -> Column:
        """Rows a..b-1; of what the lists of the first depth hold where `within` is 1."""
        edges = []
        for level in self.edges[within:]:
            edges.append(level[a : b + 1] - level[a])
            a, b = int(level[a]), int(level[b])
        return Column(edges, self.values[a:b])

    def taken(self, order: IntArray) -> Column:
        """Rows in another order; of columns with at most one list in a row."""
        if not self.edges:
            return Column([], self.values[order])
        if self.depth > 1:
            raise ValueError("rows of one event that do not follow each other have lists in lists; sort the file")
        counts = self.counts[order]
        begin = np.repeat(self.edges[0][order] - edges_of(counts)[:-1], counts)
        return Column([edges_of(counts)], self.values[begin + np.arange(counts.sum())])

    def whole(self, name: str) -> IntArray:
        """The values as whole numbers, -1 for missing ones."""
        filled = self.values
        if filled.dtype.kind == "f":
            filled = np.where(np.isnan(filled), UNKNOWN, filled)
        return whole(filled, name, "entry")

    def matrix(self, name: str) -> NDArray[Any]:
        """The values of rows with one number each, shape (n,), or with m each, shape (n, m)."""
        if not self.edges:
            return self.values
        width = int(self.counts[0]) if len(self) else 0
        if self.depth > 1 or (self.counts != width).any():
            raise ValueError(
                f"{name} has lists of {sorted(set(self.counts.tolist()))[:4]} numbers, expected one length"
            )
        return self.values.reshape(len(self), width)


def as_column(array: Any, where: str) -> Column:
    """An awkward array of numbers in lists as a `Column`."""
    edges = []
    try:
        while array.ndim > 1:
            edges.append(edges_of(np.asarray(ak.to_numpy(ak.fill_none(ak.num(array), 0)))))
            array = ak.flatten(array)
        if ak.any(ak.is_none(array)):
            array = ak.fill_none(ak.values_astype(array, np.float64), np.nan)
        values = np.asarray(ak.to_numpy(ak.drop_none(array)))
    except (TypeError, ValueError, AttributeError) as err:
        raise FormatError(f"{where} does not hold numbers, or lists of them") from err
    if values.dtype.kind == "b":
        values = values.astype(np.int8)
    if values.dtype.kind not in "iuf":
        raise FormatError(f"{where} holds {values.dtype}, expected numbers, or lists of them")
    return Column(edges, values)
