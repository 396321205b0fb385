"""Particle-flow candidates of one event: their part of every hit, what they are, their four-momentum, their track."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.event import FloatArray, IntArray
from cmlflow.particles import NEUTRON, PHOTON, PION

Array = NDArray[np.float64]

NOBODY = -1
"""Particle Data Group codes that candidates get: charged, photon-like, neutral hadron."""
ROUNDING = 1e-4


@dataclass(frozen=True, eq=False)
class Candidates:
    """The particle-flow candidates of one event.

    Arrays are checked and converted at construction.

    Attributes
    ----------
    share : ndarray of shape (C, n_hits), float32
        Part of each hit's energy that belongs to each candidate, in [0, 1]. Columns sum to at most 1; the rest is
        unassigned: noise. The row of a track without cells is empty (all 0).
    pdg_id : ndarray of shape (C,), int64
        211 or -211 charged, 22 photon-like, 2112 neutral hadron.
    momentum : ndarray of shape (C, 4), float64 [GeV]
        px, py, pz, E.
    track : ndarray of shape (C,), int64
        Number of the candidate's track in the event; -1 for neutral candidates. Each track appears once.

    Raises
    ------
    ValueError
        Names the array, the candidate or hit, the value found and what would be right.

    Examples
    --------
    >>> c = Candidates(
    ...     share=[[1.0, 0.2], [0.0, 0.7]], pdg_id=[211, 22], momentum=[[0, 0, 5, 5], [0, 0, 2, 2]], track=[0, -1]
    ... )
    >>> c.labels.tolist(), c.neutral.tolist(), c.total.tolist()
    ([0, 1], [False, True], [0.0, 0.0, 7.0, 7.0])
    """

    share: FloatArray
    pdg_id: IntArray
    momentum: Array
    track: IntArray

    def __post_init__(self) -> None:
        pdg_id = _whole(self.pdg_id, "pdg_id")
        n = len(pdg_id)
        track = _whole(self.track, "track")
        if len(track) != n:
            raise ValueError(f"track has {len(track)} entries, expected {n}: one for each pdg_id")
        share = np.asarray(self.share, np.float32)
        if n == 0 and share.size == 0 and share.ndim < 2:
            share = share.reshape(0, 0)
        if share.ndim != 2 or len(share) != n:
            raise ValueError(f"share has shape {share.shape}, expected ({n}, n_hits): one row for each pdg_id")
        momentum = np.asarray(self.momentum, np.float64)
        momentum = momentum.reshape(0, 4) if n == 0 and momentum.size == 0 else momentum
        if momentum.shape != (n, 4):
            raise ValueError(f"momentum has shape {momentum.shape}, expected ({n}, 4): px, py, pz, E [GeV]")
        _first(~((share >= 0) & (share <= 1 + ROUNDING)), share, "share of candidate {} in hit {}", "0..1")
        total = share.sum(axis=0, dtype=np.float64)
        _first(total > 1 + ROUNDING, total, "sum of the shares of hit {}", "at most 1")
        _first(~np.isfinite(momentum), momentum, "momentum of candidate {}, component {},", "a finite number")
        kinds = np.isin(np.abs(pdg_id), (PION, PHOTON, NEUTRON))
        _first(~kinds, pdg_id, "pdg_id of candidate {}", "211 or -211 charged, 22 photon-like, 2112 neutral hadron")
        _first(track < NOBODY, track, "track of candidate {}", "-1 (neutral) or above")
        charged = np.abs(pdg_id) == PION
        _first(
            charged != (track >= 0),
            track,
            "track of candidate {}",
            "a track for charged candidates and -1 for the others",
        )
        held = np.sort(track[charged])
        twice = np.flatnonzero(held[1:] == held[:-1])
        if len(twice):
            raise ValueError(f"track {held[twice[0]]} belongs to several candidates, expected each track once")
        for name, value in (("share", share), ("pdg_id", pdg_id), ("momentum", momentum), ("track", track)):
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.pdg_id)

    @property
    def n_hits(self) -> int:
        """Number of hits of the event."""
        return int(self.share.shape[1])

    def to_vector(self) -> Any:
        """The four-momenta as an array of `vector <https://vector.readthedocs.io>`_: px, py, pz, E [GeV].

        Raises
        ------
        ModuleNotFoundError
            Without the package vector.
        """
        try:
            import vector
        except ModuleNotFoundError as err:
            raise ModuleNotFoundError("vector (pip install 'cmlflow[vector]')", name="vector") from err
        return vector.array(dict(zip(("px", "py", "pz", "E"), self.momentum.T, strict=True)))

    @property
    def charged(self) -> NDArray[np.bool_]:
        """Which candidates have a track, shape (C,)."""
        out: NDArray[np.bool_] = self.track >= 0
        return out

    @property
    def neutral(self) -> NDArray[np.bool_]:
        """Which candidates have no track, shape (C,)."""
        return ~self.charged

    @cached_property
    def labels(self) -> IntArray:
        """Candidate with the largest share of each hit, shape (n_hits,), int64; -1 where no candidate has any.

        The first of candidates with equal shares.
        """
        return largest(self.share)

    @property
    def total(self) -> Array:
        """Sum of the four-momenta, shape (4,) [GeV]."""
        out: Array = self.momentum.sum(axis=0)
        return out

    def energy_in(self, energy: ArrayLike) -> Array:
        """Energy of each candidate in the hits, shape (C,), in the unit of `energy`.

        Parameters
        ----------
        energy : array_like of shape (n_hits,), float
            Hit energies.
        """
        e = np.asarray(energy, np.float64)
        if e.shape != (self.n_hits,):
            raise ValueError(f"energy has shape {e.shape}, expected ({self.n_hits},): one for each hit")
        out: Array = self.share.astype(np.float64) @ e
        return out

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The four arrays by name, as `from_arrays` takes them."""
        return {"share": self.share, "pdg_id": self.pdg_id, "momentum": self.momentum, "track": self.track}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> Candidates:
        """Candidates from arrays by name; a ValueError lists those that are missing."""
        names = ("share", "pdg_id", "momentum", "track")
        missing = [name for name in names if name not in arrays]
        if missing:
            raise ValueError(f"candidates without {', '.join(missing)}; there are {', '.join(arrays) or 'no arrays'}")
        return cls(*(arrays[name] for name in names))

    def __repr__(self) -> str:
        return f"<Candidates: {int(self.charged.sum())} charged, {int(self.neutral.sum())} neutral, {self.n_hits} hits>"


def largest(share: NDArray[Any]) -> IntArray:
    """Row with the largest entry in each column of `share` (C, n_hits), -1 where none is above 0; int64."""
    if not len(share):
        return np.full(share.shape[1], NOBODY, np.int64)
    best = share.argmax(axis=0)
    return np.where(share[best, np.arange(share.shape[1])] > 0, best, NOBODY).astype(np.int64)


def _whole(value: Any, name: str) -> IntArray:
    array = np.asarray(value)
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}, expected (C,): one for each candidate")
    if array.size and (array.dtype.kind not in "iuf" or (array != np.floor(array)).any()):
        raise ValueError(f"{name} has entries that are not integers")
    return array.astype(np.int64)


def _first(bad: NDArray[np.bool_], value: NDArray[Any], what: str, wanted: str) -> None:
    if bad.any():
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"{what.format(*at)} is {value[at]}, expected {wanted}")
