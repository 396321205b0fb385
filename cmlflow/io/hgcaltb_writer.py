"""Writing events as merged cells of a tree HGCALTBout."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import awkward as ak
import numpy as np
import uproot
from numpy.typing import ArrayLike, NDArray

from cmlflow.event import Event, IntArray
from cmlflow.event.arrays import INT32, whole
from cmlflow.io.files import PathLike, atomically, paired
from cmlflow.io.hgcaltb import DETECTOR, TREE
from cmlflow.io.units import MIP_MEV, mev_per_unit

EVENTS_PER_BASKET = 256
TITLE = "events of cmlflow, merged cells"


def write_hgcaltb(events: Iterable[Event], path: PathLike, labels: Iterable[ArrayLike] | None = None) -> None:
    """Write events as merged cells of a tree HGCALTBout; nothing is left behind where it fails.

    The format knows one particle per cell and no directions: deposits beyond the dominant particle, tracks and
    directions are lost. Features are branches ``hit_<name>``, or ``hit_<name>__0`` and so on where they have several
    columns; all events have the same. Energies are converted to MeV, those of hits from MIP, or from GeV for the
    detectors ``slab-*``, ``atlas`` and ``edm4hep``; reading gives back the same float32 values. The name of the
    detector is kept beside the tree where all events have the same.

    Parameters
    ----------
    events : iterable of Event
        Taken one by one; no more than one basket of them is held in memory.
    path : path-like
        Takes its place when all is written.
    labels : iterable of array_like of shape (n_hits,), int, optional
        Cluster labels of each event, kept in a branch `hit_cluster`.

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
        tree: Any = None
        features: dict[str, str] = {}
        detectors: dict[str, float] = {}
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
            rows.append(_merged_row(event, row, unit) | own)
            if len(rows) >= EVENTS_PER_BASKET:
                tree = tree or file.mktree(TREE, _basket(rows[:0], kinds | features), title=TITLE)
                tree.extend(_basket(rows, kinds | features))
                rows = []
        tree = tree or file.mktree(TREE, _basket(rows[:0], kinds | features), title=TITLE)
        if rows:
            tree.extend(_basket(rows, kinds | features))
        if len(detectors) == 1:
            file[DETECTOR] = next(iter(detectors))


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
    def jagged(name: str, kind: str) -> Any:
        flat = np.concatenate([row[name] for row in rows]) if rows else np.zeros(0, kind)
        if kind == "i4":
            flat = whole(flat, name, "entry", low=INT32[0], high=INT32[1])
        return ak.unflatten(flat.astype(kind), np.array([len(row[name]) for row in rows], np.int64))

    return {
        "hit": ak.zip({name: jagged(name, kind) for name, kind in kinds.items()}),
        "PrimaryEnergies": jagged("PrimaryEnergies", "f8"),
        "PrimaryPDGIDs": jagged("PrimaryPDGIDs", "i4"),
        "eventNumber": np.array([row["eventNumber"] for row in rows], np.int64),
    }
