"""Clusterings as displays show them: labels, shares, or particle-flow candidates with their tracks."""

from __future__ import annotations

from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmlflow.event import Event, particle_shares, tracked_particles
from cmlflow.metrics.candidates import candidate_arrays, judged_candidates
from cmlflow.metrics.matching import checked_assignment, match
from cmlflow.metrics.reconstruction import judge
from cmlflow.plots.colours import candidate_colours, cluster_colours
from cmlflow.plots.encoding import encoded_ints

UNKNOWN, CHARGED, NEUTRAL = range(3)
"""Whether a particle or a cluster has a track; unknown without information on tracks."""
LEAST = 1
"""Smaller shares [%] are not shown."""

PARTICLES = {
    11: "e⁻",
    -11: "e⁺",
    13: "μ⁻",
    -13: "μ⁺",
    22: "γ",
    111: "π⁰",
    211: "π⁺",
    -211: "π⁻",
    130: "K⁰L",
    310: "K⁰S",
    321: "K⁺",
    -321: "K⁻",
    2112: "n",
    -2112: "n̄",
    2212: "p",
    -2212: "p̄",
}


def clustering_data(event: Event, given: Any, where: str) -> dict[str, Any]:
    """Colours, names and caption of the clusters of one event.

    Parameters
    ----------
    event : Event
    given : array_like of shape (n_hits,), int, or (C, n_hits), float, or candidates
        Labels, shares, or an object with ``share``, ``pdg_id``, ``momentum`` and ``track``.
    where : str
        Name of the event in messages.
    """
    if hasattr(given, "share"):
        return _candidate_data(event, given, where)
    y = checked_assignment(given, event, where)
    labels = y.astype(np.int64) if y.ndim == 1 else hard_labels(y)
    n = int(labels.max(initial=-1)) + 1 if y.ndim == 1 else len(y)
    known = bool((event.particle_id >= 0).any())
    colours = cluster_colours(y, event) if known else np.arange(n)
    noise = int((labels < 0).sum())
    names = [f"cluster {c}" for c in range(n)]
    caption = f"{len(np.unique(labels[labels >= 0]))} clusters, {noise} noise hits."
    if known:
        sums = judge(match(y, event)).sums()
        found, there = sums["efficiency"]
        pure, counted = sums["purity"]
        labelled = event.particle_id >= 0
        right = labelled & (labels >= 0)
        right[right] = colours[labels[right]] == event.particle_id[right]
        total = float(event.energy[labelled].sum())
        share = float(event.energy[right].sum()) / total if total else float("nan")
        caption = f"{counted} clusters, {pure} pure; {found} of {there} particles found; {noise} noise hits. "
        caption += "" if isnan(share) else f"{100 * share:.1f} % of the energy in hits of the right cluster."
        names = [name + _belongs(event, k) for name, k in zip(names, colours.tolist(), strict=True)]
    out = {"labels": encoded_ints(labels), "colours": colours.tolist(), "names": names, "caption": caption}
    return out if y.ndim == 1 else out | {"shares": sparse_shares(y)}


def _candidate_data(event: Event, given: Any, where: str) -> dict[str, Any]:
    share, pdg_id, momentum, track = candidate_arrays(given, event, where)
    share = np.asarray(checked_assignment(share, event, where))
    labels, charged = hard_labels(share), track >= 0
    known = bool((event.particle_id >= 0).any())
    colours = candidate_colours(given, event) if known else np.arange(len(share))
    names = []
    for c, k in enumerate(colours.tolist()):
        kind = PARTICLES.get(int(pdg_id[c]), f"PDG {pdg_id[c]}")
        of = f", track {track[c]}" if charged[c] else ""
        names.append(f"candidate {c}: {kind} {momentum[c, 3]:.3g} GeV{of}" + (_belongs(event, k) if known else ""))
    caption = f"{int(charged.sum())} charged and {int((~charged).sum())} neutral candidates"
    nobody = float(event.energy @ np.clip(1 - share.sum(axis=0), 0, 1))
    left = f"{100 * nobody / max(float(event.energy.sum()), 1e-12):.1f} % of the energy is unassigned."
    if known and event.tracks is not None:
        verdicts = judged_candidates(event, given, "paper", ("charged", "neutral"), where)
        parts = [f"{int(p[:, 1].sum())} of {len(p)} {kind}" for (p, _), kind in
                 zip(verdicts, ("charged", "neutral"), strict=True)]  # fmt: skip
        caption += f"; {' and '.join(parts)} particles found"
    tracks = np.full(0 if event.tracks is None else len(event.tracks), -1)
    tracks[track[charged]] = np.flatnonzero(charged)
    return {
        "labels": encoded_ints(labels),
        "colours": colours.tolist(),
        "names": names,
        "caption": f"{caption}. {left}",
        "shares": sparse_shares(share),
        "kinds": np.where(charged, CHARGED, NEUTRAL).tolist(),
        "tracks": tracks.tolist(),
    }


def hard_labels(share: NDArray[Any]) -> NDArray[np.int64]:
    """The cluster with the largest share of each hit, the first of equals; -1 where none has any."""
    if not len(share):
        return np.full(share.shape[1], -1, np.int64)
    return np.where(share.max(axis=0) > 0, share.argmax(axis=0), -1).astype(np.int64)


def sparse_shares(share: NDArray[Any]) -> dict[str, Any]:
    """Shares [%] of at least 1 of the hits that are not wholly one cluster's, largest first: hit, owner, percent."""
    percent = np.round(100 * share).astype(np.int64)
    mixed = (percent.max(axis=0, initial=0) > 0) & (percent.max(axis=0, initial=0) < 100)
    owner, hit = np.nonzero((percent >= LEAST) & mixed)
    order = np.lexsort((owner, -percent[owner, hit], hit))
    owner, hit = owner[order], hit[order]
    arrays = {"hit": hit, "owner": owner, "percent": percent[owner, hit]}
    return {"n": len(hit)} | {name: encoded_ints(value) for name, value in arrays.items()}


def true_shares(event: Event) -> dict[str, Any]:
    """`sparse_shares` of the true particles, from the deposits."""
    d = event.deposits
    known = d.particle >= 0
    hit = np.unique(d.hit[known & (event.fractions < 0.995)])
    return sparse_shares(particle_shares(event) if len(hit) else np.zeros((event.n_particles, event.n_hits)))


def particle_kinds(event: Event) -> list[int]:
    """Whether each particle has a track."""
    if event.tracks is None:
        return [UNKNOWN] * event.n_particles
    return [CHARGED if tracked else NEUTRAL for tracked in tracked_particles(event)]


def particle_name(event: Event, p: int) -> str:
    pdg, energy = int(event.particles.pdg_id[p]), float(event.particles.energy[p])
    kind = PARTICLES.get(pdg, f"PDG {pdg}" if pdg else "")
    size = "" if isnan(energy) else f"{energy:.3g} GeV"
    known = " ".join(s for s in (kind, size) if s)
    return f"particle {p}: {known}" if known else f"particle {p}"


def _belongs(event: Event, k: int) -> str:
    return f" → particle {k}" if k < event.n_particles else ""
