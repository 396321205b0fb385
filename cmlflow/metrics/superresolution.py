"""Figures of super-resolution: the mass of the neutral pion, the profile around the hottest cell, barycentres."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.metrics.matching import numpy_array

Array = NDArray[np.float64]
PION_MASS = 0.135
"""Of the neutral pion [GeV]."""
ROUNDS = 50
PEAK = 0.4
"""The peak is the middle of the shortest interval with this part of the values."""


def photon_pair_mass(position: Any, energy: Any, vertex: ArrayLike = (0.0, 0.0, 0.0)) -> float:
    """Mass [GeV] of two photons, by energy-weighted 2-means of cells in slopes from the vertex.

    The first centres are the hottest cell and the cell that has most energy times squared distance from it.

    Parameters
    ----------
    position : array_like of shape (n_cells, 3), float [cm]
    energy : array_like of shape (n_cells,), float [GeV]
        Neutral energies.
    vertex : array_like of shape (3,) [cm]

    Returns
    -------
    float
        Not calibrated; nan where fewer than two cells, or one direction alone, have energy.

    Examples
    --------
    >>> photon_pair_mass([[1, 0, 100], [-1, 0, 100]], [2.0, 2.0]) / 4 * 100  # 2 E sin(θ / 2)
    0.99995...
    """
    x, e = numpy_array(position).astype(np.float64), numpy_array(energy).astype(np.float64)
    if x.shape != (len(e), 3):
        raise ValueError(f"position has shape {x.shape}, expected ({len(e)}, 3)")
    x, e = (x - np.asarray(vertex, np.float64))[e > 0], e[e > 0]
    if len(e) < 2:
        return float("nan")
    slope = x[:, :2] / x[:, 2:]
    hottest = slope[int(np.argmax(e))]
    second = slope[int(np.argmax(e * ((slope - hottest) ** 2).sum(axis=1)))]
    centres = np.stack([hottest, second])
    if (hottest == second).all():
        return float("nan")
    nearest = np.zeros(len(e), np.int64)
    for _ in range(ROUNDS):
        new = ((slope[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
        if (new == nearest).all() and _:
            break
        nearest = new
        total = np.bincount(nearest, e, 2)
        if not (total > 0).all():
            return float("nan")
        centres = np.stack([np.bincount(nearest, e * slope[:, i], 2) / total for i in (0, 1)], axis=1)
    total = np.bincount(nearest, e, 2)
    direction = np.column_stack([centres, np.ones(2)])
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    half = np.linalg.norm(direction[0] - direction[1]) / 2  # sin of half the angle
    return float(2 * np.sqrt(total[0] * total[1]) * half)


def mass_width(masses: Any) -> dict[str, float]:
    """Width of the masses of neutral pions after calibration of the peak to 135 MeV.

    Parameters
    ----------
    masses : array_like of shape (n_events,), float [GeV]
        nan where there is none.

    Returns
    -------
    dict of float
        ``peak`` [GeV] before calibration; ``width``, half the shortest interval with 68.3 % of the calibrated masses
        over 135 MeV; ``missing``, how many events have none.
    """
    m = numpy_array(masses).astype(np.float64)
    known = np.sort(m[np.isfinite(m)])
    out = {"peak": float("nan"), "width": float("nan"), "missing": float(len(m) - len(known))}
    if len(known) < 3:
        return out
    low, high = _shortest(known, PEAK)
    out["peak"] = peak = (low + high) / 2
    if peak > 0:
        low, high = _shortest(known, 0.683)
        out["width"] = (high - low) / 2 / peak
    return out


def radial_profile(position: Any, energy: Any, edges: ArrayLike) -> Array:
    """Energy density around the hottest cell: energy in each ring over its area.

    Parameters
    ----------
    position : array_like of shape (n_cells, 2 or 3), float [cm]
        Of the cells of one layer.
    energy : array_like of shape (n_cells,), float
    edges : array_like of shape (n_rings + 1,), float [cm]

    Returns
    -------
    ndarray of shape (n_rings,), float64 [per cm²]
        nan without energy.
    """
    x, e = numpy_array(position).astype(np.float64)[:, :2], numpy_array(energy).astype(np.float64)
    r = np.asarray(edges, np.float64)
    if not (e > 0).any():
        return np.full(len(r) - 1, np.nan)
    distance = np.linalg.norm(x - x[int(np.argmax(e))], axis=1)
    inside, _ = np.histogram(distance, r, weights=e)
    out: Array = inside / (np.pi * np.diff(r**2))
    return out


def _shortest(ordered: Array, part: float) -> tuple[float, float]:
    n = max(2, int(np.ceil(part * len(ordered))))
    gaps = ordered[n - 1 :] - ordered[: len(ordered) - n + 1]
    i = int(np.argmin(gaps))
    return float(ordered[i]), float(ordered[i + n - 1])
