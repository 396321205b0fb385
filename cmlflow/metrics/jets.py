"""Energy, momentum, mass and direction of jets: the sum of the candidates against the sum of the true particles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.event import Event
from cmlflow.metrics.matching import numpy_array
from cmlflow.metrics.reconstruction import paired
from cmlflow.metrics.residuals import DISTANCES, FIGURES, WIDTHS
from cmlflow.metrics.systems import Sample, SystemFigures, compare_systems, residual_sample
from cmlflow.metrics.truth import entering, true_momenta

Array = NDArray[np.float64]

JET_BINS = (10.0, 20.0, 30.0, 40.0, 60.0)
"""Edges [GeV] of the bins of true jet energy."""


class JetResidual(NamedTuple):
    """One jet against the truth.

    Attributes
    ----------
    energy, momentum : float
        (reconstructed - true) / true of the energy and of the absolute momentum; -1 for a jet without candidates.
    mass : float [GeV]
        Reconstructed - true.
    angle : float [mrad]
        Between the two directions; nan where one has none.
    true_energy : float [GeV]
    """

    energy: float
    momentum: float
    mass: float
    angle: float
    true_energy: float


def true_jet(event: Event, *, vertex: ArrayLike | None = None) -> Array:
    """Four-momentum (4,) [GeV] of all true particles that meet the front face of the detector.

    Parameters
    ----------
    event : Event
    vertex : array_like of shape (3,), optional [cm]
        As in `cmlflow.event.vertex_of`.
    """
    total: Array = true_momenta(event)[entering(event, vertex)].sum(axis=0)
    return total


def jet_residual(momentum: Any, true: Any) -> JetResidual:
    """The sum of four-momenta against the true jet.

    Parameters
    ----------
    momentum : array_like of shape (C, 4), float [GeV]
        px, py, pz, E of the candidates.
    true : array_like of shape (4,), float [GeV]

    Returns
    -------
    JetResidual
        All nan where the true jet has no energy.
    """
    p, t = numpy_array(momentum).astype(np.float64), numpy_array(true).astype(np.float64)
    if p.size == 0:
        p = np.zeros((0, 4))
    if p.ndim != 2 or p.shape[1] != 4 or t.shape != (4,):
        raise ValueError(f"momentum and true have shapes {p.shape} and {t.shape}, expected (C, 4) and (4,)")
    jet = p.sum(axis=0)
    if not t[3] > 0:
        return JetResidual(*[float("nan")] * 5)
    absolute, wanted = (float(np.linalg.norm(q[:3])) for q in (jet, t))
    angle = float("nan")
    if absolute > 0 and wanted > 0:
        across, along = np.linalg.norm(np.cross(jet[:3], t[:3])), float(jet[:3] @ t[:3])
        angle = 1000 * float(np.arctan2(across, along))
    relative = absolute / wanted - 1 if wanted > 0 else float("nan")
    return JetResidual(float(jet[3] / t[3] - 1), relative, _mass(jet) - _mass(t), angle, float(t[3]))


def compare_jets(
    events: Event | Sequence[Event],
    systems: Mapping[str, Any],
    *,
    bins: ArrayLike | None = JET_BINS,
    against: str | None = None,
    vertex: ArrayLike | None = None,
    bootstrap: int = 500,
    confidence: float = 0.95,
    seed: int = 0,
) -> SystemFigures:
    """Response and resolution of jets, one jet in each event, for the candidates of one or several systems.

    Parameters
    ----------
    events : Event or sequence of Event
        With truth; see `true_jet`.
    systems : dict of str to sequence
        By the name of the system, for each event its candidates (objects with ``momentum``) or their four-momenta
        (C, 4) [GeV]. `cmlflow.metrics.truth.true_candidates` gives those of perfect pattern recognition. For a single
        Event one entry will do.
    bins : array_like of shape (n_bins + 1,), float [GeV]
        Edges of the bins of true jet energy; None for all energies together only.
    against, bootstrap, confidence, seed
        As in `cmlflow.metrics.systems.compare_systems`.
    vertex : array_like of shape (3,), optional [cm]
        As in `true_jet`.

    Returns
    -------
    SystemFigures
        ``energy_``, ``momentum_`` and ``mass_`` with ``core_sigma``, ``bias``, ``median``, ``sigma_eff`` and ``tails``
        of `JetResidual`'s values, as in `cmlflow.metrics.residual_figures`; ``angle_`` with ``mean``, ``median`` and
        ``quantile_68``.

    Notes
    -----
    The jets of the sample `jets` were perpendicular to the beams before they were turned along the z axis, so the
    absolute momentum here is the transverse momentum at a collider. True energies are total energies. No system
    measures the mass of a neutron, or that of a proton whose track is taken for a pion's, so perfect pattern
    recognition has a small negative bias too.
    """
    samples: dict[str, dict[str, Sample]] = {}
    n_events = 0
    for system, given in systems.items():
        found = [
            jet_residual(getattr(candidates, "momentum", candidates), true_jet(event, vertex=vertex))
            for _, event, candidates in paired(events, given, f"candidates of {system}")
        ]
        n_events = len(found)
        samples[system] = _samples(np.array(found, np.float64).reshape(-1, 5))
    return compare_systems(
        samples, n_events, bins=bins, against=against, bootstrap=bootstrap, confidence=confidence, seed=seed
    )


def _samples(rows: Array) -> dict[str, Sample]:
    out = {}
    for k, quantity in enumerate(JetResidual._fields[:4]):
        use = np.isfinite(rows[:, k])
        for name in DISTANCES if quantity == "angle" else FIGURES:
            out[f"{quantity}_{name}"] = residual_sample(
                name, rows[use, k], np.flatnonzero(use), rows[use, 4], ratio=quantity == "angle" or name in WIDTHS
            )
    return out


def _mass(p: Array) -> float:
    return float(np.sqrt(max(p[3] ** 2 - p[:3] @ p[:3], 0.0)))
