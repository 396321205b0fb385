"""Branches of ROOT files for readers in C++: clusters, candidates, and what the source had besides."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.detectors import DETECTORS
from cmlflow.event import Event, IntArray
from cmlflow.io.files import PathLike

CLUSTER_COLUMNS = {f"cluster_{name}": "f8" for name in ("energy", "x", "y", "z")} | {"cluster_nhits": "i4"}
CANDIDATE_COLUMNS = (
    {"candidate_pdg_id": "i4"}
    | {f"candidate_{name}": "f8" for name in ("px", "py", "pz", "e")}
    | {"candidate_track": "i4"}
)


def cluster_columns(event: Event, labels: IntArray, energies: ArrayLike | None = None) -> dict[str, NDArray[Any]]:
    """One number for each cluster: energy, energy-weighted mean position [cm], number of hits.

    Parameters
    ----------
    event : Event
    labels : ndarray of shape (n_hits,), int64
        0..C-1, -1 noise.
    energies : array_like of shape (C,), optional
        By default sums of hit energies times the layer weights of the detector [GeV]; plain sums for detectors that
        are not known.
    """
    n = int(labels.max(initial=-1)) + 1
    known = labels >= 0
    own, energy = labels[known], event.energy[known].astype(np.float64)
    detector, layer = DETECTORS.get(event.detector or ""), event.layer[known]
    weight = np.ones(len(energy))
    if detector is not None and len(layer) and layer.min() >= 1 and layer.max() <= detector.n_layers:
        weight = detector.layer_weights[layer - 1]
    total = np.bincount(own, energy * weight, n).astype(np.float64)
    scale = np.bincount(own, energy, n)
    scale[scale == 0] = 1
    centre = [np.bincount(own, energy * column[known], n) / scale for column in event.position.T]
    if energies is not None:
        given = np.asarray(energies, np.float64)
        total = np.zeros(n)
        total[: len(given)] = given[:n]
    columns = dict(zip(("cluster_x", "cluster_y", "cluster_z"), centre, strict=False))
    return {"cluster_energy": total, **columns, "cluster_nhits": np.bincount(own, minlength=n)}


def candidate_columns(candidates: Any) -> dict[str, NDArray[Any]]:
    """One number for each candidate: kind, four-momentum [GeV], track (-1 neutral)."""
    momentum = np.asarray(candidates.momentum, np.float64).reshape(-1, 4)
    parts = {f"candidate_{name}": column for name, column in zip(("px", "py", "pz", "e"), momentum.T, strict=True)}
    return (
        {"candidate_pdg_id": np.asarray(candidates.pdg_id)} | parts | {"candidate_track": np.asarray(candidates.track)}
    )


class KeptBranches:
    """The branches of a ROOT tree that the events do not hold, to be copied entry by entry.

    Of a TTree or an RNTuple. Branches ``hit_*`` are left out: hits may have been merged, and what is kept of them are
    features. Branches of types that can't be written are named in a warning.

    Parameters
    ----------
    path : path-like
        The file that the events were read from, in its order.
    tree : str
        Its tree.
    """

    def __init__(self, path: PathLike, tree: str) -> None:
        from cmlflow.io.root import open_root

        self.path = Path(path)
        self._tree: Any = open_root(self.path)[tree]
        branches = getattr(self._tree, "branches", [])  # an RNTuple has none
        names = [b.name for b in branches] or list(self._tree.keys(recursive=False))
        ours = ("hit", "cmlflow", "cluster", "candidate", "Primary", "eventNumber", "nhit", "ncluster", "ncandidate")
        others = [n for n in names if not n.startswith(ours)]
        counters = {b.count_branch.name for b in branches if getattr(b, "count_branch", None) is not None}
        self.names = [n for n in others if n not in counters and self._writable(n)]
        if lost := [n for n in others if n not in self.names and n not in counters]:
            warnings.warn(f"{self.path}: branches {', '.join(lost)} can't be copied and are left out", stacklevel=2)

    def _writable(self, name: str) -> bool:
        import awkward as ak

        try:
            kind = self._tree[name].array(entry_stop=0).type.content
        except Exception:  # whatever uproot says of a branch that it can't interpret
            return False
        inner = kind.content if isinstance(kind, ak.types.ListType) else kind
        return isinstance(inner, ak.types.NumpyType)

    def arrays(self, start: int, stop: int) -> dict[str, Any]:
        """The branches over the entries start..stop-1."""
        return {n: self._tree[n].array(entry_start=start, entry_stop=stop) for n in self.names}


def kept_branches(path: PathLike) -> KeptBranches | None:
    """The further branches of a ROOT file of events; None where it has no tree of the kinds that are known."""
    from cmlflow.io.root import open_root

    with open_root(Path(path)) as file:
        tree = next((name for name in ("HGCALTBout", "EventTree", "events") if name in file), None)
        if tree is None:
            return None
    return KeptBranches(path, tree)
