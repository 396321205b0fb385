"""Collider coordinates: pseudorapidity and azimuth about a beam axis, and the distance ΔR in them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

BEAMS: dict[str, tuple[int, int, int]] = {"x": (1, 2, 0), "y": (2, 0, 1), "z": (0, 1, 2)}
"""For each beam axis: the two transverse axes, from the first of which azimuth is counted, and the axis itself."""


def axes(beam: str) -> list[int]:
    """Columns of a position, in the order transverse, transverse, beam.

    Raises
    ------
    ValueError
        Where `beam` is not "x", "y" or "z".
    """
    if beam not in BEAMS:
        raise ValueError(f"beam is {beam!r}, expected one of {', '.join(BEAMS)}")
    return list(BEAMS[beam])


def eta_phi(position: ArrayLike, beam: str = "z") -> tuple[Array, Array]:
    """Pseudorapidity and azimuth of points or directions, seen from the origin.

    Parameters
    ----------
    position : array_like of shape (..., 3), float
    beam : {"z", "x", "y"}
        The axis from which pseudorapidity is counted. A calorimeter across the z axis, seen as a piece of a barrel at
        eta = 0, has its beam along "y": small angles from its axis are then distances ΔR.

    Returns
    -------
    eta, phi : ndarray of shape (...), float64
        eta is infinite on the beam axis, nan at the origin; phi in [-π, π].

    Examples
    --------
    >>> eta_phi([0.0, 0.0, 150.0], beam="y")
    (array(0.), array(0.))
    """
    u, v, w = np.moveaxis(np.asarray(position, np.float64)[..., axes(beam)], -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        eta = np.arcsinh(np.divide(w, np.hypot(u, v)))
    return np.asarray(eta), np.asarray(np.arctan2(v, u))


def from_eta_phi(eta: ArrayLike, phi: ArrayLike, radius: ArrayLike, beam: str = "z") -> Array:
    """Points at a transverse distance from the beam axis; the inverse of `eta_phi`.

    Parameters
    ----------
    eta, phi : array_like of shape (...), float
    radius : array_like of shape (...), float
        Distance from the beam axis, in the unit of the result.
    beam : {"z", "x", "y"}

    Returns
    -------
    ndarray of shape (..., 3), float64
    """
    e, f, r = np.broadcast_arrays(*(np.asarray(a, np.float64) for a in (eta, phi, radius)))
    with np.errstate(over="ignore", invalid="ignore"):
        columns = np.stack([r * np.cos(f), r * np.sin(f), r * np.sinh(e)], axis=-1)
    out = np.empty_like(columns)
    out[..., axes(beam)] = columns
    return out


def radius_of(position: ArrayLike, beam: str = "z") -> Array:
    """Distance of points of shape (..., 3) from the beam axis."""
    u, v, _ = np.moveaxis(np.asarray(position, np.float64)[..., axes(beam)], -1, 0)
    return np.asarray(np.hypot(u, v))


def direction_of(eta: ArrayLike, phi: ArrayLike, beam: str = "z") -> Array:
    """Unit vectors of shape (..., 3); an infinite eta is the beam axis itself."""
    e = np.asarray(eta, np.float64)
    with np.errstate(over="ignore"):
        transverse = 1.0 / np.cosh(e)
    out = from_eta_phi(0.0, phi, transverse, beam)
    out[..., axes(beam)[2]] = np.tanh(e)
    return out


def delta_r(eta: ArrayLike, phi: ArrayLike, other_eta: ArrayLike, other_phi: ArrayLike) -> Array:
    """Distance √(Δη² + Δφ²), Δφ taken the short way round; arrays broadcast.

    Examples
    --------
    >>> delta_r(0.0, 3.1, 0.0, -3.1)
    array(0.08318531)
    """
    turn = 2 * np.pi
    d_phi = np.mod(np.subtract(phi, other_phi, dtype=np.float64) + np.pi, turn) - np.pi
    with np.errstate(invalid="ignore"):  # on the beam axis: inf - inf, at no distance from anything
        return np.asarray(np.hypot(np.subtract(eta, other_eta, dtype=np.float64), d_phi))
