"""Writing events as a ROOT file of the MLTree kind."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import awkward as ak
import numpy as np
import uproot
from numpy.typing import ArrayLike, NDArray

from cmlflow.coordinates import eta_phi, radius_of
from cmlflow.event import Event, IntArray
from cmlflow.event.arrays import INT32, whole
from cmlflow.io.extrapolations import layer_branches, layer_names, track_columns
from cmlflow.io.files import PathLike, atomically, paired
from cmlflow.io.geometry import EVENTS, GEOMETRY, NOTE
from cmlflow.io.topoclusters import Fractions, assigned
from cmlflow.io.units import mev_per_unit

EVENTS_PER_BASKET = 256
CELL = np.dtype([("cell", "i8"), ("layer", "i4"), ("x", "f4"), ("y", "f4"), ("z", "f4")])

Array = NDArray[np.float64]


def write_mltree(
    events: Iterable[Event],
    path: PathLike,
    labels: Iterable[ArrayLike] | None = None,
    *,
    fractions: Iterable[Fractions] | None = None,
    beam: str = "z",
    gev_per_unit: float | None = None,
) -> None:
    """Write events in the layout of ATLAS's MLTree; a failure leaves no file behind.

    EventTree is an RNTuple, ROOT's format for nested lists that uproot can write; its fields have the names and the
    nesting of the tree's branches. CellGeo is a tree with one entry. `cmlflow.read` turns both back to events in their
    own axes and units.

    Parameters
    ----------
    events : iterable of Event
        Consumed one by one; all of one detector. Hits at one place of one layer are one cell.
    path : path-like
        Appears only when it is complete.
    labels : iterable of array_like of shape (n_hits,), int, optional
        Cluster labels of each event, which become its topo-clusters; hits with -1 are in a last one of their own, with
        `cluster_label` -1. One topo-cluster with all hits by default.
    fractions : iterable of (hit, cluster, fraction), optional
        Soft assignment instead of labels: the part of each hit that belongs to each cluster, at most 1 in sum. The
        remainder is in the cluster with label -1.
    beam : {"z", "x", "y"}
        Axis of the events that is the beam of the file. Detectors across the z axis, seen as a piece of a barrel, have
        "y"; with "z", cells and tracks on the axis itself cannot be written.
    gev_per_unit : float, optional
        Value of the unit of hit energies; that of a MIP for detectors whose name begins with ``hgcal``, 1 otherwise.

    Raises
    ------
    OSError
        Names the file; for example on a full disk.
    ValueError, TypeError
        Labels do not fit the events, detectors differ, hits or tracks lie on the beam axis, or crossings of
        ATLAS's layers lie off their surfaces; names the event and the hit or track.

    Notes
    -----
    For the detector ``"atlas"``, layers 1..20 are written by their ATLAS names, and a crossing must lie on the layer's
    surface, as the layout has no place for its distance. For other detectors a branch `trackRPerp_<layer>` is added,
    and layers are named ``layer1``, ... The entry point is one more of them, ``entry``. Quantities that `Tracks` lacks
    (`trackChiSquared`, `trackNumberDOF`, `trackSubtractedCaloEnergy`) are zero, and so is `cell_geo_sigma`.
    """
    labelled = paired(events, labels)
    with atomically(path) as temporary, open(temporary, "wb+") as sink, uproot.recreate(sink) as file:
        writer = _Writer(file, beam, gev_per_unit)
        for event, soft in assigned(labelled, fractions):
            writer.add(event, *soft)
        writer.close()


class _Writer:
    """Collects events until a basket is full, and the cells of all events."""

    def __init__(self, file: Any, beam: str, gev_per_unit: float | None) -> None:
        eta_phi(np.zeros((0, 3)), beam)  # refuses an unknown beam before anything is written
        if gev_per_unit is not None and not gev_per_unit > 0:
            raise ValueError(f"gev_per_unit is {gev_per_unit}, expected a positive number of GeV")
        self._file, self._beam = file, beam
        self._asked, self._unit = gev_per_unit, 1.0
        self._kept: list[tuple[Event, IntArray, IntArray, Array]] = []
        self._tree: Any = None
        self._layers: dict[str, int] = {}
        self._detector: str | None = None
        self._cells: list[NDArray[Any]] = [np.zeros(0, CELL)]
        self._count = 0

    def add(self, event: Event, hit: IntArray, cluster: IntArray, fraction: Array) -> None:
        if self._count == 0:
            self._detector = event.detector
        elif event.detector != self._detector:
            raise ValueError(
                f"event {self._count} has detector {event.detector!r}, but the ones before {self._detector!r}: a file "
                "has one geometry"
            )
        self._count += 1
        self._kept.append((event, hit, cluster, fraction))
        if len(self._kept) >= EVENTS_PER_BASKET:
            self._flush()

    def _flush(self) -> None:
        if self._tree is None:
            own = mev_per_unit(self._detector, unnamed=1000.0) / 1000
            self._unit = own if self._asked is None else self._asked
            tracks = [event.tracks for event, *_ in self._kept]
            counts = [0 if t is None or t.crossing is None else t.crossing.shape[1] for t in tracks]
            self._layers = layer_names(self._detector, max(counts, default=0))
        first = self._count - len(self._kept)
        rows = [self._row(first + i, *kept) for i, kept in enumerate(self._kept)]
        basket = _basket(rows, self._layers, self._detector != "atlas")
        if self._tree is None:
            self._tree = self._file.mkrntuple(EVENTS, basket)
        else:
            self._tree.extend(basket)
        self._cells = [np.unique(np.concatenate([*self._cells, *(row["cells"] for row in rows)]))]
        self._kept = []

    def _row(self, i: int, event: Event, hit: IntArray, cluster: IntArray, fraction: Array) -> dict[str, Any]:
        where = f"event {i if event.number is None else event.number}"
        order = np.lexsort((hit, np.where(cluster < 0, np.iinfo(np.int64).max, cluster)))
        hit, cluster, fraction = hit[order], cluster[order], fraction[order]
        cells = _cells(event, self._beam, where)
        start = np.flatnonzero(np.diff(cluster, prepend=-2)) if len(cluster) else np.zeros(0, np.int64)
        row: dict[str, Any] = {"cells": cells, "number": -1 if event.number is None else event.number}
        row["clusters"] = np.diff(np.append(start, len(cluster)))
        row["cluster_label"] = cluster[start]
        row["cluster_cell_ID"] = cells["cell"][hit]
        row["cluster_cell_E"] = event.energy.astype(np.float64)[hit] * fraction * self._unit
        d = event.deposits
        by_hit = np.argsort(d.hit, kind="stable")
        counts = np.bincount(d.hit, minlength=event.n_hits)
        begin = (np.cumsum(counts) - counts)[hit]
        n = counts[hit]
        row["truths"] = n
        take = by_hit[np.repeat(begin - (np.cumsum(n) - n), n) + np.arange(n.sum())]
        row["cluster_cell_hitsTruthIndex"] = d.particle[take]
        row["cluster_cell_hitsTruthE"] = d.energy[take].astype(np.float64) * np.repeat(fraction, n) * self._unit
        row |= _particle_columns(event, self._beam)
        return row | track_columns(event, self._beam, self._layers, self._detector != "atlas", where)

    def close(self) -> None:
        if self._kept or self._tree is None:
            self._flush()
        columns = _geometry_columns(self._cells[0], self._beam)
        tree = self._file.mktree(GEOMETRY, {f"cell_geo_{name}": f"var * {c.dtype}" for name, c in columns.items()})
        tree.extend({f"cell_geo_{name}": ak.unflatten(c, [len(c)]) for name, c in columns.items()})
        note = {"detector": self._detector, "beam": self._beam, "gev_per_unit": self._unit}
        self._file[NOTE] = json.dumps(note)


def _cells(event: Event, beam: str, where: str) -> NDArray[Any]:
    """Number, layer and place of each hit's cell; the number is made from the others, so that no list is needed."""
    eta, _ = eta_phi(event.position, beam)
    lost = np.flatnonzero(~np.isfinite(eta))
    if len(lost):
        raise ValueError(
            f"{where}: hit {lost[0]} at {event.position[lost[0]]} lies on the beam axis {beam!r}, where eta is "
            "infinite; write with another beam="
        )
    whole(event.layer, "layer", low=INT32[0], high=INT32[1], where=f"{where}: ")
    out = np.zeros(event.n_hits, CELL)
    out["layer"] = event.layer
    number = np.zeros(event.n_hits, np.uint64)
    for name, column in zip("xyz", event.position.T + np.float32(0), strict=True):  # -0 is 0
        out[name] = column
    for name in ("layer", "x", "y", "z"):  # four rounds of a multiply-and-shift hash (splitmix64)
        number = (number ^ np.ascontiguousarray(out[name]).view(np.uint32)) + np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            number = (number ^ (number >> np.uint64(shift))) * np.uint64(factor)
        number ^= number >> np.uint64(31)
    out["cell"] = (number >> np.uint64(1)).astype(np.int64)
    return out


