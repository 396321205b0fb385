"""Raw Geant4 steps merged into cells, and the numbering of a file from its first events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.event import UNKNOWN, IntArray
from cmlflow.event.arrays import whole
from cmlflow.io.root import Jagged

Variant = Literal["merged", "steps"]
Order = Literal["auto", "same", "reversed"]
Numbering = Literal["running", "local"]


class Cells(NamedTuple):
    """Merged cells of one event and every shower's share of them; energies in the unit of the steps, float64."""

    ix: IntArray
    iy: IntArray
    layer: IntArray
    energy: NDArray[np.float64]
    deposit_cell: IntArray
    deposit_shower: IntArray
    deposit_energy: NDArray[np.float64]


def merge_steps(x: ArrayLike, y: ArrayLike, layer: ArrayLike, energy: ArrayLike, shower: ArrayLike) -> Cells:
    """Merge Geant4 steps into cells of 1 cm x 1 cm in each layer, centred on whole centimetres.

    Parameters
    ----------
    x, y : array_like of shape (n_steps,), float [cm]
    layer : array_like of shape (n_steps,), int
    energy : array_like of shape (n_steps,), float
    shower : array_like of shape (n_steps,), int

    Returns
    -------
    Cells
        Cells by increasing layer, ix, iy, one deposit for every shower in a cell. The energies of the cells, and of the
        deposits of a shower, add up to those of the steps: nothing is dropped here.
    """
    ix, iy = whole(np.rint(np.asarray(x)), "x", "step"), whole(np.rint(np.asarray(y)), "y", "step")
    la, sh = whole(layer, "layer", "step"), whole(shower, "shower", "step")
    order = np.lexsort((sh, iy, ix, la))
    ix, iy, la, sh = ix[order], iy[order], la[order], sh[order]
    new_cell = np.ones(len(la), np.bool_)
    new_cell[1:] = (la[1:] != la[:-1]) | (ix[1:] != ix[:-1]) | (iy[1:] != iy[:-1])
    new_deposit = new_cell.copy()
    new_deposit[1:] |= sh[1:] != sh[:-1]
    deposited = _sums(np.cumsum(new_deposit) - 1, np.asarray(energy, np.float64)[order])
    owner = (np.cumsum(new_cell) - 1)[new_deposit]
    total = _sums(owner, deposited)
    return Cells(ix[new_cell], iy[new_cell], la[new_cell], total, owner, sh[new_deposit], deposited)


