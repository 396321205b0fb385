"""EDM4hep ROOT files (key4hep): simulated calorimeter hits with the contributions of the particles."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmlflow.event import UNKNOWN, Deposits, Event, IntArray, Particles
from cmlflow.event.arrays import whole, whole_number
from cmlflow.io.blocks import BlockEvents
from cmlflow.io.files import FormatError, PathLike
from cmlflow.io.podio import collection_ids, collections_of, decode, encodings, relation
from cmlflow.io.root import Jagged, check_counts, entry_edges, open_root, open_tree, read_jagged

TREE = "events"
_HEADER = "EventHeader/EventHeader.eventNumber"
_CONTRIBUTIONS = ("Contributions", "Contribution")
_HIT = ("cellID", "energy", "position.x", "position.y", "position.z", "contributions_begin", "contributions_end")
_PARTICLE = ("PDG", "generatorStatus", "mass", "momentum.x", "momentum.y", "momentum.z", "parents_begin", "parents_end")


class Edm4hepEvents(BlockEvents):
    """Events of an EDM4hep file, read in blocks of entries when asked for.

    Parameters
    ----------
    path : path-like
    collections : sequence of str, optional
        Collections of SimCalorimeterHit to read; all of them by default, in the order of the file.
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
        Where there is no such file.
    FormatError
        Names the file, and the collection, branch or event at fault.

    Notes
    -----
    Positions are converted from mm to cm; hit and particle energies stay in GeV. The layer is the field `layer` of the
    cell number, counted within each calorimeter as its geometry does, or 0 where no encoding is known. Each
    contribution belongs to the primary from which its particle descends: the first ancestor with generatorStatus 1,
    or without a parent. Particles of an event are those with generatorStatus 1 and those that left energy, in
    the order of MCParticles. Where that collection is not stored, the numbers that the contributions name stand for
    the particles, whose kind and energy are unknown. Hits without contributions belong to an unknown particle.
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
        names = {branch.name for branch in tree.branches}
        there = collections_of(tree, "SimCalorimeterHit")
        if isinstance(collections, str):
            collections = [collections]
        self.collections = list(there if collections is None else collections)
        unknown = [name for name in self.collections if name not in there]
        if unknown or not there:
            raise FormatError(
                f"{self.path} has no SimCalorimeterHit collection {', '.join(unknown)}; it has "
                f"{', '.join(there) or 'none'}"
            )
        self._detector = detector
        with open_root(self.path) as file:
            self._ids = collection_ids(file)
            told = encodings(file, self._ids)
        given = {} if encoding is None else encoding
        self._encoding = told | (dict.fromkeys(self.collections, given) if isinstance(given, str) else dict(given))
        self._sources = [_Source.of(names, name) for name in self.collections]
        particles = collections_of(tree, "MCParticle")
        self._truth = next((n for n in ("MCParticles", "MCParticle", *particles) if n in particles), None)
        branches = [b for source in self._sources for b in source.branches()]
        self._groups = [[b for b in source.branches() if b.startswith(f"{source.name}/")] for source in self._sources]
        if self._truth is not None:
            own = [f"{self._truth}/{self._truth}.{leaf}" for leaf in _PARTICLE]
            parents = relation(names, self._truth, "parents", 0)
            self._parents = None if parents is None else f"{parents}/{parents}.index"
            branches += own + ([] if self._parents is None else [self._parents])
        self._branches = branches + ([_HEADER] if "EventHeader" in names else [])
        missing = [b for b in self._branches if b not in tree]
        if missing:
            raise FormatError(f"{self.path}: tree {TREE} lacks the branches {', '.join(missing)}")
        self._edges = entry_edges(tree, self._branches, step_size)

    def _open(self) -> Any:
        return open_tree(self.path, TREE, ())

    def _load(self, block: int) -> dict[str, Jagged]:
        start, stop = int(self._edges[block]), int(self._edges[block + 1])
        arrays = read_jagged(self.path, self._handle, self._branches, start, stop)
        for group in self._groups:
            check_counts(self.path, start, {b: arrays[b] for b in group})
        return arrays

    def _event(self, arrays: dict[str, Jagged], i: int, entry: int) -> Event:
        parts = [self._hits(source, arrays, i) for source in self._sources]
        first = np.cumsum([0, *(len(part.energy) for part in parts)])
        hit = np.concatenate([part.hit + offset for part, offset in zip(parts, first, strict=False)])
        named = np.concatenate([part.particle for part in parts])
        share = np.concatenate([part.share for part in parts])
        particle, particles = self._particles(arrays, i, named)
        energy = np.concatenate([part.energy for part in parts])
        empty = np.setdiff1d(np.arange(len(energy)), hit)
        header = arrays.get(_HEADER)
        return Event(
            np.concatenate([part.position for part in parts]) / 10,
            energy,
            np.concatenate([part.layer for part in parts]),
            deposits=_summed(
                np.concatenate((hit, empty)),
                np.concatenate((particle, np.full(len(empty), UNKNOWN))),
                np.concatenate((share, energy[empty])),
            ),
            particles=particles,
            detector=self._detector,
            number=entry if header is None or not len(header[i]) else whole_number(header[i][0], _HEADER),
        )

    def _hits(self, source: _Source, arrays: dict[str, Jagged], i: int) -> _Hits:
        cell, energy, x, y, z, begin, end = (arrays[f"{source.name}/{source.name}.{leaf}"][i] for leaf in _HIT)
        for leaf, values in (("energy", energy), ("position", x + y + z)):
            bad = ~np.isfinite(values) | ((values < 0) & (leaf == "energy"))
            if bad.any():
                at = int(np.flatnonzero(bad)[0])
                raise ValueError(
                    f"{leaf} of hit {at} of {source.name} is {values[at]}, expected finite and not negative"
                )
        layer = np.zeros(len(energy), np.int64)
        if source.name in self._encoding:
            layer = decode(
                whole(cell, f"{source.name}.cellID") if cell.dtype.kind == "f" else cell,
                self._encoding[source.name],
                "layer",
            )
        out = _Hits(np.stack((x, y, z), axis=1), energy, layer)
        if source.links is None or source.contributions is None or source.particle is None:
            return out
        begin, end = (whole(v, f"{source.name}.contributions") for v in (begin, end))
        counts = end - begin
        refs = whole(arrays[f"{source.links}/{source.links}.index"][i], f"{source.links}.index", "entry")
        shares = arrays[f"{source.contributions}/{source.contributions}.energy"][i]
        index = whole(arrays[f"{source.particle}/{source.particle}.index"][i], f"{source.particle}.index", "entry")
        number = whole(
            arrays[f"{source.particle}/{source.particle}.collectionID"][i], f"{source.particle}.collectionID", "entry"
        )
        if (counts < 0).any() or end.max(initial=0) > len(refs):
            raise ValueError(f"{source.name} names contributions up to {end.max(initial=0)}, but has {len(refs)}")
        which = refs[np.repeat(begin - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())]
        if len(which) and not 0 <= which.min() <= which.max() < min(len(shares), len(index)):
            raise ValueError(
                f"{source.contributions} has {len(shares)} entries and {len(index)} particles, but "
                f"{source.name} names entry {which.max()}"
            )
        if self._truth in self._ids:  # links into other collections of particles than the one that is read
            index = np.where(number == self._ids[str(self._truth)], index, UNKNOWN)
        particle = np.maximum(index[which], UNKNOWN)
        return _Hits(out.position, energy, layer, np.repeat(np.arange(len(energy)), counts), particle, shares[which])

    def _particles(self, arrays: dict[str, Jagged], i: int, named: IntArray) -> tuple[IntArray, Particles]:
        """Particles of the event, and the one of each contribution."""
        if self._truth is None:
            which, local = np.unique(named[named >= 0], return_inverse=True)
            out = np.full(len(named), UNKNOWN, np.int64)
            out[named >= 0] = local
            return out, Particles.unknown(len(which))
        columns = (arrays[f"{self._truth}/{self._truth}.{leaf}"][i] for leaf in _PARTICLE)
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


