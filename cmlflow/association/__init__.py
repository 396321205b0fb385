"""From clusters and tracks to particle-flow candidates that share the energy of each hit.

`Associator` does everything: `assign_tracks` (every track has a candidate, and so has every cluster without a track),
`share_hits` (soft shares, fitted on truth by `fit_sharing`), `four_momenta` (energies from `fit_energy_scale`).
Everything here works without torch.
"""

from cmlflow.association.associator import Associator, Embedded
from cmlflow.association.candidates import Candidates
from cmlflow.association.energy import EnergyScale, four_momenta
from cmlflow.association.energy_fit import fit_energy_scale
from cmlflow.association.ownership import Ownership, assign_tracks
from cmlflow.association.sharing import Sharing, share_hits
from cmlflow.association.sharing_fit import fit_sharing
from cmlflow.association.truth import match_particles, true_shares

__all__ = [
    "Associator",
    "Candidates",
    "Embedded",
    "EnergyScale",
    "Ownership",
    "Sharing",
    "assign_tracks",
    "fit_energy_scale",
    "fit_sharing",
    "four_momenta",
    "match_particles",
    "share_hits",
    "true_shares",
]