def _sums(group: IntArray, energy: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.bincount(group, energy).astype(np.float64)  # an empty bincount counts in integers


def local_showers(shower: ArrayLike, base: int, n_primaries: int, numbering: Numbering) -> tuple[IntArray, bool]:
    """Shower numbers of one event as particles 0..P-1.

    Parameters
    ----------
    shower : array_like of shape (n_hits,), int
        As in the file; negative where unknown.
    base : int
        Number of primaries in all events before this one.
    n_primaries : int
        Primaries of this event.
    numbering : {"running", "local"}
        Whether numbers go on through the file or begin again in each event. Where an event does not follow, its numbers
        are ranked.

    Returns
    -------
    particle : ndarray of shape (n_hits,), int64
        -1 where unknown.
    matched : bool
        Whether the numbers stand for the event's primaries in order.
    """
    number = whole(shower, "hit_showerid")
    known = number >= 0
    local = number - base if numbering == "running" else number
    if n_primaries and bool(((local >= 0) & (local < n_primaries))[known].all()):
        return np.where(known, local, UNKNOWN), True
    out = np.full(len(number), UNKNOWN, np.int64)
    names, rank = np.unique(number[known], return_inverse=True)
    out[known] = rank
    return out, len(names) == n_primaries


def layer_heights(layer: IntArray, z: NDArray[Any]) -> dict[int, float]:
    """Middle of the range in z that the hits of each layer cover."""
    if not len(layer):
        return {}
    order = np.argsort(layer, kind="stable")
    levels, first = np.unique(layer[order], return_index=True)
    low, high = np.minimum.reduceat(z[order], first), np.maximum.reduceat(z[order], first)
    return dict(zip(levels.tolist(), ((low + high) / 2).tolist(), strict=True))


@dataclass(frozen=True)
class Plan:
    """How to read the events of one HGCALTBout file; see `make_plan`.

    Attributes
    ----------
    variant : {"merged", "steps"}
    numbering : {"running", "local"}
        Whether shower numbers run on through the file, or begin again in each event.
    bases : ndarray of shape (n_events + 1,), int64
        Primaries in all events before each one.
    reverse : bool
        Whether showers by increasing number match the primaries from the last to the first.
    offsets : ndarray, int64
        Offset of the layer numbers of each detector; empty without offsets.
    layer_z : dict of int to float [cm]
        Height of each layer.
    """

    variant: Variant
    numbering: Numbering
    bases: IntArray
    reverse: bool
    offsets: IntArray
    layer_z: dict[int, float]

    def layers(self, layer: NDArray[Any], detector: NDArray[Any] | None) -> IntArray:
        """Layer numbers that are unique among the detectors."""
        out = whole(layer, "hit_layer")
        if detector is None or not len(self.offsets):
            return out
        out += self.offsets[np.clip(whole(detector, "hit_detector"), 0, len(self.offsets) - 1)]
        return out


def make_plan(
    scan: dict[str, Jagged],
    n_primaries: IntArray,
    variant: Variant | None,
    order: Order,
    sizes: Sequence[int] = (),
) -> Plan:
    """Properties of a file from its first events.

    Parameters
    ----------
    scan : dict of str to Jagged
        The hit branches over the first events.
    n_primaries : ndarray of shape (n_events,), int64
        Primaries of every event of the file.
    variant : {"merged", "steps"}, optional
        Detected from the hits by default.
    order : {"auto", "same", "reversed"}
        How showers match primaries.
    sizes : sequence of int
        Number of layers of each detector, where known.

    Returns
    -------
    Plan
    """
    seen = len(scan["hit_layer"].counts)
    bases = np.concatenate(([0], np.cumsum(n_primaries)))
    merged = variant == "merged" if variant else "hit_purity" in scan or _looks_merged(scan, seen)
    fits = {
        name: sum(_follows(scan["hit_showerid"][i], base * int(bases[i]), n_primaries[i]) for i in range(seen))
        for name, base in (("running", 1), ("local", 0))
    }
    numbering: Numbering = "local" if fits["local"] + merged > fits["running"] else "running"
    reverse = order == "reversed"
    if order == "auto" and "hit_trackid" in scan:
        reverse = _tracked_in_reverse(scan, n_primaries[:seen], bases, numbering)
    plan = Plan("merged" if merged else "steps", numbering, bases, reverse, np.zeros(0, np.int64), {})
    found: dict[tuple[int, int], tuple[float, float]] = {}
    detector = whole(scan["hit_detector"].values, "hit_detector", low=-1, high=99) if "hit_detector" in scan else None
    merge_ranges(found, whole(scan["hit_layer"].values, "hit_layer"), scan["hit_z"].values, detector)
    return with_layers(plan, found, sizes, several=detector is not None)


def merge_ranges(
    found: dict[tuple[int, int], tuple[float, float]], layer: IntArray, z: NDArray[Any], detector: IntArray | None
) -> None:
    """Put the range in z of each layer into `found`, by (detector, layer); detector 0 where there is one alone."""
    own = np.zeros(len(layer), np.int64) if detector is None else detector
    order = np.lexsort((layer, own))
    own, layer, z = own[order], layer[order], np.asarray(z, np.float64)[order]
    first = np.flatnonzero(np.r_[True, (own[1:] != own[:-1]) | (layer[1:] != layer[:-1])][: len(layer)])
    if not len(first):
        return
    low, high = np.fmin.reduceat(z, first), np.fmax.reduceat(z, first)
    for key, a, b in zip(zip(own[first].tolist(), layer[first].tolist(), strict=True), low, high, strict=True):
        before = found.get(key, (np.inf, -np.inf))
        found[key] = min(before[0], float(a)), max(before[1], float(b))


def with_layers(
    plan: Plan, found: dict[tuple[int, int], tuple[float, float]], sizes: Sequence[int], *, several: bool
) -> Plan:
    """A plan with the layers and heights that `merge_ranges` found, of several detectors or of one."""
    offsets = _layer_offsets(found, sizes) if several else np.zeros(0, np.int64)
    ranges: dict[int, tuple[float, float]] = {}
    for (detector, layer), (low, high) in found.items():
        key = layer + (int(offsets[min(max(detector, 0), len(offsets) - 1)]) if len(offsets) else 0)
        before = ranges.get(key, (np.inf, -np.inf))
        ranges[key] = min(before[0], low), max(before[1], high)
    return replace(plan, offsets=offsets, layer_z={key: (low + high) / 2 for key, (low, high) in ranges.items()})


def _follows(number: NDArray[Any], base: int, n_primaries: int) -> bool:
    local = number[number >= 0] - base
    return bool(((local >= 0) & (local < n_primaries)).all())


def _looks_merged(scan: dict[str, Jagged], stop: int) -> bool:
    """Whether all hits lie on one grid of 1 cm and no cell is hit twice."""
    for i in range(stop):
        x, y, layer = (scan[name][i] for name in ("hit_x", "hit_y", "hit_layer"))
        if not len(x):
            continue
        for along in (x, y):
            if np.abs(along - along[0] - np.rint(along - along[0])).max() > 1e-3:
                return False
        cells = merge_steps(x - x[0], y - y[0], layer, np.ones(len(x)), np.zeros(len(x), np.int64))
        if len(cells.energy) < len(x):
            return False
    return True


def _tracked_in_reverse(scan: dict[str, Jagged], counts: IntArray, bases: IntArray, numbering: Numbering) -> bool:
    """Whether the tracks 1..n of the primaries stand in the showers n-1..0 rather than in 0..n-1."""
    votes = 0
    for i, n in enumerate(counts.tolist()):
        shower, matched = local_showers(scan["hit_showerid"][i], int(bases[i]), n, numbering)
        track = scan["hit_trackid"][i]
        primary = (track >= 1) & (track <= n) & (shower >= 0)
        if matched and n > 1 and primary.any():
            pairs = np.unique(np.stack((track[primary] - 1, shower[primary])), axis=1)
            votes += int((pairs[0] == n - 1 - pairs[1]).sum()) - int((pairs[0] == pairs[1]).sum())
    return votes > 0


def _layer_offsets(found: dict[tuple[int, int], tuple[float, float]], sizes: Sequence[int]) -> IntArray:
    """What to add to the layers of each detector so that they come after those of the detector before."""
    if not found or min(detector for detector, _ in found) < 0:
        return np.zeros(0, np.int64)
    offsets = np.zeros(max(detector for detector, _ in found) + 1, np.int64)
    last = -1
    for d in range(len(offsets)):
        own = [layer for detector, layer in found if detector == d]
        if own and min(own) <= last:
            offsets[d] = last + int(min(own) == 0)
        last = max(last, int(max(own, default=-1) + offsets[d]), sum(sizes[: d + 1]))
    return offsets
