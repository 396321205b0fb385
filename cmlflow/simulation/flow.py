"""Samples of the slab detector, for particle flow: rho decays, pion guns, jets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cmlflow.detectors import Slab, slab_detector
from cmlflow.event import Event
from cmlflow.particles import MASS
from cmlflow.simulation.decays import momentum, rho_mass, two_body, unit_vector
from cmlflow.simulation.jets import JetGun
from cmlflow.simulation.library import Shower, ShowerLibrary
from cmlflow.simulation.overlay import N_SYMMETRIES
from cmlflow.simulation.selection import Selection
from cmlflow.simulation.slab import Primaries, overlay_slab, placed, shower_depth

Array = NDArray[np.float64]
Library = ShowerLibrary | str | Path

SHOWERS = {
    "slab-pi": (211, 321, 2212),
    "slab-gamma": (22, 11),
    "slab-n": (2112, 130),
}
"""Packaged library of each kind of particle, by absolute Particle Data Group codes: charged hadrons, photons and
electrons, neutral hadrons. A particle has the shower of a negative pion, a photon or a neutron."""


PION_RANGES = ((2.0, 5.0), (5.0, 10.0), (10.0, 15.0), (15.0, 20.0))
"""Energies [GeV] of the pion guns of arXiv:2003.08863."""


class Gun(Protocol):
    """Draws the particles of an event."""

    def draw(self, rng: np.random.Generator, split: str, n_particles: int | None) -> Primaries:
        """Particles of one event.

        Parameters
        ----------
        rng : numpy.random.Generator
        split : {"train", "validation", "tuning", "test"}
        n_particles : int, optional
            Number of particles; a ValueError if the gun cannot choose it.
        """
        ...


@dataclass(frozen=True)
class RhoGun:
    """Charged rhos, of either sign: rho -> pi pi0, pi0 -> two photons.

    A rho starts at the origin, uniform in solid angle within a cone around the axis, its energy log-uniform and its
    mass from its line shape (`cmlflow.simulation.decays.rho_mass`). Both decays are isotropic and happen at the origin.
    The particles of each are the charged pion and the two photons.

    Attributes
    ----------
    energy_range : (float, float) [GeV]
        Total energy of a rho.
    cone : float [degree]
        Half-angle of the cone.
    number : (int, int)
        Fewest and most rhos in an event, independent of each other.
    """

    energy_range: tuple[float, float] = (5.0, 50.0)
    cone: float = 5.0
    number: tuple[int, int] = (1, 1)

    def draw(self, rng: np.random.Generator, split: str, n_particles: int | None) -> Primaries:
        """See `Gun.draw`."""
        few, many = self.number
        if n_particles is None:
            n = few if few == many else int(rng.integers(few, many + 1))
        elif n_particles % 3 == 0 and few <= n_particles // 3 <= many:
            n = n_particles // 3
        else:
            allowed = " or ".join(str(3 * i) for i in range(few, many + 1))
            raise ValueError(f"n_particles is {n_particles}, but an event of this sample always has {allowed}")
        each = [self._decay(rng) for _ in range(n)]
        return Primaries(np.concatenate([p for p, _ in each]), np.concatenate([m for _, m in each]), np.zeros(3))

    def _decay(self, rng: np.random.Generator) -> tuple[NDArray[np.int64], Array]:
        """Codes and four-momenta of the particles of one rho."""
        energy = float(np.exp(rng.uniform(*np.log(self.energy_range))))
        direction = unit_vector(rng.uniform(np.cos(np.radians(self.cone)), 1.0), rng.uniform(0.0, 2 * np.pi))
        rho = momentum(direction, energy, rho_mass(rng.random()))
        sign = 211 if rng.random() < 0.5 else -211
        charged, neutral = two_body(rho, MASS[211], MASS[111], rng.uniform(-1, 1), rng.uniform(0, 2 * np.pi))
        photons = two_body(neutral, 0.0, 0.0, rng.uniform(-1, 1), rng.uniform(0, 2 * np.pi))
        return np.array([sign, 22, 22]), np.stack([charged, *photons])


@dataclass(frozen=True)
class PionGun:
    """A positive and a neutral pion close together; the neutral one decays into two photons.

    Both start in one of the corners of a square of 20 cm in the source plane. Their energies are uniform and
    independent of each other; so are their polar angles, pi/100 to 3 pi/200. The azimuth of the first is uniform, that
    of the second pi/60 away, to either side. The particles are the charged pion and the two photons.

    Attributes
    ----------
    energy_range : (float, float) [GeV]
        Total energy of each pion.

    References
    ----------
    F. A. Di Bello et al., Towards a Computer Vision Particle Flow, Eur. Phys. J. C 81 (2021) 107, section 3.
    """

    energy_range: tuple[float, float]

    def draw(self, rng: np.random.Generator, split: str, n_particles: int | None) -> Primaries:
        """See `Gun.draw`."""
        if n_particles not in (None, 3):
            raise ValueError(f"n_particles is {n_particles}, but an event of a pion gun always has 3")
        energy = rng.uniform(*self.energy_range, size=2)
        polar = rng.uniform(np.pi / 100, 3 * np.pi / 200, size=2)
        azimuth = rng.uniform(0.0, 2 * np.pi) + np.array([0.0, np.pi / 60 * rng.choice([-1.0, 1.0])])
        corner = rng.choice([-10.0, 10.0], size=2)
        pions = momentum(unit_vector(np.cos(polar), azimuth), energy, np.array([MASS[211], MASS[111]]))
        photons = two_body(pions[1], 0.0, 0.0, rng.uniform(-1, 1), rng.uniform(0, 2 * np.pi))
        return Primaries(np.array([211, 22, 22]), np.stack([pions[0], *photons]), np.append(corner, 0.0))


@dataclass(frozen=True)
class PionGuns:
    """Several pion guns, each event from one of them: all ranges of energy are equally frequent.

    Attributes
    ----------
    ranges : tuple of (float, float) [GeV]
    """

    ranges: tuple[tuple[float, float], ...] = PION_RANGES

    def draw(self, rng: np.random.Generator, split: str, n_particles: int | None) -> Primaries:
        """See `Gun.draw`."""
        return PionGun(self.ranges[int(rng.integers(len(self.ranges)))]).draw(rng, split, n_particles)


@dataclass(frozen=True)
class SlabSample:
    """Recipe of the events of a sample of the slab detector.

    Attributes
    ----------
    name : str
    gun : Gun
        Draws the particles of an event.
    split : {"train", "validation", "tuning", "test"}
        Split of the libraries from which showers (and jets) are taken; splits are disjoint.
    detector : str, default "slab-hg"
    selection : Selection or None
        Which cells are read out; None: all cells with energy above 0, without noise.
    sampling : bool, default True
        Whether deposits are smeared by the sampling of the calorimeter.
    """

    name: str
    gun: Gun
    split: str = "train"
    detector: str = "slab-hg"
    selection: Selection | None = field(default_factory=Selection)
    sampling: bool = True

    def maker(
        self, n_particles: int | None, library: Library | Sequence[Library] | None
    ) -> Callable[[np.random.Generator, int], Event]:
        """A function that makes the event with a random generator and a number.

        Parameters
        ----------
        n_particles : int, optional
            The same number of particles in every event; jets only.
        library : ShowerLibrary, path or sequence of these, optional
            Showers of ``"slab-base"`` instead of the packaged ones.
        """
        detector = slab_detector(self.detector)
        pools = {name: _Pool(self, name, library, detector) for name in SHOWERS}
        kind = {code: name for name, codes in SHOWERS.items() for code in codes}

        def make(rng: np.random.Generator, number: int) -> Event:
            primaries = self.gun.draw(rng, self.split, n_particles)
            enters = primaries.enters(detector)
            energy = primaries.kinetic
            showers: list[Shower | None] = []
            symmetry: list[int] = []
            taken = set[tuple[str, int]]()
            for p, pdg_id in enumerate(primaries.pdg_id):
                if not enters[p]:
                    showers.append(None)
                    symmetry.append(0)
                    continue
                pool = pools[kind[abs(int(pdg_id))]]
                depth = shower_depth(int(pdg_id), float(energy[p]), detector)
                points = np.stack([primaries.at(float(z))[p] for z in detector.front + depth])
                at, turn = pool.pick(float(energy[p]), points, taken)
                taken.add((pool.name, at))
                showers.append(pool.library[at])
                symmetry.append(turn)
            return overlay_slab(
                primaries, showers, symmetry, detector, rng,
                sampling=self.sampling, noise=self.selection is not None, selection=self.selection, number=number,
            )  # fmt: skip

        return make


class _Pool:
    """The showers that one kind of particle can have."""

    NEIGHBOURS = 8

    def __init__(self, s: SlabSample, name: str, library: Library | Sequence[Library] | None, detector: Slab) -> None:
        self.name, self.detector = name, detector
        if library is None:
            self.library = ShowerLibrary.packaged(name)
        else:
            several = [library] if isinstance(library, (ShowerLibrary, str, Path)) else list(library)
            opened = [v if isinstance(v, ShowerLibrary) else ShowerLibrary.load(v) for v in several]
            self.library = opened[0] if len(opened) == 1 else ShowerLibrary.concatenate(opened)
        codes = [c for code in SHOWERS[name] for c in (code, -code)]
        self.shower = self.library.find(s.split, codes)
        self.missing = f"sample {s.name}: the library has no {s.split} shower of pdg_id {', '.join(map(str, codes))}"
        self.log_energy = np.log(self.library.energy[self.shower].astype(np.float64))
        if self.library.entry is None and len(self.library):
            raise ValueError(f"sample {s.name}: showers of {self.library.detector}, expected those of slab-base")

    def pick(self, energy: float, points: Array, taken: set[tuple[str, int]]) -> tuple[int, int]:
        """The best-fitting shower of the eight nearest unused ones in energy [GeV], and its symmetry.

        Showers are moved by whole base cells. The best one has the smallest energy-weighted mean square distance of its
        layers from the given points [cm], shape (n_layers, 2).
        """
        if not len(self.shower):
            raise ValueError(self.missing)
        near = self.shower[np.argsort(np.abs(self.log_energy - np.log(energy)), kind="stable")]
        free = [int(i) for i in near[: self.NEIGHBOURS + len(taken)] if (self.name, int(i)) not in taken]
        best = (np.inf, int(near[0]), 0)
        for i in free[: self.NEIGHBOURS]:
            shower = self.library[i]
            weight = np.bincount(shower.layer - 1, shower.edep, self.detector.n_layers)
            entry = np.array([placed(shower, s)[1] for s in range(N_SYMMETRIES)])
            off = (points - entry[:, None]) / self.detector.cell_size
            off -= np.floor(off + 0.5)
            cost = ((off**2).sum(axis=2) * weight).sum(axis=1) / max(weight.sum(), 1e-12)
            s = int(cost.argmin())
            best = min(best, (float(cost[s]), i, s))
        return best[1:]


def _samples() -> dict[str, SlabSample]:
    """All samples of the slab by name: each with its validation, tuning and test companion."""
    guns: dict[str, Gun] = {"rho": RhoGun(), "rhos": RhoGun(cone=10.0, number=(1, 3))}
    for low, high in (*PION_RANGES, (2.0, 20.0)):
        guns[f"pi-gun-{low:g}-{high:g}"] = PionGun((low, high))
    guns["pi-guns"] = PionGuns()
    guns["jets"] = JetGun()
    out: dict[str, SlabSample] = {}
    for name, gun in guns.items():
        out[name] = SlabSample(name, gun)
        for split in ("validation", "tuning", "test"):
            out[f"{name}-{split}"] = replace(out[name], name=f"{name}-{split}", split=split)
    return out


SLAB_SAMPLES: dict[str, SlabSample] = _samples()
