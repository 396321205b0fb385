"""Samples of multi-particle events: how many particles of which kinds and energies, and the events themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

import numpy as np

from cmlflow.event import Event, EventStore
from cmlflow.simulation.flow import SLAB_SAMPLES, SlabSample
from cmlflow.simulation.library import ShowerLibrary
from cmlflow.simulation.overlay import N_SYMMETRIES, overlay

KINDS: dict[str, tuple[int, ...]] = {"em": (11, -11), "had": (-211, 211)}

Library = ShowerLibrary | str | Path


@dataclass(frozen=True)
class Sample:
    """Recipe of the events of a sample.

    Attributes
    ----------
    name : str
    kinds : tuple of str
        ``"em"`` electrons, ``"had"`` charged pions; with both, each particle is one or the other with equal odds.
    n_particles : (int, int)
        Smallest and largest number of particles of an event; all numbers are equally likely.
    energy_range : (float, float) [GeV]
        Energies are uniform between the two.
    split : {"train", "validation", "tuning", "test"}
        Split of the library from which showers are taken; splits are disjoint.
    threshold : float [MIP]
        Hits with less energy are dropped. The packaged library has no cells below 0.05 MIP.
    detector : str
    """

    name: str
    kinds: tuple[str, ...]
    n_particles: tuple[int, int]
    energy_range: tuple[float, float]
    split: str = "train"
    threshold: float = 0.5
    detector: str = "hgcal"

    def maker(
        self, n_particles: int | None, library: Library | Sequence[Library] | None
    ) -> Callable[[np.random.Generator, int], Event]:
        """A function that makes the event with a random generator and a number; see `SimulatedEvents`."""
        pools = {k: _Pool(self, k, library) for k in self.kinds}

        def make(rng: np.random.Generator, number: int) -> Event:
            n = int(rng.integers(self.n_particles[0], self.n_particles[1] + 1))
            n = n if n_particles is None else n_particles
            energy = rng.uniform(*self.energy_range, size=n)
            kind = rng.integers(len(self.kinds), size=n)
            near = rng.random(n)
            symmetry = rng.integers(N_SYMMETRIES, size=n)
            showers, taken = [], set[tuple[str, int]]()
            for k, e, u in zip(kind, energy, near, strict=True):
                pool = pools[self.kinds[k]]
                at = pool.pick(e, u, taken)
                taken.add((pool.kind, at))
                showers.append(pool.library[at])
            return overlay(showers, symmetry, threshold=self.threshold, detector=self.detector, number=number)

        return make


AnySample = Sample | SlabSample


def _samples() -> dict[str, Sample]:
    """All samples by name: each with its validation, tuning and test companion."""
    em, had = ("em",), ("had",)
    train = (
        Sample("compact-em", em, (2, 6), (10.0, 100.0)),
        Sample("compact-had", had, (2, 5), (10.0, 100.0)),
        Sample("compact-mixed", em + had, (2, 5), (10.0, 100.0)),
        Sample("paper-em", em, (2, 10), (30.0, 400.0)),
        Sample("paper-had", had, (2, 7), (30.0, 400.0)),
        Sample("paper-mixed", em + had, (2, 7), (30.0, 250.0)),
    )
    test = {"compact": ((1, 15), (10.0, 200.0)), "paper": ((1, 30), (30.0, 600.0))}
    out: dict[str, Sample] = {}
    for s in train:
        number, energies = test[s.name.split("-")[0]]
        out[s.name] = s
        for split in ("validation", "tuning"):
            out[f"{s.name}-{split}"] = replace(s, name=f"{s.name}-{split}", split=split)
        out[f"{s.name}-test"] = replace(
            s, name=f"{s.name}-test", split="test", n_particles=number, energy_range=energies
        )
    return out


SAMPLES: dict[str, Sample] = _samples()


def sample(name: str) -> AnySample:
    """A sample by its name.

    Parameters
    ----------
    name : str
        ``compact-em``, ``compact-had``, ``compact-mixed`` (2-6, 2-5 and 2-5 particles of 10-100 GeV: made for a CPU),
        ``paper-em``, ``paper-had`` (2-10 and 2-7 particles of 30-400 GeV) or ``paper-mixed`` (2-7, 30-250 GeV), for
        training. With ``-validation`` or ``-tuning`` the same spectrum from other showers, the second being the
        auxiliary sample that readouts are tuned on; with ``-test`` 1-15 particles of 10-200 GeV (compact) or 1-30 of
        30-600 GeV (paper), from showers used for nothing else. For particle flow in the slab detector ``rho``,
        ``pi-gun-2-5``, ``-5-10``, ``-10-15``, ``-15-20``, ``-2-20`` and ``jets``, with the same companions, all of one
        spectrum: see `cmlflow.simulation.flow`.

    Raises
    ------
    ValueError
        Lists the names there are.

    Notes
    -----
    The packaged library has few showers above 100 GeV (88 electrons and 100 pions in training), so ``paper-*`` events
    use each of them often. For a study at these energies simulate a library with
    `cmlflow.simulation.geant4.simulate_showers` and pass it as ``library=``.

    References
    ----------
    Contrastive Metric Learning for Point Cloud Segmentation in Highly Granular Detectors, arXiv:2603.23356, III.1.
    """
    found = SAMPLES.get(name) or SLAB_SAMPLES.get(name)
    if found is None:
        raise ValueError(f"sample {name!r} is not known; there are {', '.join([*SAMPLES, *SLAB_SAMPLES])}")
    return found


class SimulatedEvents(Sequence[Event]):
    """Events of a sample, each made when it is asked for.

    Event i depends on seed, epoch and i alone: any subset, in any order and in any process, gives the same events.

    The energy of a particle is drawn first; the shower is one of the eight nearest in energy among those of its kind,
    the sample's split and energy range, put through one of the 8 symmetries of the grid; no shower appears twice in an
    event as long as there are others. The particle has the energy with which its shower was simulated. In the slab
    detector showers are scaled in energy instead: `cmlflow.simulation.flow`.

    Parameters
    ----------
    sample : str, Sample or SlabSample
        Name (see `sample`) or description.
    n_events : int
    seed : int, default 0
    n_particles : int, optional
        The same number of particles in every event, in place of the sample's range; not for those of one decay.
    library : ShowerLibrary, path or sequence of these, optional
        Where showers come from; the packaged library of the sample's kinds by default.
    epoch : int, default 0

    Raises
    ------
    ValueError
        For an unknown sample, a negative number, or (on access) a library without a shower that fits.
    """

    def __init__(
        self,
        sample: str | AnySample,
        n_events: int,
        seed: int = 0,
        n_particles: int | None = None,
        library: Library | Sequence[Library] | None = None,
        epoch: int = 0,
    ) -> None:
        self.sample = _named(sample)
        for name, value, least in (("n_events", n_events, 0), ("seed", seed, 0), ("epoch", epoch, 0)):
            if value is None or int(value) != value or value < least:
                raise ValueError(f"{name} is {value}, expected an integer of {least} or more")
        if n_particles is not None and n_particles < 0:
            raise ValueError(f"n_particles is {n_particles}, expected 0 or more")
        self.n_events, self.seed, self.epoch = int(n_events), int(seed), int(epoch)
        self.n_particles = None if n_particles is None else int(n_particles)
        self.library = library
        self._make: Callable[[np.random.Generator, int], Event] | None = None

    def set_epoch(self, epoch: int) -> None:
        """Switch to another reproducible set of events: new ones for each epoch of a training."""
        if epoch < 0:
            raise ValueError(f"epoch is {epoch}, expected 0 or more")
        self.epoch = int(epoch)

    def __len__(self) -> int:
        return self.n_events

    @overload
    def __getitem__(self, item: int) -> Event: ...
    @overload
    def __getitem__(self, item: slice) -> EventStore: ...

    def __getitem__(self, item: Any) -> Event | EventStore:
        if isinstance(item, slice):
            return EventStore(self)[item]
        i = int(item)
        if not -self.n_events <= i < self.n_events:
            raise IndexError(f"event {i} asked for, but there are {self.n_events}")
        i %= self.n_events
        if self._make is None:
            self._make = self.sample.maker(self.n_particles, self.library)
        return self._make(np.random.default_rng([self.seed, self.epoch, i]), i)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_make": None}

    def __repr__(self) -> str:
        return f"<SimulatedEvents {self.sample.name}: {self.n_events} events, seed {self.seed}, epoch {self.epoch}>"


def simulate(
    sample: str | AnySample,
    n_events: int,
    seed: int = 0,
    *,
    n_particles: int | None = None,
    library: Library | Sequence[Library] | None = None,
) -> EventStore:
    """Make the events of a sample, in memory.

    Parameters
    ----------
    sample : str, Sample or SlabSample
        Name (see `cmlflow.simulation.sample`) or description.
    n_events : int
    seed : int, default 0
        The same seed gives the same events, whatever ``n_events``.
    n_particles : int, optional
        The same number of particles in every event: tests by multiplicity.
    library : ShowerLibrary, path or sequence of these, optional
        Where showers come from; the packaged library by default.

    Returns
    -------
    EventStore
        Numbered 0..n_events-1.

    See Also
    --------
    SimulatedEvents : the same events made on access, with fresh ones each epoch.

    Examples
    --------
    >>> import cmlflow
    >>> cmlflow.simulate("compact-em", n_events=2, seed=1)
    <EventStore: 2 events>
    """
    return EventStore(list(SimulatedEvents(sample, n_events, seed, n_particles, library)))


class _Pool:
    """The showers one kind of particle of a sample can have, by energy."""

    NEIGHBOURS = 8

    def __init__(self, s: Sample, kind: str, library: Library | Sequence[Library] | None) -> None:
        self.kind = kind
        if library is None:
            self.library = ShowerLibrary.packaged(f"{s.detector}-{kind}")
        else:
            several = [library] if isinstance(library, (ShowerLibrary, str, Path)) else list(library)
            opened = [v if isinstance(v, ShowerLibrary) else ShowerLibrary.load(v) for v in several]
            self.library = opened[0] if len(opened) == 1 else ShowerLibrary.concatenate(opened)
        found = self.library.find(s.split, KINDS[kind], s.energy_range)
        if not len(found):
            low, high = s.energy_range
            raise ValueError(
                f"sample {s.name}: the library has no {s.split} shower of kind {kind} (pdg_id "
                f"{' or '.join(map(str, KINDS[kind]))}) between {low:g} and {high:g} GeV"
            )
        self.shower = found[np.argsort(self.library.energy[found], kind="stable")]
        self.energy = self.library.energy[self.shower].astype(np.float64)

    def pick(self, energy: float, u: float, taken: set[tuple[str, int]]) -> int:
        """One of the nearest unused showers in energy [GeV], chosen by u in [0, 1)."""
        reach = self.NEIGHBOURS + len(taken)
        at = int(np.searchsorted(self.energy, energy))
        near = np.arange(max(0, at - reach), min(len(self.energy), at + reach))
        near = near[np.argsort(np.abs(self.energy[near] - energy), kind="stable")]
        showers = [int(i) for i in self.shower[near]]
        showers = [i for i in showers if (self.kind, i) not in taken] or showers
        nearest = showers[: self.NEIGHBOURS]
        return nearest[int(u * len(nearest))]


def _named(value: str | AnySample) -> AnySample:
    return sample(value) if isinstance(value, str) else value
