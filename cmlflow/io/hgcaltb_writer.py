"""Writing events as merged cells of a tree HGCALTBout."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import awkward as ak
import numpy as np
import uproot
from numpy.typing import ArrayLike, NDArray

from cmlflow.event import Event, IntArray
from cmlflow.event.arrays import INT32, whole
from cmlflow.io.branches import CANDIDATE_COLUMNS, CLUSTER_COLUMNS, KeptBranches, candidate_columns, cluster_columns
from cmlflow.io.checksums import event_checksum
from cmlflow.io.files import PathLike, atomically, paired
from cmlflow.io.hgcaltb import CHECKED, CHECKSUM, DETECTOR, PRIMARIES, TREE
from cmlflow.io.provenance import PROVENANCE
from cmlflow.io.units import MIP_MEV, mev_per_unit

EVENTS_PER_BASKET = 256
TITLE = "events of cmlflow, merged cells"


def write_hgcaltb(
    events: Iterable[Event],
    path: PathLike,
    labels: Iterable[ArrayLike] | None = None,
    *,
    energies: Iterable[ArrayLike] | None = None,
    four_momenta: Iterable[Any] | None = None,
    kept: KeptBranches | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write events as merged cells of a tree HGCALTBout; nothing is left behind where it fails.

    The format knows one particle per cell and no directions: deposits beyond the dominant particle, tracks and
    directions are lost. Features are branches ``hit_<name>``, or ``hit_<name>__0`` and so on where they have several
    columns; all events have the same. Energies are converted to MeV, those of hits from MIP, or from GeV for the
    detectors ``slab-*``, ``atlas`` and ``edm4hep``; reading gives back the same float32 values. The name of the
    detector is kept beside the tree where all events have the same.

    Parameters
    ----------
    events : iterable of Event
        Consumed one by one; at most one basket of them is held in memory.
    path : path-like
        Appears only when it is complete.
    labels : iterable of array_like of shape (n_hits,), int, optional
        Cluster labels of each event, kept in a branch `hit_cluster`; with them go `cluster_energy` [GeV where the
        detector has layer weights], `cluster_x`, `cluster_y`, `cluster_z` [cm], the energy-weighted mean position, and
        `cluster_nhits`.
    energies : iterable of array_like of shape (C,), float, optional
        Of the clusters, in place of the sums over their hits.
    four_momenta : iterable, optional
        Candidates of each event, objects with ``pdg_id``, ``momentum`` and ``track``: branches `candidate_pdg_id`,
        `candidate_px`, `_py`, `_pz`, `_e` [GeV] and `candidate_track`.
    kept : KeptBranches, optional
        Further branches of the file that the events come from, entry by entry.
    provenance : mapping, optional
        What the file was made from, kept beside the tree; see `cmlflow.io.provenance`.

    Raises
    ------
    OSError
        Names the file; for example on a full disk.
    ValueError, TypeError
        Labels do not fit the events, there are several detectors and not all in MIP, or something is not an
        `Event`.
    """
    kinds: dict[str, str] = {f"{a}": "f8" for a in ("x", "y", "z", "Edep")} | {
        "layer": "i4",
        "showerid": "i4",
        "purity": "f8",
    }
    if labels is not None:
        kinds["cluster"] = "i4"
    with atomically(path) as temporary, open(temporary, "wb+") as sink, uproot.recreate(sink) as file:
        rows: list[dict[str, NDArray[Any]]] = []
        checked: dict[str, NDArray[Any]] = {}
        tree: Any = None
        features: dict[str, str] = {}
        detectors: dict[str, float] = {}

        def basket(some: list[dict[str, NDArray[Any]]], first: int) -> dict[str, Any]:
            out = _basket(some, kinds | features)
            if labels is not None:
                out["cluster"] = _zipped(some, CLUSTER_COLUMNS)
            if four_momenta is not None:
                out["candidate"] = _zipped(some, CANDIDATE_COLUMNS)
            return out if kept is None else out | kept.arrays(first, first + len(some))

        momenta = None if four_momenta is None else iter(four_momenta)
        sums = None if energies is None else iter(energies)
        written = 0
        for _, event, row in paired(events, labels):
            unit = mev_per_unit(event.detector, unnamed=MIP_MEV)
            detectors[event.detector or ""] = unit
            if len(detectors) > 1 and set(detectors.values()) != {MIP_MEV}:
                names = ", ".join(repr(name) for name in detectors)
                raise ValueError(f"events of several detectors ({names}), not all in MIP: write a file for each")
            own = _feature_branches(event)
            features = dict.fromkeys(own, "f4") if tree is None and not rows else features
            if own.keys() != features.keys():
                raise ValueError(
                    f"{event.title} has the features {', '.join(own) or '(none)'}, but the events before "
                    f"{', '.join(features) or '(none)'}: events of one file have the same"
                )
            merged = _merged_row(event, row, unit) | own
            checked = _stored(merged, kinds | features)
            merged[CHECKSUM] = np.array(event_checksum(checked))
            if row is not None:
                merged |= cluster_columns(event, row, None if sums is None else next(sums))
            if momenta is not None:
                merged |= candidate_columns(next(momenta))
            rows.append(merged)
            if len(rows) >= EVENTS_PER_BASKET:
                tree = tree or file.mktree(TREE, basket(rows[:0], written), title=TITLE)
                tree.extend(basket(rows, written))
                written, rows = written + len(rows), []
        tree = tree or file.mktree(TREE, basket(rows[:0], written), title=TITLE)
        if rows:
            tree.extend(basket(rows, written))
        if provenance is not None:
            file[PROVENANCE] = json.dumps(dict(provenance))
        if len(detectors) == 1:
            file[DETECTOR] = next(iter(detectors))
        only = next(iter(detectors)) if len(detectors) == 1 else ""
        file[CHECKED] = f"{','.join(checked or _stored({}, kinds | features))};{only}"


