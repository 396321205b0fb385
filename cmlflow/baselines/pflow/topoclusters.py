"""Topological clusters: groups of neighbouring cells that stand out of the noise, grown from seeds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cmlflow.detectors import Slab, slab_detector
from cmlflow.event import Event, IntArray
from cmlflow.simulation.selection import Selection

REACH = 2
"""Cells of one layer are neighbours up to so many cells away, in x and in y."""
TOLERANCE = 1e-6
"""Relative; hit energies are float32, and a cell exactly at a threshold is above it."""

Pairs = tuple[IntArray, IntArray]


def topoclusters(event: Event, selection: Selection = Selection()) -> IntArray:  # noqa: B008
    """The topo-cluster of each hit.

    The rules, each with the section of [1]_ it is from:

    - Significance is a cell's energy over the noise of its layer; from `Selection.seed` (5) on it is a seed (5).
    - Neighbours are, in the same layer, the 24 cells that are adjacent or next to adjacent, and, in the layers in front
      and behind, adjacent cells (5). Layers differ in the size of cells: adjacent are those that have at least a point
      in common (our choice: particles run at a slant, and with cells that overlap alone their showers fall apart
      between layers; in the detector of [2]_ towers of cells point to the vertex).
    - Neighbours of seeds join, and of every cell that joins, from `Selection.grow` (2) on, again the neighbours (5).
    - Neighbours below `Selection.edge` do not join. The text is silent on them; 2 is the threshold with which the cells
      of our samples are read out, so that every read out cell is in a topo-cluster.
    - Topo-clusters that come to be neighbours are merged (5). Only cells from `Selection.grow` on can join two of them;
      where `Selection.edge` is lower, a cell between the two that is reached by several topo-clusters belongs to that
      of its most significant neighbour (our choice, as [2]_ keeps cells at the rim from merging).
    - There is no splitting at local maxima, which [2]_ has and [1]_ does not mention.

    Parameters
    ----------
    event : Event
        Of a slab detector, one hit per cell.
    selection : Selection
        Thresholds in units of the noise.

    Returns
    -------
    ndarray of shape (n_hits,), int64
        0..C-1 by falling energy of the topo-cluster, -1 for cells in none.

    Raises
    ------
    ValueError
        Where the detector is not a slab, has no noise, or a cell has two hits.

    References
    ----------
    .. [1] F. A. Di Bello et al., Towards a Computer Vision Particle Flow, Eur. Phys. J. C 81 (2021) 107.
    .. [2] G. Aad et al. (ATLAS), Topological cell clustering in the ATLAS calorimeters, Eur. Phys. J. C 77 (2017) 490,
       section 3.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    detector = slab_of(event)
    if not (detector.noise > 0).all():
        raise ValueError(f"{event.title}: cells of {detector.name} have no noise, so there is no significance")
    n = event.n_hits
    labels = np.full(n, -1, np.int64)
    if not n:
        return labels
    a, b = neighbour_pairs(event)
    significance = event.energy.astype(np.float64) / detector.noise[event.layer - 1]
    seed, grow, edge = (
        significance >= level * (1 - TOLERANCE) for level in (selection.seed, selection.grow, selection.edge)
    )

    core = grow[a] & grow[b]
    graph = coo_array((np.ones(core.sum(), np.bool_), (a[core], b[core])), shape=(n, n))
    _, group = connected_components(graph, directed=False)
    seeded = np.zeros(n, np.bool_)
    seeded[group[seed]] = True
    inside = grow & seeded[group]
    labels[inside] = group[inside]

    here, there = np.concatenate([a, b]), np.concatenate([b, a])
    rim = inside[here] & (edge & ~grow)[there]
    here, there = here[rim], there[rim]
    order = np.lexsort((here, -significance[here], there))
    joined, first = np.unique(there[order], return_index=True)
    labels[joined] = group[here[order][first]]
    return _by_energy(labels, event.energy)


