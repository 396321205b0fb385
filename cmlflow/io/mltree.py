"""ROOT files of the ATLAS MLTree kind: cells of topo-clusters with truth shares, tracks, a separate cell geometry."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from cmlflow.coordinates import axes, direction_of
from cmlflow.event import Deposits, Event, IntArray, Particles
from cmlflow.event.arrays import whole, whole_number
from cmlflow.io.blocks import BlockEvents
from cmlflow.io.extrapolations import TRACKS, layer_branches, layers_of, tracks_from
from cmlflow.io.files import FormatError, PathLike, existing, stored_labels
from cmlflow.io.geometry import EVENTS, NOTE, CellGeometry, read_geometry
from cmlflow.io.mltree_writer import write_mltree
from cmlflow.io.nested import Nested, read_nested
from cmlflow.io.root import Jagged, check_counts, entry_edges, guarded, open_root, open_tree, read_jagged, read_note

__all__ = ["MltreeEvents", "read_mltree_labels", "write_mltree"]

CELLS = ("cluster_cell_ID", "cluster_cell_E")
TRUTH = ("cluster_cell_hitsTruthIndex", "cluster_cell_hitsTruthE")
PARTICLES = ("truthPartPdgId", "truthPartE", "truthPartEta", "truthPartPhi")

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Merged:
    """The cells of one event, each once: `hit` and `energy` go with the appearances, one per cluster of a cell."""

    cell: IntArray
    energy: Array
    of: IntArray


class MltreeEvents(BlockEvents):
    """Events of a ROOT file of the MLTree kind, read in blocks of entries on access.

    Parameters
    ----------
    path : path-like
        Has the tree (or RNTuple) EventTree.
    geometry : path-like, optional
        File with the tree CellGeo; `path` itself by default.
    negative : {"drop", "zero"}
        Whether cells with a negative energy (noise), which no `Event` may have, are left out or kept with zero.
    shared_truth : {"add", "once"}
        A cell shared by clusters appears in each with its part of the energy. Whether its truth appears in parts too,
        which add up, or the whole list is repeated, so that the first one counts. The shares of the particles are the
        same either way.
    detector : str, optional
        Name of the geometry; by default what `write_mltree` kept, otherwise ``"atlas"``.
    step_size : int, default 256
        Events per block.
    cache : int, default 2
        Blocks kept in memory.

    Attributes
    ----------
    geometry : CellGeometry
        Position, layer and noise of every cell.

    Raises
    ------
    FileNotFoundError
        No such file.
    FormatError
        Names the file, and the branch or the event at fault.

    Notes
    -----
    Cells of all topo-clusters are one cloud, in the order of their first appearance; positions come from CellGeo by
    the cells' numbers, lengths are converted from mm to cm, energies stay in GeV. Truth lists that go on beyond the
    cells of their cluster are cut, truth energies that are not positive are dropped. Particles are all those of the
    event, in its order. A track has momentum and direction of its parameters at the origin; it crosses a layer at the
    layer's fixed radius or \\|z\\| (`cmlflow.io.atlas`), and enters at the crossing nearest to the origin, or where a
    straight line would meet EMB1 or EME1. `tracks.crossing` has the layers by ATLAS's numbers 1..20.

    References
    ----------
    M. Jovanovic, "PointNet for Particle Flow Energy Reconstruction: Documentation" (2024), data preprocessing; the
    MLTree package of ATLAS (gitlab.cern.ch/atlas-jetetmiss/pflow/commontools/MLTree).
    """

    def __init__(
        self,
        path: PathLike,
        *,
        geometry: PathLike | None = None,
        negative: Literal["drop", "zero"] = "drop",
        shared_truth: Literal["add", "once"] = "add",
        detector: str | None = None,
        step_size: int = 256,
        cache: int = 2,
    ) -> None:
        super().__init__(path, cache)
        if negative not in ("drop", "zero"):
            raise ValueError(f"negative is {negative!r}, expected 'drop' or 'zero'")
        if shared_truth not in ("add", "once"):
            raise ValueError(f"shared_truth is {shared_truth!r}, expected 'add' or 'once'")
        if not isinstance(step_size, int):
            raise ValueError(f"step_size is {step_size!r}, expected a number of events")
        self._negative, self._shared_truth = negative, shared_truth
        self._geometry_path = self.path if geometry is None else existing(geometry)
        self._geometry: CellGeometry | None = None
        with open_root(self.path) as file:
            text = read_note(self.path, file, NOTE)
        note = {} if text is None else json.loads(text)
        if not isinstance(note, dict) or not isinstance(note.get("detector"), str | None):
            raise FormatError(f"{self.path}: {NOTE} is {text!r}, expected an object with a detector")
        self._detector: str | None = note.get("detector") if detector is None and note else detector or "atlas"
        self._unit = float(note.get("gev_per_unit", 1.0))
        order = axes(str(note.get("beam", "z")))
        self._axes = [order.index(a) for a in range(3)]
        tree = self._handle
        self._layers = layers_of(list(tree.keys()))
        self._edges = entry_edges(tree, (), step_size)

    @property
    def geometry(self) -> CellGeometry:
        """Position, layer and noise of every cell, in the file's own axes; read on first access."""
        if self._geometry is None:
            self._geometry = read_geometry(self._geometry_path)
        return self._geometry

    def _open(self) -> Any:
        return open_tree(self.path, EVENTS, CELLS)

    def _load(self, block: int) -> dict[str, Any]:
        start, stop = int(self._edges[block]), int(self._edges[block + 1])
        tree = self._handle
        cells = [read_nested(self.path, tree, name, start, stop, 2) for name in CELLS]
        cells[1].check_like(cells[0], self.path, start)
        out: dict[str, Any] = {"cells": cells}
        if all(name in tree for name in TRUTH):
            truth = [read_nested(self.path, tree, name, start, stop, 3) for name in TRUTH]
            truth[1].check_like(truth[0], self.path, start)
            out["truth"] = [t.cut_like(cells[0], self.path, start) for t in truth]
        tracks = self._track_branches()
        if tracks:
            out["tracks"] = read_jagged(self.path, tree, tracks, start, stop)
            check_counts(self.path, start, out["tracks"])
        particles = [name for name in PARTICLES if name in tree]
        out["particles"] = read_jagged(self.path, tree, particles, start, stop)
        check_counts(self.path, start, out["particles"])
        if "eventNumber" in tree:
            array = guarded(
                self.path, "branch eventNumber", lambda: tree["eventNumber"].array(entry_start=start, entry_stop=stop)
            )
            out["number"] = ak.to_numpy(array)
        return out

    def _track_branches(self) -> list[str]:
        tree = self._handle
        if TRACKS[0] not in tree:
            return []
        missing = [name for name in TRACKS if name not in tree]
        if missing:
            raise FormatError(f"{self.path}: tree {EVENTS} has trackPt, but lacks {', '.join(missing)}")
        truth = ["trackTruthParticleIndex"] if "trackTruthParticleIndex" in tree else []
        return [*TRACKS, *truth, *layer_branches({name: own for name, (_, own) in self._layers.items()})]

    def merged(self, arrays: dict[str, Any], i: int) -> Merged:
        """The cells of entry i of a block, in the order of their first appearance."""
        number, energy = (c.event(i) for c in arrays["cells"])
        bad = ~np.isfinite(energy)
        if bad.any():
            j = int(np.flatnonzero(bad)[0])
            raise ValueError(f"cluster_cell_E of cell {number[j]} is {energy[j]}, expected a finite energy")
        cell, first, where = np.unique(number, return_index=True, return_inverse=True)
        order = np.argsort(first)
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        of = place[where.reshape(-1)]
        return Merged(cell[order], np.bincount(of, energy, len(cell)).astype(np.float64), of)

    def _event(self, arrays: dict[str, Any], i: int, entry: int) -> Event:
        cells = self.merged(arrays, i)
        keep = cells.energy >= 0 if self._negative == "drop" else np.ones(len(cells.cell), np.bool_)
        row = self.geometry.rows(cells.cell)
        energy = np.maximum(cells.energy, 0.0)[keep] / self._unit
        particles = _particles(arrays["particles"], i, self._axes)
        deposits = None
        if "truth" in arrays:
            count = None if particles is None else len(particles)
            deposits = self._deposits(arrays["truth"], i, cells, keep, count)
        number = whole_number(arrays["number"][i], "eventNumber") if "number" in arrays else entry
        return Event(
            self.geometry.position[row][keep][:, self._axes],
            energy,
            self.geometry.layer[row][keep],
            deposits=deposits,
            particles=particles,
            tracks=tracks_from(arrays["tracks"], i, self._layers, self._axes) if "tracks" in arrays else None,
            detector=self._detector,
            number=None if number < 0 else number,
        )

    def _deposits(
        self, truth: list[Nested], i: int, cells: Merged, keep: NDArray[np.bool_], n_particles: int | None
    ) -> Deposits:
        counts, (particle, energy) = truth[0].counts_of(i), (t.event(i) for t in truth)
        appearance = np.repeat(np.arange(len(counts)), counts)
        hit, particle = cells.of[appearance], whole(particle, TRUTH[0], "entry")
        bad = (particle < -1) | (particle >= (2**31 if n_particles is None else n_particles)) | ~np.isfinite(energy)
        if bad.any():
            j = int(np.flatnonzero(bad)[0])
            raise ValueError(
                f"truth of cell {cells.cell[hit[j]]} is {TRUTH[0]} {particle[j]}, {TRUTH[1]} {energy[j]}; expected a "
                f"particle in -1..{'' if n_particles is None else n_particles - 1} and a finite energy"
            )
        use = (energy > 0) & keep[hit]
        if self._shared_truth == "once":
            first = np.unique(cells.of, return_index=True)[1]
            use &= np.isin(appearance, first)
        wide = int(particle.max(initial=-1)) + 2
        pair, where = np.unique((hit * wide + particle + 1)[use], return_inverse=True)
        new = np.cumsum(keep) - 1
        total = np.bincount(where.reshape(-1), energy[use], len(pair)) / self._unit
        return Deposits(new[pair // wide], pair % wide - 1, total.astype(np.float32))


def read_mltree_labels(path: PathLike) -> list[IntArray]:
    """Labels of the cells by their topo-clusters, in the order of the hits of `MltreeEvents` with its defaults.

    Returns
    -------
    list of ndarray of shape (n_hits,), int64
        The cluster with the largest part of the cell's energy, numbered 0, 1, ... in the order of the file, or as in
        the branch `cluster_label` that `write_mltree` adds (-1 noise).
    """
    events = MltreeEvents(path)
    tree = events._handle
    labels: list[IntArray] = []
    for block in range(len(events._edges) - 1):
        arrays = events._load(block)
        start, stop = int(events._edges[block]), int(events._edges[block + 1])
        named = read_jagged(events.path, tree, ["cluster_label"], start, stop) if "cluster_label" in tree else None
        for i in range(stop - start):
            cells, counts = events.merged(arrays, i), arrays["cells"][0].counts_of(i)
            cluster = (
                np.arange(len(counts))
                if named is None
                else stored_labels(events.path, start + i, named["cluster_label"][i], len(counts))
            )
            energy = arrays["cells"][1].event(i)
            order = np.lexsort((-energy, cells.of))
            first = order[np.unique(cells.of[order], return_index=True)[1]]
            labels.append(np.repeat(cluster, counts)[first][cells.energy >= 0])
    return labels


def _particles(columns: dict[str, Jagged], i: int, turn: list[int]) -> Particles | None:
    if not columns:
        return None
    n = len(next(iter(columns.values()))[i])
    unknown = Particles.unknown(n)
    pdg_id, energy, eta, phi = (columns[name][i] if name in columns else None for name in PARTICLES)
    direction = unknown.direction if eta is None or phi is None else direction_of(eta, phi)[:, turn]
    return Particles(
        unknown.pdg_id if pdg_id is None else whole(pdg_id, PARTICLES[0], "particle"),
        unknown.energy if energy is None else energy.astype(np.float32),
        direction.astype(np.float32),
    )
