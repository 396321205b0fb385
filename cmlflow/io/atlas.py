"""Calorimeter layers of ATLAS: their numbers, and the surfaces at which MLTree files give the crossings of tracks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.coordinates import from_eta_phi

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Surface:
    """Surface of a layer: a cylinder about the beam, or a pair of planes across it.

    Attributes
    ----------
    number : int
        The layer's number in ATLAS (`cell_geo_sampling`).
    fixed : {"r", "z"}
        What the surface has in common: the distance from the beam, or \\|z\\|.
    at : float [cm]
    """

    number: int
    fixed: Literal["r", "z"]
    at: float


def _family(name: str, first: int, begin: int, fixed: Literal["r", "z"], *at_mm: float) -> dict[str, Surface]:
    return {f"{name}{begin + i}": Surface(first + i, fixed, mm / 10) for i, mm in enumerate(at_mm)}


ATLAS_LAYERS: dict[str, Surface] = {
    **_family("EMB", 1, 1, "r", 1532.18, 1723.89, 1923.02),
    **_family("EME", 5, 1, "z", 3790.03, 3983.68, 4195.84),
    **_family("HEC", 8, 0, "z", 4461.25, 4869.5, 5424.5, 5905.0),
    **_family("TileBar", 12, 0, "r", 2450.0, 2995.0, 3630.0),
    **_family("TileGap", 15, 1, "r", 3215.0, 3630.0, 2246.5),
    **_family("TileExt", 18, 0, "r", 2450.0, 2870.0, 3480.0),
}
"""Range of \\|eta\\| that the layers of each kind cover, roughly."""
"""Layer by name. The numbers 0 and 4 (presamplers) and those above 20 (forward calorimeter) have no surface here."""
EXTENT = {
    "EMB": (0.0, 320.0),
    "EME": (25.0, 215.0),
    "HEC": (30.0, 215.0),
    "TileBar": (0.0, 290.0),
    "TileGap": (290.0, 365.0),
    "TileExt": (350.0, 650.0),
}
"""Range of |z| of cylinders, of r of planes [cm], that the layers of each kind cover, roughly."""


def crossing_point(eta: ArrayLike, phi: ArrayLike, surface: Surface) -> Array:
    """Point where a direction seen from the origin meets a layer.

    Parameters
    ----------
    eta, phi : array_like of shape (...), float
        Infinite at eta = 0 for planes, which such a direction never meets.
    surface : Surface

    Returns
    -------
    ndarray of shape (..., 3), float64 [cm]
    """
    e = np.asarray(eta, np.float64)
    if surface.fixed == "r":
        return from_eta_phi(e, phi, surface.at)
    with np.errstate(divide="ignore", over="ignore"):
        radius = surface.at / np.abs(np.sinh(e))
    out = from_eta_phi(e, phi, radius)
    out[..., 2] = np.copysign(surface.at, e)
    return out


def nearest_layers(position: ArrayLike) -> NDArray[np.int64]:
    """Number of the layer whose surface a cell is nearest to.

    A surface counts only for cells within its `EXTENT`.

    Parameters
    ----------
    position : array_like of shape (n, 3), float [cm]

    Returns
    -------
    ndarray of shape (n,), int64
        0 if no surface is in range and nearer than 50 cm.
    """
    x = np.asarray(position, np.float64)
    radius, z = np.hypot(x[:, 0], x[:, 1]), np.abs(x[:, 2])
    best, out = np.full(len(x), 50.0), np.zeros(len(x), np.int64)
    for name, surface in ATLAS_LAYERS.items():
        low, high = EXTENT[name.rstrip("0123456789")]
        across, along = (radius, z) if surface.fixed == "r" else (z, radius)
        away = np.abs(across - surface.at)
        nearer = (away < best) & (along >= low) & (along <= high)
        best[nearer], out[nearer] = away[nearer], surface.number
    return out