def _geometry_columns(cells: NDArray[Any], beam: str) -> dict[str, NDArray[Any]]:
    cell, times = np.unique(cells["cell"], return_counts=True)
    if (times > 1).any():
        raise ValueError(f"two cells at different places have the number {cell[times > 1][0]} by chance: move one")
    position = np.stack([cells[a] for a in "xyz"], axis=1).astype(np.float64)
    eta, phi = eta_phi(position, beam)
    return {
        "ID": cells["cell"],
        "sampling": cells["layer"],
        "eta": eta,
        "phi": phi,
        "rPerp": radius_of(position, beam) * 10,
        "sigma": np.zeros(len(cells)),
    }


def _particle_columns(event: Event, beam: str) -> dict[str, Array | IntArray]:
    p = event.particles
    eta, phi = eta_phi(p.direction, beam)
    energy = p.energy.astype(np.float64)
    with np.errstate(over="ignore"):
        pt = energy / np.cosh(eta)
    return {
        "truthPartPdgId": p.pdg_id,
        "truthPartE": energy,
        "truthPartPt": pt,
        "truthPartEta": eta,
        "truthPartPhi": phi,
    }


def _basket(rows: list[dict[str, Any]], layers: dict[str, int], own: bool) -> dict[str, Any]:
    def flat(name: str, kind: str) -> NDArray[Any]:
        values = [np.asarray(row[name]) for row in rows]
        joined = np.concatenate(values) if values else np.zeros(0)
        if kind == "i4":
            joined = whole(joined, name, "entry", low=INT32[0], high=INT32[1])
        return joined.astype(kind)

    def counts(name: str) -> IntArray:
        return np.array([len(row[name]) for row in rows], np.int64)

    def jagged(name: str, kind: str) -> Any:
        return ak.unflatten(flat(name, kind), counts(name))

    def cells(values: Any) -> Any:
        return ak.unflatten(ak.unflatten(values, flat("clusters", "i8")), counts("clusters"))

    out = {
        "eventNumber": np.array([row["number"] for row in rows], np.int64),
        "nTrack": counts("trackPt").astype(np.int32),
        "cluster_label": jagged("cluster_label", "i4"),
        "cluster_cell_ID": cells(flat("cluster_cell_ID", "i8")),
        "cluster_cell_E": cells(flat("cluster_cell_E", "f8")),
    }
    for name, kind in (("cluster_cell_hitsTruthIndex", "i4"), ("cluster_cell_hitsTruthE", "f8")):
        out[name] = cells(ak.unflatten(flat(name, kind), flat("truths", "i8")))
    names = {"truthPartPdgId": "i4", "trackTruthParticleIndex": "i4"}
    names |= dict.fromkeys(["truthPartE", "truthPartPt", "truthPartEta", "truthPartPhi"], "f8")
    names |= dict.fromkeys(["trackPt", "trackEta", "trackPhi"], "f8")
    names |= dict.fromkeys(layer_branches({name: own or name == "entry" for name in layers}), "f8")
    out |= {name: jagged(name, kind) for name, kind in names.items()}
    for name in ("trackChiSquared", "trackSubtractedCaloEnergy", "trackNumberDOF"):
        out[name] = ak.values_astype(out["trackPt"] * 0, np.int32 if name == "trackNumberDOF" else np.float64)
    return out
