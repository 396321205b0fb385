"""Reconstructed hits of podio's collections (CalorimeterHit), and the links from them to particles."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cmlflow.event.arrays import whole
from cmlflow.io.podio import decode, leaf_of, relation, top_level
from cmlflow.io.podio_hits import Hits
from cmlflow.io.root import Jagged

_CELL = ("cellID", "energy", "position.x", "position.y", "position.z", "time")
_LINK = re.compile(r"vector<(podio::Link|edm4hep::MCRecoCaloParticleAssociation)Data>")
_ENDS = (("from", "to"), ("rec", "sim"))


@dataclass(frozen=True)
class Cells:
    """A collection of reconstructed hits."""

    name: str
    leaves: dict[str, str]

    @classmethod
    def of(cls, tree: Any, name: str) -> Cells:
        """From what a file has."""
        return cls(name, {leaf: leaf_of(tree, name, leaf) for leaf in _CELL})


@dataclass(frozen=True)
class Links:
    """A collection of links with weights: the branches of the index and the collection's number at both ends."""

    weight: str
    hit: tuple[str, str]
    particle: tuple[str, str]

    def branches(self) -> list[str]:
        """All branches that are read."""
        return [self.weight, *self.hit, *self.particle]

    def leads(self, arrays: Mapping[str, Jagged], hits: Sequence[int], particles: int) -> bool:
        """Whether some link of a block leads from these collections of hits to that one of particles."""
        ends = np.isin(arrays[self.hit[1]].values, hits) & (arrays[self.particle[1]].values == particles)
        return bool(ends.any())


def links_of(tree: Any) -> list[Links]:
    """The links of a file that may lead from hits to particles."""
    names = [str(branch.name) for branch in top_level(tree)]
    out = []
    for branch in top_level(tree):
        if _LINK.fullmatch(str(branch.typename).replace("std::", "")) is None:
            continue
        for first, second in _ENDS:
            ends = relation(names, branch.name, first, 0), relation(names, branch.name, second, 1)
            if ends[0] is not None and ends[1] is not None:
                hit, particle = (
                    (leaf_of(tree, end, "index"), leaf_of(tree, end, "collectionID")) for end in ends if end
                )
                out.append(Links(leaf_of(tree, branch.name, "weight"), hit, particle))
                break
    return out


def cells_of(
    cells: Cells,
    arrays: Mapping[str, Jagged],
    i: int,
    links: Sequence[Links],
    ids: Mapping[str, int],
    encoding: str | None,
) -> Hits:
    """The hits of entry `i` of a block; the shares of the particles are the weights of the links, normalised.

    Raises
    ------
    ValueError
        Names the collection, and the hit or link at fault.
    """
    cell, energy, x, y, z, time = (arrays[cells.leaves[leaf]][i] for leaf in _CELL)
    n = len(energy)
    for leaf, values in (("energy", energy), ("position", x + y + z)):
        bad = ~np.isfinite(values) | ((values < 0) & (leaf == "energy"))
        if bad.any():
            at = int(np.flatnonzero(bad)[0])
            raise ValueError(f"{leaf} of hit {at} of {cells.name} is {values[at]}, expected finite and not negative")
    layer = np.zeros(n, np.int64) if encoding is None else decode(cell, encoding, "layer")
    found: list[tuple[Any, Any, Any, Any]] = []
    for link in links if cells.name in ids else ():
        hit, of = (whole(arrays[branch][i], branch, "link") for branch in link.hit)
        particle, number = (whole(arrays[branch][i], branch, "link") for branch in link.particle)
        mine = of == ids[cells.name]
        if (hit[mine] >= n).any() or (hit[mine] < 0).any():
            raise ValueError(f"{link.hit[0]} names hit {hit[mine].max()}, but {cells.name} has {n}")
        found.append((hit[mine], particle[mine], number[mine], arrays[link.weight][i][mine].astype(np.float64)))
    none = np.zeros(0, np.int64)
    found.append((none, none, none, np.zeros(0)))
    hit, particle, number, weight = (np.concatenate(parts) for parts in zip(*found, strict=True))
    total = np.bincount(hit, weight, n)[hit]
    share = np.divide(weight, total, out=np.zeros(len(weight)), where=total > 0) * energy[hit]
    position = np.stack((x, y, z), axis=1)
    return Hits(position, energy, layer, time.astype(np.float64), hit, particle, number, share)
