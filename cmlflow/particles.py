"""Particle Data Group codes: masses, and which showers particles leave. The one table of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

ELECTRON, PHOTON, PI_ZERO, PION, NEUTRON = 11, 22, 111, 211, 2112

MASS = {
    11: 0.00051099895,
    22: 0.0,
    111: 0.1349768,
    130: 0.497611,
    211: 0.13957039,
    321: 0.493677,
    2112: 0.93956542,
    2212: 0.93827209,
}
"""Masses [GeV] of particles and their antiparticles by absolute code."""

CHARGED = (11, 211, 321, 2212)
"""Absolute codes of the particles that leave a track."""

ELECTROMAGNETIC = (11, 22, 111, 221)
"""Absolute codes of the particles whose showers are electromagnetic; pi0 and eta by their decays."""


def masses(pdg_id: ArrayLike) -> NDArray[np.float64]:
    """Mass [GeV] of each particle, shape of `pdg_id`; a ValueError names the first unknown code."""
    codes = np.abs(np.asarray(pdg_id, np.int64))
    unknown = ~np.isin(codes, list(MASS))
    if unknown.any():
        raise ValueError(f"pdg_id {int(codes[unknown][0])} is not known, expected one of {', '.join(map(str, MASS))}")
    table = np.array(sorted(MASS))
    out: NDArray[np.float64] = np.array([MASS[int(c)] for c in table])[np.searchsorted(table, codes)]
    return out


def is_electromagnetic(pdg_id: ArrayLike) -> NDArray[np.bool_]:
    """Which particles leave electromagnetic showers, shape of `pdg_id`."""
    return np.isin(np.abs(np.asarray(pdg_id, np.int64)), ELECTROMAGNETIC)


def neutral_classes(pdg_id: ArrayLike) -> NDArray[np.int64]:
    """Class of neutral particles: 22 for those that shower like a photon, else 2112."""
    return np.where(is_electromagnetic(pdg_id), PHOTON, NEUTRON).astype(np.int64)
