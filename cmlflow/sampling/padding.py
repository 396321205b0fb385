"""Focus samples as arrays of one length, for networks and exports that need it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cmlflow.event import FloatArray, IntArray
from cmlflow.sampling.focus import CELL, FocusSample

PADDING = -1
MAX_POINTS = 800
MIN_CELLS = 1
MIN_CELLS_ATLAS = 25  # the choice of JetPointNet; of slab samples it would drop half at low energies


@dataclass(frozen=True, eq=False)
class PaddedSamples:
    """S focus samples of M points each.

    Attributes
    ----------
    x : ndarray of shape (S, M, 6), float32
        x, y, z [cm], distance to the focus track [cm], energy or momentum, kind; 0 in padding, with the kind -1.
    share : ndarray of shape (S, M), float32
        Share of the focus track in each cell; -1 for tracks, padding and unknown truth.
    deposit : ndarray of shape (S, M), float32
        Energy of the focus track's particle in each cell; -1 likewise.
    mask : ndarray of shape (S, M), bool
        True for points, False for padding.
    event, track : ndarray of shape (S,), int64
        Where each sample is from.
    """

    x: FloatArray
    share: FloatArray
    deposit: FloatArray
    mask: NDArray[np.bool_]
    event: IntArray
    track: IntArray

    def __len__(self) -> int:
        return len(self.x)


def padded(
    samples: Iterable[FocusSample], max_points: int | None = MAX_POINTS, min_cells: int = MIN_CELLS
) -> PaddedSamples:
    """Samples as arrays of one length, cut or padded to `max_points`.

    Parameters
    ----------
    samples : iterable of FocusSample
    max_points : int or None
        Length of the arrays; that of the longest sample for None. Longer samples lose the points farthest in ΔR; those
        of the focus track stay.
    min_cells : int, default=1
        Samples with fewer cells are left out; `MIN_CELLS_ATLAS` is 25.

    Returns
    -------
    PaddedSamples

    Raises
    ------
    ValueError
        `max_points` is not positive.

    References
    ----------
    M. Jovanovic, "PointNet for Particle Flow Energy Reconstruction: Documentation" (2024), input data shape.

    Examples
    --------
    >>> arrays = padded(FocusFile("focus.parquet"), max_points=800)  # doctest: +SKIP
    """
    if max_points is not None and max_points < 1:
        raise ValueError(f"max_points is {max_points}, expected at least one point")
    kept = [s for s in samples if s.n_cells >= min_cells]
    length = max(map(len, kept), default=0) if max_points is None else max_points
    used = np.array([min(len(s), length) for s in kept], np.int64)
    mask = np.arange(length) < used[:, None]
    x = np.zeros((len(kept), length, 6), np.float32)
    x[..., 5] = PADDING
    share, deposit = (np.full((len(kept), length), -1, np.float32) for _ in range(2))
    for i, s in enumerate(kept):
        n = int(used[i])
        columns = (s.position, s.distance[:, None], s.energy[:, None], s.kind[:, None].astype(np.float32))
        x[i, :n] = np.concatenate([c[:n] for c in columns], axis=1)
        known = (s.kind[:n] == CELL) & np.isfinite(s.share[:n])
        share[i, :n][known] = s.share[:n][known]
        deposit[i, :n][known] = s.deposit[:n][known]
    event, track = (np.array([getattr(s, name) for s in kept], np.int64) for name in ("event", "track"))
    return PaddedSamples(x, share, deposit, mask, event, track)
