"""What a system says of every cell: the share of each track, and the neutral one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.association.candidates import ROUNDING, Candidates
from cmlflow.event import Event, FloatArray, IntArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CellShares:
    """Shares of the cells of one event. Metrics take it wherever they take candidates.

    Attributes
    ----------
    share : ndarray of shape (T + 1, n_hits), float32
        Part of each cell's energy that belongs to each track, in their order, and in the last row to neutral particles;
        in [0, 1]. Columns sum to at most 1: the remainder is unassigned, such as noise.
    track : ndarray of shape (T + 1,), int64
        0..T-1, and -1 for the neutral row.

    Raises
    ------
    ValueError
        Names the array, the row or hit, the value found and what would be right.

    Examples
    --------
    >>> s = CellShares([[0.75, 0.0], [0.25, 1.0]], [0, -1])
    >>> s.charged.tolist(), s.neutral.tolist()
    ([[0.75, 0.0]], [0.25, 1.0])
    """

    share: FloatArray
    track: IntArray

    def __post_init__(self) -> None:
        share, track = np.asarray(self.share, np.float32), np.asarray(self.track, np.int64)
        if share.ndim != 2 or not len(share):
            raise ValueError(f"share has shape {share.shape}, expected (T + 1, n_hits)")
        wanted = np.append(np.arange(len(share) - 1), -1)
        if track.shape != wanted.shape or (track != wanted).any():
            raise ValueError(f"track is {track.tolist()}, expected {wanted.tolist()}: the tracks, then the neutral row")
        bad = ~((share >= 0) & (share <= 1 + ROUNDING))
        if bad.any():
            row, hit = (int(i) for i in np.argwhere(bad)[0])
            raise ValueError(f"share of row {row} in hit {hit} is {share[row, hit]}, expected 0..1")
        total = share.sum(axis=0, dtype=np.float64)
        if (over := np.flatnonzero(total > 1 + ROUNDING)).size:
            raise ValueError(f"sum of the shares of hit {over[0]} is {total[over[0]]}, expected at most 1")
        object.__setattr__(self, "share", share)
        object.__setattr__(self, "track", track)

    def __len__(self) -> int:
        return len(self.track)

    @property
    def n_hits(self) -> int:
        """Number of hits of the event."""
        return int(self.share.shape[1])

    @property
    def charged(self) -> FloatArray:
        """Shares of the tracks, shape (T, n_hits)."""
        return self.share[:-1]

    @property
    def neutral(self) -> FloatArray:
        """Share of neutral particles, shape (n_hits,)."""
        out: FloatArray = self.share[-1]
        return out

    def __repr__(self) -> str:
        return f"<CellShares: {len(self) - 1} tracks, {self.n_hits} hits>"


def cell_shares(charged: ArrayLike, neutral: ArrayLike) -> CellShares:
    """Shares of tracks (T, n_hits) and the neutral share (n_hits,) of one event as `CellShares`.

    Sums that exceed 1 by rounding are scaled to 1.
    """
    c, n = np.asarray(charged, np.float64), np.asarray(neutral, np.float64)
    both = np.clip(np.concatenate([c, n[None]]), 0.0, 1.0)
    both /= np.maximum(both.sum(axis=0), 1.0)
    return CellShares(both.astype(np.float32), np.append(np.arange(len(both) - 1), -1))


def shares_of(event: Event, candidates: Candidates) -> CellShares:
    """`CellShares` of particle-flow candidates: those of its tracks, and all neutral ones together."""
    n_tracks = 0 if event.tracks is None else len(event.tracks)
    charged = np.zeros((n_tracks, event.n_hits))
    own = candidates.charged
    charged[candidates.track[own]] = candidates.share[own]
    return cell_shares(charged, candidates.share[~own].sum(axis=0))


def require_tracks(events: Sequence[Event]) -> None:
    """Raise a ValueError that names the first event whose tracks are not known (None)."""
    for event in events:
        if event.tracks is None:
            raise ValueError(f"{event.title}: has no tracks, expected tracks (an empty list of them is allowed)")
