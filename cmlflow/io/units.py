"""What the unit of hit energies is worth."""

from __future__ import annotations

MIP_MEV = 0.08925
"""Most probable energy loss of a minimum ionising particle in 300 µm of silicon [MeV]."""


def mev_per_unit(detector: str | None, unnamed: float) -> float:
    """MeV per unit of the hit energies: MIP where the name of the detector begins with ``hgcal``, GeV elsewhere.

    `unnamed` is for events that name no detector: the format decides what is usual.
    """
    if not detector:
        return unnamed
    return MIP_MEV if detector.startswith("hgcal") else 1000.0
