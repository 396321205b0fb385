"""Two-body decays and the rho line shape: momenta as arrays (..., 4) of px, py, pz, E [GeV], float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.particles import MASS

Array = NDArray[np.float64]

RHO_MASS = 0.77511
RHO_WIDTH = 0.1491
RHO_RADIUS = 1 / 0.19733
RHO_LARGEST = 1.5
"""Mass and width of the charged rho [GeV], its radius [1/GeV], and the mass at which its line shape is cut off."""


def momentum(direction: ArrayLike, energy: ArrayLike, mass: ArrayLike) -> Array:
    """Four-momentum of a particle with a direction (..., 3), a total energy [GeV] and a mass [GeV]."""
    e = np.asarray(energy, np.float64)
    p = np.sqrt(np.maximum(e**2 - np.asarray(mass) ** 2, 0.0))
    return np.concatenate([np.asarray(direction) * p[..., None], e[..., None]], axis=-1)


def invariant_mass(p: ArrayLike) -> Array:
    """Mass [GeV] of a four-momentum (..., 4)."""
    q = np.asarray(p, np.float64)
    out: Array = np.sqrt(np.maximum(q[..., 3] ** 2 - (q[..., :3] ** 2).sum(axis=-1), 0.0))
    return out


def unit_vector(cosine: ArrayLike, azimuth: ArrayLike) -> Array:
    """Unit vector (..., 3) at an angle to the z axis, given by its cosine, and an azimuth [rad]."""
    c, phi = np.asarray(cosine, np.float64), np.asarray(azimuth, np.float64)
    s = np.sqrt(np.maximum(1.0 - c**2, 0.0))
    return np.stack(np.broadcast_arrays(s * np.cos(phi), s * np.sin(phi), c), axis=-1)


def boost(p: Array, frame: Array) -> Array:
    """A four-momentum (4,), given in the rest frame of `frame` (4,), in the frame in which `frame` is given."""
    mass = float(invariant_mass(frame))
    gamma = frame[3] / mass
    beta_gamma = frame[:3] / mass
    along = float(beta_gamma @ p[:3])
    space = p[:3] + beta_gamma * (along / (gamma + 1.0) + p[3])
    return np.append(space, gamma * p[3] + along)


def two_body(parent: Array, mass_1: float, mass_2: float, cosine: float, azimuth: float) -> tuple[Array, Array]:
    """Decay of a particle into two.

    Parameters
    ----------
    parent : ndarray of shape (4,) [GeV]
    mass_1, mass_2 : float [GeV]
    cosine, azimuth : float
        Direction of the first in the rest frame, cosine of the angle to the z axis and azimuth [rad]: uniform ones
        give an isotropic decay.

    Returns
    -------
    tuple of two ndarrays of shape (4,)
        Their sum is the parent.

    Raises
    ------
    ValueError
        The parent is lighter than the two.

    References
    ----------
    Particle Data Group, Review of Particle Physics, kinematics, eq. 49.16-49.17.
    """
    m = float(invariant_mass(parent))
    if m < mass_1 + mass_2:
        raise ValueError(f"a particle of {m:.6g} GeV cannot decay into {mass_1:.6g} and {mass_2:.6g} GeV")
    first = boost(momentum(unit_vector(cosine, azimuth), _energy(m, mass_1, mass_2), mass_1), parent)
    return first, parent - first


def rho_mass(u: ArrayLike) -> Array:
    """Mass [GeV] of a charged rho at a quantile of its line shape.

    Parameters
    ----------
    u : array_like, float
        Between 0 and 1; uniform ones give the line shape.

    Notes
    -----
    A relativistic Breit-Wigner function of the mass squared with the running width of a decay into two pions in a
    p wave, width(m) = 0.1491 GeV (m0 / m) (q / q0)^3 (1 + R^2 q0^2) / (1 + R^2 q^2), q the pions' momentum in the rest
    frame, the last factor the Blatt-Weisskopf barrier with R = 1 fm; from the threshold to 1.5 GeV.

    References
    ----------
    Particle Data Group, Review of Particle Physics, resonances, eq. 50.22-50.28.
    """
    out: Array = np.interp(np.asarray(u, np.float64), *_LINE)
    return out


def rho_density(m: ArrayLike) -> Array:
    """The rho's line shape at masses [GeV], not normalised."""
    light, neutral = MASS[211], MASS[111]
    mass = np.asarray(m, np.float64)
    q = _break_up(mass, light, neutral)
    q0 = _break_up(np.float64(RHO_MASS), light, neutral)
    barrier = (1 + (RHO_RADIUS * q0) ** 2) / (1 + (RHO_RADIUS * q) ** 2)
    width = RHO_WIDTH * (RHO_MASS / mass) * (q / q0) ** 3 * barrier
    out: Array = 2 * mass * RHO_MASS * width / ((RHO_MASS**2 - mass**2) ** 2 + (RHO_MASS * width) ** 2)
    return out


def _energy(m: float, mass_1: float, mass_2: float) -> float:
    return (m**2 + mass_1**2 - mass_2**2) / (2 * m)


def _break_up(m: Array | np.float64, mass_1: float, mass_2: float) -> Array:
    product = (m**2 - (mass_1 + mass_2) ** 2) * (m**2 - (mass_1 - mass_2) ** 2)
    out: Array = np.sqrt(np.maximum(product, 0.0)) / (2 * m)
    return out


def _line() -> tuple[Array, Array]:
    edges = np.linspace(MASS[211] + MASS[111], RHO_LARGEST, 4001)
    total = np.concatenate([[0.0], np.cumsum(rho_density((edges[1:] + edges[:-1]) / 2))])
    return total / total[-1], edges


_LINE = _line()
