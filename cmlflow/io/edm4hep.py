"""EDM4hep ROOT files (key4hep): simulated calorimeter hits with the contributions of the particles."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmlflow.event import UNKNOWN, Deposits, Event, IntArray, Particles
from cmlflow.event.arrays import whole, whole_number
from cmlflow.io.blocks import BlockEvents
from cmlflow.io.files import FormatError, PathLike
from cmlflow.io.podio import collection_ids, collection_types, collections_of, encodings, leaf_of, relation, top_level
from cmlflow.io.podio_cells import Cells, cells_of, links_of
from cmlflow.io.podio_hits import Source, Steps, hits_of
from cmlflow.io.root import Jagged, check_counts, entry_edges, open_root, open_tree, read_jagged

TREE = "events"
SCANNED_EVENTS = 10
_HEADER = ("EventHeader", "eventNumber")
_PARTICLE = ("PDG", "generatorStatus", "mass", "momentum.x", "momentum.y", "momentum.z", "parents_begin", "parents_end")


class Edm4hepEvents(BlockEvents):
    """Events of an EDM4hep file, read in blocks of entries on access.

    Parameters
    ----------
    path : path-like
    collections : sequence of str, optional
        Collections of SimCalorimeterHit to read; all of them by default, in the order of the file. Or those of
        CalorimeterHit, after the others; they are read by default where there are none of SimCalorimeterHit.
    encoding : str or mapping of str to str, optional
        How cell numbers are packed, for all collections or by name, such as ``"system:5,side:-2,layer:9"``, where the
        file does not tell.
    detector : str, default "edm4hep"
        Name given to the events.
    step_size : int or str, default "64 MB"
        Events per block, or the memory a block may take.
    cache : int, default 2
        Blocks kept in memory.

    Raises
    ------
    FileNotFoundError
        No such file.
    FormatError
        Names the file, and the collection, branch or event at fault.

    Notes
    -----
    Positions are converted from mm to cm; hit and particle energies stay in GeV. The layer is the field `layer` of the
    cell number, counted within each calorimeter as its geometry does, or 0 where no encoding is known. Each
    contribution belongs to the primary from which its particle descends: the first ancestor with generatorStatus 1,
    or without a parent. Particles of an event are those with generatorStatus 1 and those that left energy, in
    the order of MCParticles. The contributions of a hit are those that its relation names by the number of their
    collection; where the file has no table of numbers, those of the collection that is called after the hits. The
    feature ``time`` [ns] of a hit is the mean time of its contributions, weighted with their energies. Frames may be
    TTrees of any layout of podio, or RNTuples. Where MCParticles are not stored, the numbers that the contributions
    name stand for the particles, whose kind and energy are unknown. Hits without contributions belong to an unknown
    particle. Truth that no hit refers to causes a warning. Reconstructed hits (CalorimeterHit) have a time of their
    own; links from them to MCParticles, normalised by their weights, are the shares of the particles.
    """

    def __init__(
        self,
        path: PathLike,
        *,
        collections: Sequence[str] | None = None,
        encoding: str | Mapping[str, str] | None = None,
        detector: str = "edm4hep",
        step_size: int | str = "64 MB",
        cache: int = 2,
    ) -> None:
        super().__init__(path, cache)
        tree = self._handle
        names = {str(branch.name) for branch in top_level(tree)}
        with open_root(self.path) as file:
            self._ids, types = collection_ids(file), collection_types(file)
            told = encodings(file, self._ids)
        simulated = collections_of(tree, "SimCalorimeterHit", types)
        there = simulated + collections_of(tree, "CalorimeterHit", types)
        if isinstance(collections, str):
            collections = [collections]
        self.collections = list((simulated or there) if collections is None else collections)
        unknown = [name for name in self.collections if name not in there]
        if unknown or not there:
            raise FormatError(
                f"{self.path} has no SimCalorimeterHit collection {', '.join(unknown)}; it has "
                f"{', '.join(there) or 'none'}"
            )
        self._detector = detector
        given = {} if encoding is None else encoding
        self._encoding = told | (dict.fromkeys(self.collections, given) if isinstance(given, str) else dict(given))
        steps = collections_of(tree, "CaloHitContribution", types)
        self._sources = [Source.of(tree, name, steps) for name in self.collections if name in simulated]
        self._cells = [Cells.of(tree, name) for name in self.collections if name not in simulated]
        self._links = links_of(tree) if self._cells else []
        self._steps = [Steps.of(tree, name) for name in steps] if self._sources else []
        particles = collections_of(tree, "MCParticle", types)
        self._truth = self._named(particles) if len(particles) > 1 else next(iter(particles), None)
        branches = [b for source in self._sources for b in source.branches()]
        branches += [b for one in self._steps for b in one.branches()]
        branches += [b for link in self._links for b in link.branches()]
        self._groups = [list(source.leaves.values()) for source in self._sources]
        self._groups += [list(cells.leaves.values()) for cells in self._cells]
        branches += [b for cells in self._cells for b in cells.leaves.values()]
        if self._truth is not None:
            self._own = [leaf_of(tree, self._truth, leaf) for leaf in _PARTICLE]
            parents = relation(names, self._truth, "parents", 0)
            self._parents = None if parents is None else leaf_of(tree, parents, "index")
            branches += self._own + ([] if self._parents is None else [self._parents])
        self._header = leaf_of(tree, *_HEADER) if _HEADER[0] in names else None
        self._branches = list(dict.fromkeys(branches + ([] if self._header is None else [self._header])))
        missing = [b for b in self._branches if b not in tree]
        if missing:
            raise FormatError(f"{self.path}: tree {TREE} lacks the branches {', '.join(missing)}")
        self._told = False
        self._edges = entry_edges(tree, self._branches, step_size)

    def _named(self, particles: Sequence[str]) -> str:
        """The collection of particles that the contributions of the first events name most, or the usual one."""
        usual = next(n for n in ("MCParticles", "MCParticle", *particles) if n in particles)
        branches = [one.particle[1] for one in self._steps if one.particle is not None]
        if not branches or not any(name in self._ids for name in particles):
            return usual
        some = read_jagged(self.path, self._handle, branches, 0, min(SCANNED_EVENTS, int(self._handle.num_entries)))
        numbers = np.concatenate([column.values for column in some.values()])
        counts = {name: int((numbers == self._ids[name]).sum()) for name in particles if name in self._ids}
        best = max(counts, key=lambda name: (counts[name], name == usual))
        return best if counts[best] else usual

    def _open(self) -> Any:
        return open_tree(self.path, TREE, ())

    def _load(self, block: int) -> dict[str, Jagged]:
        start, stop = int(self._edges[block]), int(self._edges[block + 1])
        arrays = read_jagged(self.path, self._handle, self._branches, start, stop)
        for group in self._groups:
            check_counts(self.path, start, {b: arrays[b] for b in group})
        self._tell(arrays)
        return arrays

    def _event(self, arrays: dict[str, Jagged], i: int, entry: int) -> Event:
        steps = [one.of_event(arrays, i) for one in self._steps]
        parts = [
            hits_of(source, arrays, i, steps, self._ids, self._encoding.get(source.name)) for source in self._sources
        ]
        encoding = self._encoding
        parts += [cells_of(c, arrays, i, self._links, self._ids, encoding.get(c.name)) for c in self._cells]
        first = np.cumsum([0, *(len(part.energy) for part in parts)])
        hit = np.concatenate([part.hit + offset for part, offset in zip(parts, first, strict=False)])
        index = np.concatenate([part.particle for part in parts])
        if self._truth in self._ids:  # links into other collections of particles than the one that is read
            number = np.concatenate([part.collection for part in parts])
            index = np.where(number == self._ids[str(self._truth)], index, UNKNOWN)
        named = np.maximum(index, UNKNOWN)
        share = np.concatenate([part.share for part in parts])
        time = np.concatenate([part.time for part in parts])
        particle, particles = self._particles(arrays, i, named)
        energy = np.concatenate([part.energy for part in parts])
        empty = np.setdiff1d(np.arange(len(energy)), hit)
        header = None if self._header is None else arrays[self._header][i]
        return Event(
            np.concatenate([part.position for part in parts]) / 10,
            energy,
            np.concatenate([part.layer for part in parts]),
            features={"time": time} if self._cells or any(one.time is not None for one in self._steps) else None,
            deposits=_summed(
                np.concatenate((hit, empty)),
                np.concatenate((particle, np.full(len(empty), UNKNOWN))),
                np.concatenate((share, energy[empty])),
            ),
            particles=particles,
            detector=self._detector,
            number=entry if header is None or not len(header) else whole_number(header[0], self._header or ""),
        )

    def _tell(self, arrays: dict[str, Jagged]) -> None:
        """Warn once if the file has truth that no hit of a block refers to."""
        there = [name for name in (self._truth, *(one.name for one in self._steps)) if name is not None]
        if self._told or not there or not any(len(arrays[group[0]].values) for group in self._groups):
            return
        text = None
        linked = [source for source in self._sources if source.links is not None]
        if not self._sources:
            hits, end = (
                [self._ids[c.name] for c in self._cells if c.name in self._ids],
                self._ids.get(str(self._truth), -1),
            )
            if not any(link.leads(arrays, hits, end) for link in self._links):
                text = f"no link leads from {', '.join(self.collections)} to {self._truth}"
        elif not self._steps:
            text = "there are no contributions to hits"
        elif not linked:
            text = f"no relation leads from {', '.join(self.collections)} to contributions"
        elif not any(source.leads_to(self._steps, arrays, self._ids) for source in linked):
            text = f"the relations of {', '.join(s.name for s in linked)} lead to none of the stored contributions"
        elif not any(one.particle for one in self._steps):
            text = f"no relation leads from {', '.join(one.name for one in self._steps)} to particles"
        elif self._truth in self._ids:
            named = [arrays[one.particle[1]].values for one in self._steps if one.particle is not None]
            if not any((numbers == self._ids[str(self._truth)]).any() for numbers in named):
                text = f"the contributions name particles of another collection than {self._truth}"
        if text is not None:
            self._told = True
            warnings.warn(f"{self.path} has {', '.join(there)}, but no truth is found: {text}", stacklevel=2)

    def _particles(self, arrays: dict[str, Jagged], i: int, named: IntArray) -> tuple[IntArray, Particles]:
        """Particles of the event, and the one of each contribution."""
        if self._truth is None:
            which, local = np.unique(named[named >= 0], return_inverse=True)
            out = np.full(len(named), UNKNOWN, np.int64)
            out[named >= 0] = local
            return out, Particles.unknown(len(which))
        columns = (arrays[leaf][i] for leaf in self._own)
        pdg_id, status, mass, px, py, pz, begin, end = columns
        names = ("PDG", "generatorStatus", "parents_begin", "parents_end")
        pdg_id, status, begin, end = (
            whole(v, f"{self._truth}.{name}", "particle")
            for name, v in zip(names, (pdg_id, status, begin, end), strict=True)
        )
        if named.max(initial=UNKNOWN) >= len(pdg_id):
            raise ValueError(f"contributions name particle {named.max()}, but {self._truth} has {len(pdg_id)}")
        parents = (
            np.zeros(0, np.int64) if self._parents is None else whole(arrays[self._parents][i], self._parents, "entry")
        )
        origin = primaries(status, begin, end, parents)
        root = np.append(origin, UNKNOWN)[named]
        which = np.union1d(np.flatnonzero(status == 1), root[root >= 0]).astype(np.int64)
        place = np.full(len(pdg_id) + 1, UNKNOWN)
        place[which] = np.arange(len(which))
        momentum = np.stack((px, py, pz), axis=1).astype(np.float64)[which]
        size = np.linalg.norm(momentum, axis=1)
        direction = np.divide(momentum, size[:, None], out=np.full_like(momentum, np.nan), where=size[:, None] > 0)
        energy = np.hypot(size, mass[which].astype(np.float64)).astype(np.float32)
        return place[root], Particles(pdg_id[which], energy, direction.astype(np.float32))


def primaries(status: NDArray[Any], begin: IntArray, end: IntArray, parents: IntArray) -> IntArray:
    """The primary from which each particle descends.

    Parameters
    ----------
    status : ndarray of shape (n_particles,), int
        generatorStatus; 1 for primaries of the simulation.
    begin, end : ndarray of shape (n_particles,), int64
        Which of `parents` are a particle's own; the first one is followed.
    parents : ndarray of int64

    Returns
    -------
    ndarray of shape (n_particles,), int64
        A primary's own place is itself.

    Raises
    ------
    ValueError
        A parent is not among the particles, or particles descend from themselves.
    """
    n = len(status)
    up = np.arange(n)
    child = (status != 1) & (end > begin)
    if (end[child] > len(parents)).any():
        raise ValueError(f"particles name parents up to {end[child].max()}, but there are {len(parents)}")
    above = parents[begin[child]] if child.any() else np.zeros(0, np.int64)
    if (above >= n).any():
        raise ValueError(f"a particle has parent {above.max()}, but there are {n} particles")
    up[child] = np.where(above >= 0, above, up[child])
    for _ in range(max(n, 1).bit_length()):
        up = up[up]
    if (up[up] != up).any():
        raise ValueError(f"particle {int(np.flatnonzero(up[up] != up)[0])} descends from itself")
    return up


def _summed(hit: IntArray, particle: IntArray, energy: NDArray[Any]) -> Deposits:
    """One deposit for every particle in a hit."""
    width = int(particle.max(initial=UNKNOWN)) + 2
    pair, where = np.unique(hit * width + particle + 1, return_inverse=True)
    total = np.bincount(where, energy, len(pair)).astype(np.float32)
    return Deposits(pair // width, pair % width - 1, total)
