"""Hits of podio's collections, and the contributions that their relations name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmlflow.event import UNKNOWN, IntArray
from cmlflow.event.arrays import whole
from cmlflow.io.podio import decode, leaf_of, relation, top_level
from cmlflow.io.root import Jagged

_HIT = ("cellID", "energy", "position.x", "position.y", "position.z", "contributions_begin", "contributions_end")
_ENDS = ("Contributions", "Contribution")


@dataclass(frozen=True)
class Source:
    """A collection of hits, and the relation to their contributions.

    Attributes
    ----------
    name : str
    leaves : dict of str to str
        Branches of the members.
    links : tuple of (str, str), optional
        Branches of the index and of the collection's number of each link.
    usual : str, optional
        Collection of contributions that is called after the hits, or the only one.
    """

    name: str
    leaves: dict[str, str]
    links: tuple[str, str] | None
    usual: str | None

    @classmethod
    def of(cls, tree: Any, name: str, steps: Sequence[str]) -> Source:
        """From what a file has; `steps` are its collections of contributions."""
        names = [str(branch.name) for branch in top_level(tree)]
        links = relation(names, name, "contributions", 0)
        usual = next((f"{name}{end}" for end in _ENDS if f"{name}{end}" in steps), None)
        return cls(
            name,
            {leaf: leaf_of(tree, name, leaf) for leaf in _HIT},
            None if links is None else (leaf_of(tree, links, "index"), leaf_of(tree, links, "collectionID")),
            steps[0] if usual is None and len(steps) == 1 else usual,
        )

    def branches(self) -> list[str]:
        """All branches that are read."""
        return [*self.leaves.values(), *(self.links or ())]

    def leads_to(self, steps: Sequence[Steps], arrays: Mapping[str, Jagged], ids: Mapping[str, int]) -> bool:
        """Whether some link of a block leads to stored contributions, or there are no links in it."""
        numbers = np.zeros(0, np.int64) if self.links is None else arrays[self.links[1]].values
        known = [ids[one.name] for one in steps if one.name in ids]
        return not len(numbers) or bool(np.isin(numbers, known).any() if known else self.usual is not None)


@dataclass(frozen=True)
class Steps:
    """A collection of contributions and the relation to their particles."""

    name: str
    energy: str
    time: str | None
    particle: tuple[str, str] | None

    @classmethod
    def of(cls, tree: Any, name: str) -> Steps:
        """From what a file has."""
        names = [str(branch.name) for branch in top_level(tree)]
        links, time = relation(names, name, "particle", 0), leaf_of(tree, name, "time")
        particle = None if links is None else (leaf_of(tree, links, "index"), leaf_of(tree, links, "collectionID"))
        return cls(name, leaf_of(tree, name, "energy"), time if time in tree else None, particle)

    def branches(self) -> list[str]:
        """All branches that are read."""
        return [self.energy, *(self.particle or ()), *([] if self.time is None else [self.time])]

    def of_event(self, arrays: Mapping[str, Jagged], i: int) -> EventSteps:
        """The contributions of entry `i` of a block."""
        energy = arrays[self.energy][i]
        n = len(energy)
        unknown = np.full(n, UNKNOWN, np.int64)
        index, collection = (unknown, unknown) if self.particle is None else (arrays[b][i] for b in self.particle)
        if len(index) != n:
            raise ValueError(f"{self.name} has {n} entries, but {len(index)} particles")
        time = np.full(n, np.nan) if self.time is None else arrays[self.time][i]
        index, collection = (whole(v, f"particle of {self.name}", "entry") for v in (index, collection))
        return EventSteps(self.name, energy, time, index, collection)


@dataclass(frozen=True)
class EventSteps:
    """The contributions of one collection in one event: energy [GeV], time [ns], particle and its collection."""

    name: str
    energy: NDArray[Any]
    time: NDArray[Any]
    particle: IntArray
    collection: IntArray


def _no_ints() -> IntArray:
    return np.zeros(0, np.int64)


@dataclass(frozen=True)
class Hits:
    """Hits of one collection in one event [mm, GeV, ns], and the contributions to them."""

    position: NDArray[Any]
    energy: NDArray[Any]
    layer: IntArray
    time: NDArray[np.float64]
    hit: IntArray = field(default_factory=_no_ints)
    particle: IntArray = field(default_factory=_no_ints)
    collection: IntArray = field(default_factory=_no_ints)
    share: NDArray[Any] = field(default_factory=_no_ints)


def hits_of(
    source: Source,
    arrays: Mapping[str, Jagged],
    i: int,
    steps: Sequence[EventSteps],
    ids: Mapping[str, int],
    encoding: str | None,
) -> Hits:
    """The hits of entry `i` of a block.

    Parameters
    ----------
    source : Source
    arrays : mapping of str to Jagged
        Branches of the block.
    i : int
    steps : sequence of EventSteps
        All contributions of the event.
    ids : mapping of str to int
        Number of each collection, by which relations name it; may be empty.
    encoding : str, optional
        How cell numbers are packed.

    Raises
    ------
    ValueError
        Names the collection, and the hit or link at fault.
    """
    cell, energy, x, y, z, begin, end = (arrays[source.leaves[leaf]][i] for leaf in _HIT)
    for leaf, values in (("energy", energy), ("position", x + y + z)):
        bad = ~np.isfinite(values) | ((values < 0) & (leaf == "energy"))
        if bad.any():
            at = int(np.flatnonzero(bad)[0])
            raise ValueError(f"{leaf} of hit {at} of {source.name} is {values[at]}, expected finite and not negative")
    n = len(energy)
    cell = whole(cell, f"{source.name}.cellID") if cell.dtype.kind == "f" else cell
    layer = np.zeros(n, np.int64) if encoding is None else decode(cell, encoding, "layer")
    position = np.stack((x, y, z), axis=1)
    if source.links is None or not steps:
        return Hits(position, energy, layer, np.full(n, np.nan))
    index, number = (whole(arrays[branch][i], branch, "entry") for branch in source.links)
    begin, end = (whole(v, f"{source.name}.contributions") for v in (begin, end))
    counts = end - begin
    if (counts < 0).any() or end.max(initial=0) > len(index):
        raise ValueError(f"{source.name} names contributions up to {end.max(initial=0)}, but has {len(index)}")
    which = np.repeat(begin - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
    hit = np.repeat(np.arange(n), counts)
    place = _place(source, index[which], number[which], steps, ids)
    hit, place = hit[place >= 0], place[place >= 0]
    share = np.concatenate([one.energy for one in steps])[place]
    moment = np.concatenate([one.time for one in steps]).astype(np.float64)[place] * share
    total = np.bincount(hit, share, n)
    time = np.divide(np.bincount(hit, moment, n), total, out=np.full(n, np.nan), where=total > 0)
    particle = np.concatenate([one.particle for one in steps])[place]
    collection = np.concatenate([one.collection for one in steps])[place]
    return Hits(position, energy, layer, time, hit, particle, collection, share)


def _place(
    source: Source, index: IntArray, number: IntArray, steps: Sequence[EventSteps], ids: Mapping[str, int]
) -> IntArray:
    """Place of each linked contribution among those of all collections, -1 for those that are not stored."""
    known = any(one.name in ids for one in steps)
    out = np.full(len(index), UNKNOWN, np.int64)
    first = 0
    for one in steps:
        mine = number == ids.get(one.name, UNKNOWN) if known else np.full(len(index), one.name == source.usual)
        bad = mine & ((index < 0) | (index >= len(one.energy)))
        if bad.any():
            raise ValueError(
                f"{one.name} has {len(one.energy)} entries, but {source.name} names entry {index[bad].max()}"
            )
        out[mine] = first + index[mine]
        first += len(one.energy)
    return out
