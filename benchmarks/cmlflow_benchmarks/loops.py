"""Rivals without vectors: metrics and overlay hit by hit, as their formulas read, and files read event by event."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmlflow.detectors import detector as find_detector
from cmlflow.event import Event
from cmlflow.simulation.library import Shower
from cmlflow.simulation.overlay import reflect

Array = NDArray[np.float64]


def association_loops(labels: NDArray[np.int64], event: Event) -> dict[str, Array]:
    """R2S, S2R and shared energy of all pairs, by one loop over hits per pair (arXiv:2603.23356, eq. 9)."""
    sim: list[dict[int, float]] = [defaultdict(float) for _ in range(event.n_particles)]
    for hit, particle, fraction in zip(event.deposits.hit, event.deposits.particle, event.fractions, strict=True):
        sim[particle][int(hit)] += float(fraction)
    reco: list[dict[int, float]] = [{} for _ in range(int(labels.max(initial=-1)) + 1)]
    for hit, cluster in enumerate(labels):
        if cluster >= 0:
            reco[cluster][hit] = 1.0
    energy = [float(e) for e in event.energy]
    shape = (len(reco), len(sim))
    out = {"r2s": np.ones(shape), "s2r": np.ones(shape), "shared": np.zeros(shape)}
    for r, cluster_hits in enumerate(reco):
        for s, particle_hits in enumerate(sim):
            out["r2s"][r, s] = _score(cluster_hits, particle_hits, energy)
            out["s2r"][r, s] = _score(particle_hits, cluster_hits, energy)
            for hit, fraction in cluster_hits.items():
                out["shared"][r, s] += min(fraction, particle_hits.get(hit, 0.0)) * energy[hit]
    return out


def _score(one: dict[int, float], other: dict[int, float], energy: list[float]) -> float:
    top = bottom = 0.0
    for hit, fraction in one.items():
        squared = energy[hit] ** 2
        top += min((fraction - other.get(hit, 0.0)) ** 2, fraction**2) * squared
        bottom += fraction**2 * squared
    return top / bottom if bottom > 0 else 1.0


def neighbour_loops(z: Array, particle: NDArray[np.int64]) -> dict[str, float]:
    """Recall@1, Recall@10 and Contamination@10 over all hits, each hit against all others in plain Python."""
    unit = [[a / sum(b * b for b in row) ** 0.5 for a in row] for row in z.tolist()]
    first, any_of_ten = 0, 0
    foreign: dict[int, list[float]] = defaultdict(list)
    for i, own in enumerate(unit):
        similarity = []
        for j, other in enumerate(unit):
            if i != j:
                similarity.append((sum(a * b for a, b in zip(own, other, strict=True)), j))
        nearest = [j for _, j in sorted(similarity, reverse=True)[:10]]
        same = [bool(particle[j] == particle[i]) for j in nearest]
        first += same[0]
        any_of_ten += any(same)
        foreign[int(particle[i])].append(1 - sum(same) / len(same))
    contamination = sum(sum(shares) / len(shares) for shares in foreign.values()) / len(foreign)
    n = len(unit)
    return {"recall_at_1": first / n, "recall_at_10": any_of_ten / n, "contamination_at_10": contamination}


def overlay_loops(
    showers: Sequence[Shower], symmetry: Sequence[int], threshold: float = 0.5, detector: str = "hgcal"
) -> dict[tuple[int, int, int], tuple[float, int]]:
    """Energy [MIP] and dominant particle of every cell (layer, ix, iy), cell by cell into a dictionary."""
    mip = find_detector(detector).mip_mev
    cells: dict[tuple[int, int, int], dict[int, float]] = defaultdict(dict)
    for p, (shower, kind) in enumerate(zip(showers, symmetry, strict=True)):
        ix, iy = reflect(shower.ix.astype(np.int64), shower.iy.astype(np.int64), int(kind))
        for layer, x, y, energy in zip(shower.layer, ix, iy, shower.edep, strict=True):
            cells[int(layer), int(x), int(y)][p] = float(energy) / mip
    out = {}
    for cell, shares in cells.items():
        total = sum(shares.values())
        if total >= threshold:
            out[cell] = (total, max(shares, key=lambda p, s=shares: s[p]))  # type: ignore[misc]
    return out


def read_root_plain(path: Path) -> list[tuple[Any, Any]]:
    """Features and particles of every event of a tree HGCALTBout, with uproot alone and nothing checked."""
    import uproot

    names = ["hit_x", "hit_y", "hit_z", "hit_Edep", "hit_layer", "hit_showerid"]
    out = []
    with uproot.open(path) as file:
        arrays = file["HGCALTBout"].arrays(names)
        for row in arrays:
            columns = [np.asarray(row[name]) for name in names]
            out.append((np.stack(columns[:5], axis=1).astype(np.float32), columns[5].astype(np.int64)))
    return out


def read_parquet_plain(path: Path) -> list[tuple[Any, Any]]:
    """Features and particles of every event of a Parquet file, with awkward alone and nothing checked."""
    import awkward as ak

    names = ["hit_x_cm", "hit_y_cm", "hit_z_cm", "hit_energy", "hit_layer", "hit_particle"]
    out = []
    for row in ak.from_parquet(path, columns=names):
        columns = [np.asarray(row[name]) for name in names]
        out.append((np.stack(columns[:5], axis=1).astype(np.float32), columns[5].astype(np.int64)))
    return out
