"""The tree CellGeo of MLTree files: where each cell of the calorimeter is, found by the cell's number."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.coordinates import from_eta_phi
from cmlflow.event import IntArray
from cmlflow.event.arrays import whole
from cmlflow.io.atlas import nearest_layers
from cmlflow.io.files import FormatError
from cmlflow.io.root import check_counts, open_root, open_tree, read_jagged

EVENTS = "EventTree"
GEOMETRY = "CellGeo"
NOTE = "cmlflow_mltree"
"""Names in the file: the tree of events, the tree of cells, and what the writer of cmlflow adds."""
REQUIRED = ("cell_geo_ID", "cell_geo_eta", "cell_geo_phi", "cell_geo_rPerp")
OPTIONAL = ("cell_geo_sampling", "cell_geo_sigma")


@dataclass(frozen=True, eq=False)
class CellGeometry:
    """All cells of a calorimeter, by increasing number.

    Attributes
    ----------
    cell : ndarray of shape (n_cells,), int64
        Number of the cell (`cell_geo_ID`), each once.
    position : ndarray of shape (n_cells, 3), float64 [cm]
    layer : ndarray of shape (n_cells,), int64
        `cell_geo_sampling`; where the file does not give it, the layer whose surface is nearest, see
        `cmlflow.io.atlas.nearest_layers`.
    sigma : ndarray of shape (n_cells,), float64 [GeV]
        Noise; nan where the file does not give it.
    """

    cell: IntArray
    position: NDArray[np.float64]
    layer: IntArray
    sigma: NDArray[np.float64]

    def rows(self, cell: ArrayLike) -> IntArray:
        """Row of each cell of an event.

        Raises
        ------
        ValueError
            Names the first cell that is not in the geometry.
        """
        wanted = cell_numbers(cell, "cluster_cell_ID")
        if not len(self.cell):
            row = np.zeros(len(wanted), np.int64)
            found = np.zeros(len(wanted), np.bool_)
        else:
            row = np.minimum(np.searchsorted(self.cell, wanted), len(self.cell) - 1)
            found = self.cell[row] == wanted
        if not found.all():
            lost = wanted[~found][0]
            raise ValueError(
                f"cluster_cell_ID {lost} is not among the {len(self.cell)} cells of the tree {GEOMETRY}: is it the "
                "geometry of these events?"
            )
        return row


def cell_numbers(values: ArrayLike, name: str) -> IntArray:
    """Numbers of cells as int64; unsigned numbers keep their bits."""
    array = np.asarray(values)
    return array.astype(np.int64) if array.dtype.kind == "u" else whole(array, name, "cell")


def read_geometry(path: Path) -> CellGeometry:
    """The cells of the tree CellGeo, of which the first entry holds all.

    Raises
    ------
    FormatError
        There is no such tree, it is empty, it lacks a branch, a cell appears twice or has no finite position.
    """
    with open_root(path) as file:
        if GEOMETRY not in file:
            raise FormatError(f"{path} has no tree {GEOMETRY}: give the file that has it as geometry=")
    tree = open_tree(path, GEOMETRY, REQUIRED)
    if int(tree.num_entries) < 1:
        raise FormatError(f"{path}: tree {GEOMETRY} is empty, expected one entry with all cells")
    names = [*REQUIRED, *(name for name in OPTIONAL if name in tree)]
    columns = read_jagged(path, tree, names, 0, 1)
    check_counts(path, 0, columns)
    values = {name: column[0] for name, column in columns.items()}
    try:
        values["cell_geo_ID"] = cell_numbers(values["cell_geo_ID"], "cell_geo_ID")
        if "cell_geo_sampling" in values:
            values["cell_geo_sampling"] = whole(values["cell_geo_sampling"], "cell_geo_sampling", "cell")
    except ValueError as err:
        raise FormatError(f"{path}, tree {GEOMETRY}: {err}") from err
    order = np.argsort(values["cell_geo_ID"], kind="stable")
    values = {name: value[order] for name, value in values.items()}
    cell = values["cell_geo_ID"]
    again = np.flatnonzero(cell[1:] == cell[:-1])
    if len(again):
        raise FormatError(f"{path}: cell_geo_ID {cell[again[0]]} appears more than once in the tree {GEOMETRY}")
    eta, phi, radius = (np.asarray(values[name], np.float64) for name in REQUIRED[1:])
    position = from_eta_phi(eta, phi, radius / 10)
    lost = np.flatnonzero(~np.isfinite(position).all(axis=1))
    if len(lost):
        j = lost[0]
        raise FormatError(
            f"{path}: cell_geo_ID {cell[j]} has eta {eta[j]}, phi {phi[j]}, rPerp {radius[j]}, expected finite values"
        )
    layer = values.get("cell_geo_sampling", nearest_layers(position))
    sigma = values.get("cell_geo_sigma", np.full(len(cell), np.nan))
    return CellGeometry(cell, position, layer, sigma.astype(np.float64))