def neighbour_pairs(event: Event) -> Pairs:
    """Pairs of hits in neighbouring cells, each pair once.

    Returns
    -------
    first, second : ndarray of shape (n_pairs,), int64
        Numbers of hits; neighbours as in `topoclusters`.
    """
    detector = slab_of(event)
    layer = event.layer - 1
    ix, iy = cell_numbers(event, detector)
    cell = detector.offset[layer] + ix * detector.n_cells[layer] + iy
    hit = np.arange(event.n_hits)
    hit_of = np.full(int(detector.offset[-1]), -1, np.int64)
    hit_of[cell] = hit
    twice = np.flatnonzero(hit_of[cell] != hit)
    if len(twice):
        raise ValueError(
            f"{event.title}: hits {twice[0]} and {hit_of[cell[twice[0]]]} are in the same cell of {detector.name}, "
            "expected one hit per cell"
        )

    dx, dy = (d.reshape(-1) for d in np.mgrid[-REACH : REACH + 1, -REACH : REACH + 1])
    half = (dx > 0) | ((dx == 0) & (dy > 0))  # each pair from one side only
    x, y = ix[:, None] + dx[half], iy[:, None] + dy[half]
    side = detector.n_cells[layer][:, None]
    inside = (x >= 0) & (x < side) & (y >= 0) & (y < side)
    found = np.where(inside, hit_of[np.where(inside, detector.offset[layer][:, None] + x * side + y, 0)], -1)
    near, k = np.nonzero(found >= 0)
    first, second = [near], [found[near, k]]

    for step in (-1, 1):  # from each hit to the cells of the layer beside it, where those are as large or larger
        beside = layer + step
        there = (beside >= 0) & (beside < detector.n_layers)
        beside = np.where(there, beside, layer)
        side = detector.n_cells[beside]
        ratio = detector.n_cells[layer] // side
        there &= (ratio > 1) | ((ratio == 1) & (step == 1))
        ratio = np.maximum(ratio, 1)
        for dx, dy in ((i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)):
            x, y = ((i + d) // ratio for i, d in ((ix, dx), (iy, dy)))
            new = (x == ix // ratio + dx) & (y == iy // ratio + dy)  # else the hit does not touch it
            use = there & new & (x >= 0) & (x < side) & (y >= 0) & (y < side)
            other = np.where(use, hit_of[np.where(use, detector.offset[beside] + x * side + y, 0)], -1)
            first.append(hit[other >= 0])
            second.append(other[other >= 0])
    return np.concatenate(first), np.concatenate(second)


def cell_numbers(event: Event, detector: Slab) -> tuple[IntArray, IntArray]:
    """Numbers of each hit's cell along x and y, counted from 0 in its layer; a ValueError where it is in none."""
    if event.n_hits and not (event.layer.min() >= 1 and event.layer.max() <= detector.n_layers):
        raise ValueError(
            f"{event.title}: hits in layers {event.layer.min()}..{event.layer.max()}, but {detector.name} has "
            f"1..{detector.n_layers}"
        )
    n = detector.n_cells[event.layer - 1][:, None]
    cell = np.floor((event.position[:, :2].astype(np.float64) + detector.width / 2) / (detector.width / n))
    out: NDArray[np.int64] = cell.astype(np.int64)
    wrong = np.flatnonzero(((out < 0) | (out >= n)).any(axis=1))
    if len(wrong):
        raise ValueError(
            f"{event.title}: position of hit {wrong[0]} is {event.position[wrong[0]]}, expected a cell of "
            f"{detector.name}, within {detector.width / 2:g} cm of the axis"
        )
    return out[:, 0], out[:, 1]


def slab_of(event: Event) -> Slab:
    """The slab detector of an event; a ValueError where it is of another detector or does not say."""
    if event.detector is None:
        raise ValueError(f"{event.title}: has no detector, expected the name of a slab detector such as 'slab-hg'")
    return slab_detector(event.detector)


def _by_energy(labels: IntArray, energy: NDArray[np.float32]) -> IntArray:
    """Labels numbered anew from 0 by falling energy; of equal ones by the first hit."""
    own = labels >= 0
    _, first, where = np.unique(labels[own], return_index=True, return_inverse=True)
    total = np.bincount(where, energy[own].astype(np.float64))
    rank = np.empty(len(total), np.int64)
    rank[np.lexsort((first, -total))] = np.arange(len(total))
    out = labels.copy()
    out[own] = rank[where]
    return out