@dataclass(frozen=True)
class _Source:
    """A collection of hits and the branches of its contributions and their particles, where they are stored."""

    name: str
    links: str | None
    contributions: str | None
    particle: str | None

    @classmethod
    def of(cls, branches: Collection[str], name: str) -> _Source:
        contributions = next((f"{name}{end}" for end in _CONTRIBUTIONS if f"{name}{end}" in branches), None)
        particle = None if contributions is None else relation(branches, contributions, "particle", 0)
        return cls(name, relation(branches, name, "contributions", 0), contributions, particle)

    def branches(self) -> list[str]:
        out = [f"{self.name}/{self.name}.{leaf}" for leaf in _HIT]
        if self.links is not None and self.contributions is not None and self.particle is not None:
            out += [f"{self.links}/{self.links}.index", f"{self.contributions}/{self.contributions}.energy"]
            out += [f"{self.particle}/{self.particle}.{leaf}" for leaf in ("index", "collectionID")]
        return out


def _no_ints() -> IntArray:
    return np.zeros(0, np.int64)


@dataclass(frozen=True)
class _Hits:
    """Hits of one collection in one event [mm, GeV], and the contributions to them."""

    position: NDArray[Any]
    energy: NDArray[Any]
    layer: IntArray
    hit: IntArray = field(default_factory=_no_ints)
    particle: IntArray = field(default_factory=_no_ints)
    share: NDArray[Any] = field(default_factory=_no_ints)


def primaries(status: NDArray[Any], begin: IntArray, end: IntArray, parents: IntArray) -> IntArray:
    """The primary from which each particle descends.

    Parameters
    ----------
    status : ndarray of shape (n_particles,), int
        generatorStatus; 1 is a primary that the simulation was given.
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
        Where a parent is not among the particles, or particles descend from themselves.
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
