"""Events from single showers, laid over each other and merged cell by cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.detectors import Detector
from cmlflow.detectors import detector as find_detector
from cmlflow.event import Deposits, Event, Particles
from cmlflow.simulation.library import Shower

N_SYMMETRIES = 8

_SPAN = 1 << 16


def reflect(x: NDArray[Any], y: NDArray[Any], symmetry: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Apply one of the 8 symmetries of the square grid to two coordinates.

    Parameters
    ----------
    x, y : ndarray of one shape
    symmetry : int
        Bit 0: x -> -x; bit 1: y -> -y; bit 2: x <-> y, after the reflections. 0 changes nothing.
    """
    if not 0 <= symmetry < N_SYMMETRIES:
        raise ValueError(f"symmetry is {symmetry}, expected 0..{N_SYMMETRIES - 1}")
    if symmetry & 1:
        x = np.negative(x)
    if symmetry & 2:
        y = np.negative(y)
    return (y, x) if symmetry & 4 else (x, y)


def overlay(
    showers: Sequence[Shower],
    symmetry: ArrayLike | None = None,
    *,
    threshold: float = 0.5,
    detector: str | Detector = "hgcal",
    number: int | None = None,
) -> Event:
    """One event out of single showers: exact, as the showers of one event develop independently of each other.

    The energies of a cell add up; hits below the threshold are dropped after that. Particle p of the event is
    ``showers[p]``; it stays in `Event.particles` even if no hit of it is left.

    Parameters
    ----------
    showers : sequence of Shower
        One per particle.
    symmetry : array_like of shape (n_particles,), int, optional
        Symmetry of the grid that each shower, with its direction, is put through: see `reflect`.
    threshold : float, default 0.5 [MIP]
        Hits with less energy are dropped.
    detector : str or Detector, default "hgcal"
    number : int, optional
        Event number.

    Returns
    -------
    Event
        Hits sorted by layer, then x, then y; energies in MIP. Deposits hold every particle's share of every hit,
        sorted by hit, then particle. A hit's ``particle_id`` is the particle with the largest share, the lower number
        of two equal ones, and ``purity`` is that share.

    Raises
    ------
    ValueError
        A symmetry is not in 0..7, or there is not one per shower.

    References
    ----------
    Contrastive Metric Learning for Point Cloud Segmentation in Highly Granular Detectors, arXiv:2603.23356, III.1.

    Examples
    --------
    >>> from cmlflow.simulation import ShowerLibrary, overlay
    >>> library = ShowerLibrary.packaged("hgcal-em")
    >>> overlay([library[0], library[1]], symmetry=[0, 3]).n_particles
    2
    """
    geometry = find_detector(detector) if isinstance(detector, str) else detector
    kinds = np.zeros(len(showers), np.int64) if symmetry is None else np.asarray(symmetry, np.int64)
    if kinds.shape != (len(showers),):
        raise ValueError(f"symmetry has shape {kinds.shape}, expected one per shower, ({len(showers)},)")
    direction = np.zeros((len(showers), 3), np.float32)
    keys = [np.zeros(0, np.int64)]
    for p, (shower, kind) in enumerate(zip(showers, kinds, strict=True)):
        ix, iy = reflect(shower.ix.astype(np.int64), shower.iy.astype(np.int64), int(kind))
        direction[p, 0], direction[p, 1] = reflect(shower.direction[0], shower.direction[1], int(kind))
        direction[p, 2] = shower.direction[2]
        keys.append((shower.layer * np.int64(_SPAN) + (ix + _SPAN // 2)) * _SPAN + (iy + _SPAN // 2))
    particle = np.repeat(np.arange(len(showers)), [len(s.edep) for s in showers])
    mip = np.concatenate([np.zeros(0, np.float32)] + [s.edep for s in showers]).astype(np.float64)
    mip = (mip / geometry.mip_mev).astype(np.float32)

    key = np.concatenate(keys)
    order = np.argsort(key, kind="stable")  # stable: within a hit by particle
    key, mip, particle = key[order], mip[order], particle[order]
    opens = np.diff(key, prepend=-1) != 0
    total = np.add.reduceat(mip, np.flatnonzero(opens), dtype=np.float64) if len(key) else np.zeros(0)
    keep = total >= threshold
    hit = np.cumsum(opens) - 1
    kept = keep[hit]
    cell = key[opens][keep]
    total, mip, particle = total[keep], mip[kept], particle[kept]
    hit = (np.cumsum(keep) - 1)[hit[kept]]
    dominant, share = _dominant(hit, mip, particle, len(total))

    energy = np.array([s.energy for s in showers], np.float32)
    pdg_id = np.array([s.pdg_id for s in showers], np.int64)
    layer, ix, iy = cell // _SPAN**2, cell // _SPAN % _SPAN - _SPAN // 2, cell % _SPAN - _SPAN // 2
    return Event(
        geometry.position(layer, ix, iy),
        total,
        layer,
        dominant,
        deposits=Deposits(hit, particle, mip),
        particles=Particles(pdg_id, energy, direction),
        purity=np.minimum(share / total, 1.0),
        detector=geometry.name,
        number=number,
    )


def _dominant(
    hit: NDArray[np.int64], energy: NDArray[np.float32], particle: NDArray[np.int64], n_hits: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Particle with the largest deposit in each hit and that deposit; deposits sorted by hit, then particle."""
    if not n_hits:
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    opens = np.flatnonzero(np.diff(hit, prepend=-1))
    largest = np.maximum.reduceat(energy, opens)
    is_largest = np.flatnonzero(energy == largest[hit])
    first = is_largest[np.diff(hit[is_largest], prepend=-1) != 0]
    return particle[first], largest