def _zipped(rows: list[dict[str, NDArray[Any]]], columns: Mapping[str, str]) -> Any:
    """Jagged columns with a common prefix, as uproot writes them: one count, one branch each."""
    prefix = next(iter(columns)).partition("_")[0] + "_"
    parts = {name.removeprefix(prefix): _jagged(rows, name, kind) for name, kind in columns.items()}
    return ak.zip(parts)


def _jagged(rows: list[dict[str, NDArray[Any]]], name: str, kind: str) -> Any:
    flat = np.concatenate([row[name] for row in rows]) if rows else np.zeros(0, kind)
    if kind == "i4":
        flat = whole(flat, name, "entry", low=INT32[0], high=INT32[1])
    return ak.unflatten(flat.astype(kind), np.array([len(row[name]) for row in rows], np.int64))


def _stored(row: Mapping[str, Any], kinds: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """Branches of an event as they are stored, but for its labels, by their names in the file."""
    names = {name: f"hit_{name}" for name in kinds if name != "cluster"}
    names |= {name: name for name in PRIMARIES} | {"eventNumber": "eventNumber"}
    kinds = {**kinds, "PrimaryEnergies": "f8", "PrimaryPDGIDs": "i4", "eventNumber": "i8"}
    return {own: np.asarray(row.get(name, ()), kinds[name]) for name, own in names.items()}


def _merged_row(event: Event, labels: IntArray | None, mev: float) -> dict[str, NDArray[Any]]:
    x, y, z = event.position.T
    hits = {"x": x, "y": y, "z": z, "Edep": event.energy.astype(np.float64) * mev, "layer": event.layer}
    hits |= {"showerid": event.particle_id, "purity": event.purity}
    if labels is not None:
        hits["cluster"] = labels
    energy = event.particles.energy.astype(np.float64) * 1000
    number = np.array(-1 if event.number is None else event.number)
    return hits | {"PrimaryEnergies": energy, "PrimaryPDGIDs": event.particles.pdg_id, "eventNumber": number}


def _feature_branches(event: Event) -> dict[str, NDArray[Any]]:
    out: dict[str, NDArray[Any]] = {}
    for name, values in event.features.items():
        columns = {name: values} if values.ndim == 1 else {f"{name}__{i}": column for i, column in enumerate(values.T)}
        out |= columns
    return out


def _basket(rows: list[dict[str, NDArray[Any]]], kinds: dict[str, str]) -> dict[str, Any]:
    return {
        "hit": ak.zip({name: _jagged(rows, name, kind) for name, kind in kinds.items()}),
        "PrimaryEnergies": _jagged(rows, "PrimaryEnergies", "f8"),
        "PrimaryPDGIDs": _jagged(rows, "PrimaryPDGIDs", "i4"),
        "eventNumber": np.array([row["eventNumber"] for row in rows], np.int64),
        CHECKSUM: np.array([row[CHECKSUM] for row in rows], np.int64),
    }
