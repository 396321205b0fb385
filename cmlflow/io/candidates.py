"""Columns of particle-flow candidates beside the events of a Parquet file (docs/reference/files.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cmlflow.event import Event
from cmlflow.event.arrays import whole

CANDIDATES = {"candidate_pdg_id": "i8", "candidate_track": "i4"} | {
    f"candidate_{name}_gev": "f8" for name in ("px", "py", "pz", "energy")
}
SHARES = {"share_hit": "i4", "share_candidate": "i4", "share_part": "f4"}


class StoredCandidates(NamedTuple):
    """Particle-flow candidates of one event as a file keeps them.

    ``cmlflow.association.Candidates(*stored)`` checks them; metrics and displays accept them directly.

    Attributes
    ----------
    share : ndarray of shape (C, n_hits), float32
        Part of each hit's energy that belongs to each candidate.
    pdg_id : ndarray of shape (C,), int64
    momentum : ndarray of shape (C, 4), float64 [GeV]
        px, py, pz, E.
    track : ndarray of shape (C,), int64
        -1 for neutral candidates.
    """

    share: NDArray[np.float32]
    pdg_id: NDArray[np.int64]
    momentum: NDArray[np.float64]
    track: NDArray[np.int64]


def share_labels(candidates: Any) -> NDArray[np.int64]:
    """Candidate with the largest share of each hit, the first of equals; -1 where no candidate has any."""
    share = np.asarray(candidates.share)
    if share.ndim != 2:
        raise ValueError(f"candidates have share of shape {share.shape}, expected (C, n_hits)")
    if not len(share):
        return np.full(share.shape[1], -1, np.int64)
    return np.where(share.max(axis=0) > 0, share.argmax(axis=0), -1).astype(np.int64)


def candidate_columns(candidates: Any, event: Event, i: int) -> dict[str, NDArray[Any]]:
    """Values of the candidates of event `i` in each column.

    Raises
    ------
    ValueError
        The arrays of the candidates do not fit each other or the event.
    """
    where = f"candidates of event {i}: "
    share, momentum = np.asarray(candidates.share), np.asarray(candidates.momentum)
    pdg_id = whole(candidates.pdg_id, "pdg_id", "candidate", where=where)
    track = whole(candidates.track, "track", "candidate", where=where)
    n = len(pdg_id)
    if share.shape != (n, event.n_hits) or momentum.shape != (n, 4) or track.shape != (n,):
        raise ValueError(
            f"candidates of event {i} have share {share.shape}, pdg_id {pdg_id.shape}, momentum {momentum.shape} and "
            f"track {track.shape}, expected (C, {event.n_hits}), (C,), (C, 4) and (C,)"
        )
    hit, owner = np.nonzero(share.T > 0)
    columns = dict(zip(CANDIDATES, [pdg_id, track, *momentum.T], strict=True))
    return columns | dict(zip(SHARES, [hit, owner, share[owner, hit]], strict=True))


def stored_candidates(columns: Mapping[str, Any], n_hits: int) -> StoredCandidates:
    """Candidates of one event from its columns.

    Raises
    ------
    ValueError
        Columns are missing, or a share names a hit or candidate that is not there.
    """
    if missing := [name for name in (*CANDIDATES, *SHARES) if columns[name] is None]:
        raise ValueError(f"{missing[0]} is missing")
    pdg_id, track, *p = (columns[name] for name in CANDIDATES)
    hit, owner, part = (columns[name] for name in SHARES)
    wrong = (hit < 0) | (hit >= n_hits) | (owner < 0) | (owner >= len(pdg_id))
    if wrong.any():
        k = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"share {k} is of hit {hit[k]} and candidate {owner[k]}, expected a hit in 0..{n_hits - 1} and a candidate "
            f"in 0..{len(pdg_id) - 1}"
        )
    share = np.zeros((len(pdg_id), n_hits), np.float32)
    share[owner, hit] = part
    momentum = np.stack(p, axis=1).astype(np.float64)
    return StoredCandidates(share, pdg_id.astype(np.int64), momentum, track.astype(np.int64))
