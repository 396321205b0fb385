"""What a charged pion alone leaves in its topo-cluster, by momentum and layer of first interaction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmlflow.baselines.pflow.extrapolation import Matching, distances, first_interaction, matched_clusters, rings
from cmlflow.baselines.pflow.topoclusters import slab_of, topoclusters
from cmlflow.event import Event, IntArray
from cmlflow.particles import MASS
from cmlflow.simulation import Primaries, Selection, Slab, SlabSample, simulate, slab_detector
from cmlflow.simulation.decays import momentum, unit_vector

Array = NDArray[np.float64]

RINGS = 12
PRIOR = 5.0


@dataclass(frozen=True)
class SinglePion:
    """One charged pion, for the templates.

    From anywhere in a square of 20 cm in the source plane, uniform in solid angle within a cone around the axis, of a
    log-uniform momentum and either sign.

    Attributes
    ----------
    momentum_range : (float, float) [GeV]
    cone : float [degree]
    """

    momentum_range: tuple[float, float] = (0.5, 60.0)
    cone: float = 5.0

    def draw(self, rng: np.random.Generator, split: str, n_particles: int | None) -> Primaries:
        """See `cmlflow.simulation.flow.Gun.draw`."""
        if n_particles not in (None, 1):
            raise ValueError(f"n_particles is {n_particles}, but an event of a single pion always has 1")
        p = float(np.exp(rng.uniform(*np.log(self.momentum_range))))
        direction = unit_vector(rng.uniform(np.cos(np.radians(self.cone)), 1.0), rng.uniform(0.0, 2 * np.pi))
        energy = float(np.hypot(p, MASS[211]))
        sign = 211 if rng.random() < 0.5 else -211
        vertex = np.append(rng.uniform(-10.0, 10.0, size=2), 0.0)
        return Primaries(np.array([sign]), momentum(direction, energy, MASS[211])[None], vertex)


@dataclass(frozen=True, eq=False)
class PionTemplates:
    r"""Expected charged energy, from single pions ("a pure sample of pi+", [1]_, section 5).

    Attributes
    ----------
    log_momentum : ndarray of shape (n_bins,), float64
        Mean logarithm of the track momentum [GeV] in each bin.
    response : ndarray of shape (n_bins, n_layers), float64
        Mean energy of the matched topo-cluster over the momentum, by layer of first interaction.
    spread : ndarray of shape (n_bins, n_layers), float64
        Its standard deviation.
    density : ndarray of shape (n_bins, n_layers, n_layers, n_rings), float64 [1 / cm3]
        Mean energy over momentum in each ring of each layer, over the volume of the ring: by bin, layer of first
        interaction, layer, ring. The last ring has all beyond.
    count : ndarray of shape (n_bins, n_layers), int64
        Pions in each; a cell of the table with few of them leans on the whole bin, with the weight of 5 pions.
    detector : str

    References
    ----------
    .. [1] F. A. Di Bello et al., Towards a Computer Vision Particle Flow, Eur. Phys. J. C 81 (2021) 107.
    """

    log_momentum: Array
    response: Array
    spread: Array
    density: Array
    count: IntArray
    detector: str

    @classmethod
    def fit(
        cls,
        events: Iterable[Event],
        *,
        bins: int = 10,
        selection: Selection = Selection(),  # noqa: B008
        matching: Matching = Matching(),  # noqa: B008
    ) -> PionTemplates:
        """Templates from events with one charged pion and nothing else.

        Pions without a matched topo-cluster are left out. Bins hold equally many pions.

        Parameters
        ----------
        events : iterable of Event
            All of one slab detector, with one track each at most; those without are left out.
        bins : int
            Of momentum.
        selection, matching
            As in `cmlflow.baselines.pflow.parametric`.

        Raises
        ------
        ValueError
            Where an event has several tracks, detectors differ, or there are fewer pions than bins.
        """
        momenta, layers, profiles = list[float](), list[int](), list[Array]()
        names = set[str]()
        for event in events:
            names.add(str(event.detector))
            detector = slab_of(event)
            if len(names) > 1:
                raise ValueError(f"events are of the detectors {', '.join(sorted(names))}, expected one")
            distance = distances(event)
            if len(distance) > 1:
                raise ValueError(f"event {event.number} has {len(distance)} tracks, expected a single pion")
            labels = topoclusters(event, selection)
            matched = matched_clusters(event, labels, distance, matching)
            if not len(matched) or matched[0] < 0:
                continue
            assert event.tracks is not None
            own = labels == matched[0]
            energy, layer, d = event.energy[own].astype(np.float64), event.layer[own], distance[0, own]
            ring = np.minimum(rings(d, layer, detector), RINGS - 1)
            p = float(event.tracks.momentum[0])
            momenta.append(p)
            layers.append(first_interaction(energy, d, layer, detector, matching.width))
            profiles.append(
                np.bincount((layer - 1) * RINGS + ring, energy / p, detector.n_layers * RINGS).astype(np.float64)
            )
        if len(momenta) < bins:
            raise ValueError(f"there are {len(momenta)} single pions with a topo-cluster, expected at least {bins}")
        return cls._of(np.array(momenta), np.array(layers), np.stack(profiles), slab_detector(names.pop()), bins)

    @classmethod
    def _of(cls, p: Array, first: IntArray, profile: Array, detector: Slab, bins: int) -> PionTemplates:
        """Means over pions of momenta p (n,), first interactions (n,), energies (n, n_layers * n_rings) over p."""
        n = detector.n_layers
        which = np.argsort(np.argsort(p, kind="stable"), kind="stable") * bins // len(p)
        cell = which * n + first - 1
        total = profile.sum(axis=1)

        def mean(value: Array) -> Array:
            whole = _sums(which, value, bins) / np.maximum(np.bincount(which, minlength=bins), 1)[:, None]
            sums = _sums(cell, value, bins * n).reshape(bins, n, -1) + PRIOR * whole[:, None]
            out: Array = sums / (count[:, :, None] + PRIOR)
            return out

        count = np.bincount(cell, minlength=bins * n).reshape(bins, n)
        response = mean(total[:, None])[..., 0]
        variance = mean(((total - response[which, first - 1]) ** 2)[:, None])[..., 0]
        return cls(
            mean(np.log(p)[:, None])[..., 0].mean(axis=1),
            response,
            np.sqrt(variance),
            mean(profile).reshape(bins, n, n, RINGS) / ring_volumes(detector),
            count,
            detector.name,
        )

    def expected(self, momentum: float, layer: int) -> tuple[float, float]:
        """Expected energy of a pion in its topo-cluster, and its standard deviation [GeV].

        Linear between the bins in the logarithm of the momentum; beyond the first and the last bin proportional to the
        momentum.

        Parameters
        ----------
        momentum : float [GeV]
        layer : int
            Of first interaction, 1..n_layers.
        """
        at = float(np.log(momentum))
        mean, sigma = (float(np.interp(at, self.log_momentum, t[:, layer - 1])) for t in (self.response, self.spread))
        return mean * momentum, sigma * momentum

    def densities(self, momentum: float, layer: int) -> Array:
        """Expected density of energy [GeV / cm3] by layer and ring, of the nearest bin, shape (n_layers, n_rings)."""
        nearest = int(np.abs(self.log_momentum - np.log(momentum)).argmin())
        out: Array = momentum * self.density[nearest, layer - 1]
        return out

    def save(self, path: str | Path) -> None:
        """Write to a ``.npz`` file."""
        with open(path, "wb") as file:
            np.savez_compressed(file, **vars(self))

    @classmethod
    def load(cls, path: str | Path) -> PionTemplates:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        return cls(**{**arrays, "detector": str(arrays["detector"])})


@cache
def pion_templates(detector: str = "slab-hg") -> PionTemplates:
    """Templates of a detector: packaged for ``"slab-hg"``, else made with `make_templates` and kept for the process."""
    packaged = resources.files("cmlflow") / "assets" / "templates" / f"{detector}.npz"
    if packaged.is_file():
        with resources.as_file(packaged) as path:
            return PionTemplates.load(path)
    return make_templates(detector)


def make_templates(detector: str = "slab-hg", n_events: int = 4000, seed: int = 0) -> PionTemplates:
    """Templates fitted to simulated single pions (`SinglePion`) of the showers of the split ``"train"``.

    The packaged ones are ``make_templates().save("slab-hg.npz")``, a minute of a core.

    Parameters
    ----------
    detector : str
    n_events : int
    seed : int
    """
    return PionTemplates.fit(simulate(SlabSample("single pions", SinglePion(), detector=detector), n_events, seed))


def ring_volumes(detector: Slab) -> Array:
    """Volume [cm3] of each ring in each layer, shape (n_layers, n_rings); of the last ring one cell side is counted."""
    k = np.arange(RINGS)
    pitch = detector.width / detector.n_cells
    out: Array = np.pi * (pitch**2 * detector.thickness)[:, None] * (2 * k + 1)
    return out


def _sums(where: IntArray, value: Array, n: int) -> Array:
    out = np.zeros((n, value.shape[1]))
    np.add.at(out, where, value)
    return out
