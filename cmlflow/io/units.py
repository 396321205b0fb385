"""Units of hit energies."""

from __future__ import annotations

MIP_MEV = 0.08925
"""Most probable energy loss of a minimum ionising particle in 300 µm of silicon [MeV]."""

IN_GEV = ("slab", "atlas", "edm4hep")
"""First words of the names of detectors whose hit energies are in GeV."""


def mev_per_unit(detector: str | None, unnamed: float) -> float:
    """MeV per unit of the hit energies: by the first word of the detector's name, MIP for hgcal, GeV for others known.

    `unnamed` is the unit for events without a detector, or with an unknown one: what is usual in the format.
    """
    family = (detector or "").split("-")[0]
    return MIP_MEV if family == "hgcal" else 1000.0 if family in IN_GEV else unnamed
