"""ROOT files of the HGCALTBout kind: merged cells or raw Geant4 steps, and a writer of merged cells."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmlflow.event import Deposits, Event, IntArray, Particles
from cmlflow.event.arrays import whole, whole_number
from cmlflow.io.blocks import BlockEvents
from cmlflow.io.checksums import event_checksum
from cmlflow.io.features import feature_branches, stacked
from cmlflow.io.files import FormatError, PathLike, existing, stored_labels
from cmlflow.io.root import Jagged, check_counts, entry_edges, guarded, open_root, open_tree, read_jagged, read_note
from cmlflow.io.steps import (
    Order,
    Plan,
    Variant,
    layer_heights,
    local_showers,
    make_plan,
    merge_ranges,
    merge_steps,
    with_layers,
)
from cmlflow.io.units import MIP_MEV, mev_per_unit

TREE = "HGCALTBout"
DETECTOR = "cmlflow_detector"
CHECKED, CHECKSUM = "cmlflow_checked", "cmlflow_crc32"
"""Names of the string that lists the branches under a checksum, and of the branch with the checksum of each event."""
REQUIRED = ("hit_x", "hit_y", "hit_z", "hit_Edep", "hit_layer", "hit_showerid")
OPTIONAL = ("hit_purity", "hit_detector", "hit_trackid")
PRIMARIES = ("PrimaryEnergies", "PrimaryPDGIDs")
SIGNALS = ("CEESignals", "CHESignals", "AHCALSignals")
SCANNED_EVENTS = 50
HGCAL_LAYERS = 50


class HgcaltbEvents(BlockEvents):
    """Events of a ROOT tree HGCALTBout, read in blocks of entries on access.

    Two variants of the tree exist and are told apart by what they hold: merged cells (`hit_purity` is there, or
    all hits lie on one 1 cm grid, no cell twice), and raw Geant4 steps, which are merged here.

    Parameters
    ----------
    path : path-like
    variant : {"merged", "steps"}, optional
        Which of the two; by default detected from the file.
    threshold : float [MIP], optional
        Cells below it are dropped, after merging. 0.5 for raw steps by default, 0 for merged cells.
    primary_order : {"auto", "same", "reversed"}, default "auto"
        How the showers, by increasing `hit_showerid`, match `PrimaryEnergies` and `PrimaryPDGIDs`. Geant4 tracks the
        primary vertices last in, first out, and raw files number showers as they are tracked, so that they match in
        reverse. "auto" looks at `hit_trackid`, where primaries have the numbers 1..n of their entries, and takes "same"
        where there are no track numbers.
    detector : str, optional
        Name of the geometry; by default what `write_hgcaltb` kept, otherwise ``"hgcal"`` for merged cells and
        ``"hgcal-testbeam"`` for raw steps, and none where there are hits outside of layers 1-50.
    step_size : int or str, default "64 MB"
        Events per block, or the memory a block may take.
    cache : int, default 2
        Blocks kept in memory.

    Raises
    ------
    FileNotFoundError
        No such file.
    FormatError
        Names the file, and the branch or the event at fault.

    Notes
    -----
    Energies are converted to GeV, those of hits to MIP (0.08925 MeV), unless the file is one of `write_hgcaltb` and
    its detector has none. A cell of merged steps lies at (round(x), round(y)), in z at the middle of the range that
    the steps of its layer cover in the file; the first event that is asked for takes the time to look through all
    of it. Layers keep their numbers, unless those of one detector (`hit_detector`: 0 CE-E, 1 CE-H, 2 AHCAL) overlap
    those of the one before: then they follow after it. Shower numbers become 0..P-1 in each event, P being the
    number of primaries; numbers that run on through the file are recognised by the count of primaries before the
    event, other ones are ranked, and matched to primaries only where there are as many. Merged cells have only the
    dominant particle.
    """

    def __init__(
        self,
        path: PathLike,
        *,
        variant: Variant | None = None,
        threshold: float | None = None,
        primary_order: Order = "auto",
        detector: str | None = None,
        step_size: int | str = "64 MB",
        cache: int = 2,
    ) -> None:
        super().__init__(path, cache)
        if variant not in (None, "merged", "steps"):
            raise ValueError(f"variant is {variant!r}, expected 'merged' or 'steps'")
        if primary_order not in ("auto", "same", "reversed"):
            raise ValueError(f"primary_order is {primary_order!r}, expected 'auto', 'same' or 'reversed'")
        if threshold is not None and not threshold >= 0:
            raise ValueError(f"threshold is {threshold} MIP, expected 0 or above")
        self._asked: tuple[Variant | None, Order] = (variant, primary_order)
        self._threshold = threshold
        with open_root(self.path) as file:
            own = read_note(self.path, file, DETECTOR)  # only in files of our own
            checked = read_note(self.path, file, CHECKED)
        self._named = own if detector is None else detector
        self._mev = mev_per_unit(own, unnamed=MIP_MEV)
        tree = self._handle
        self._features = feature_branches(tree, known=(*REQUIRED, *OPTIONAL, "hit_cluster"))
        self._branches = [b for b in (*REQUIRED, *OPTIONAL[:2], *PRIMARIES, *self._features) if b in tree]
        self._checked = self._covered(checked, own)
        self._edges = entry_edges(tree, self._branches, step_size)
        self._plan: Plan | None = None

    def _open(self) -> Any:
        return open_tree(self.path, TREE, REQUIRED)

    def _covered(self, checked: str | None, own: str | None) -> list[str] | None:
        """Branches under the checksum of each event, in files of `write_hgcaltb`."""
        if checked is None and CHECKSUM not in self._handle:
            return None
        listed, _, detector = (checked or "").partition(";")
        names = listed.split(",")
        if CHECKSUM not in self._handle or not all(name in self._handle for name in names) or detector != (own or ""):
            raise FormatError(
                f"{self.path}: names of branches or of the detector are damaged; {CHECKED} is {checked!r}"
            )
        return names

    def _check(self, arrays: dict[str, Any], i: int) -> None:
        assert self._checked is not None
        columns = {name: arrays[name][i] for name in self._checked}
        if event_checksum(columns) != int(arrays[CHECKSUM][i]):
            raise ValueError("its values do not have the checksum that they were written with: the file is damaged")

    @property
    def plan(self) -> Plan:
        """Properties of the file: from its first events, and the layers of raw steps from all of them."""
        if self._plan is None:
            tree, total = self._handle, len(self)
            there = [name for name in PRIMARIES if name in tree][:1]
            counts = [self._read(there, 0, total)[name].counts for name in there] or [np.zeros(total, np.int64)]
            scan = self._read([b for b in (*REQUIRED, *OPTIONAL) if b in tree], 0, min(total, SCANNED_EVENTS))
            sizes = [read_jagged(self.path, tree, [name], 0, 1)[name].counts for name in SIGNALS if name in tree]
            self._plan = make_plan(scan, counts[0], *self._asked, sizes=[int(n.sum()) for n in sizes])
            self._is_hgcal = True
            if self._plan.variant == "steps" or self._named is None:
                self._plan = self._surveyed(self._plan, [int(n.sum()) for n in sizes])
        return self._plan

    def _surveyed(self, plan: Plan, sizes: list[int]) -> Plan:
        """The plan with what takes every event to know: which layers each detector has, and where they are."""
        names = [b for b in ("hit_layer", "hit_z", "hit_detector") if b in self._handle]
        found: dict[tuple[int, int], tuple[float, float]] = {}
        for start, stop in itertools.pairwise(self._edges.tolist()):
            got = self._read(names, start, stop)
            try:
                detector = whole(got["hit_detector"].values, "hit_detector", low=-1, high=99) if names[2:] else None
                merge_ranges(found, whole(got["hit_layer"].values, "hit_layer"), got["hit_z"].values, detector)
            except ValueError as err:
                raise FormatError(f"{self.path}, entries {start}..{stop - 1}: {err}") from err
        plan = with_layers(plan, found, sizes, several="hit_detector" in names)
        self._is_hgcal = all(1 <= layer <= HGCAL_LAYERS for layer in plan.layer_z)
        return plan

    def _read(self, branches: Iterable[str], start: int, stop: int) -> dict[str, Jagged]:
        got = read_jagged(self.path, self._handle, branches, start, stop)
        for prefix in ("hit_", "Primary"):
            check_counts(self.path, start, {k: v for k, v in got.items() if k.startswith(prefix)})
        return got

    def _load(self, block: int) -> dict[str, Any]:
        start, stop = int(self._edges[block]), int(self._edges[block + 1])
        arrays: dict[str, Any] = self._read(self._branches, start, stop)
        for name in ("eventNumber", CHECKSUM):
            if name in self._handle:
                what = f"branch {name}, entries {start}..{stop - 1}"
                arrays[name] = guarded(self.path, what, partial(self._flat, name, start, stop))
        return arrays

    def _flat(self, name: str, start: int, stop: int) -> NDArray[Any]:
        found: NDArray[Any] = self._handle[name].array(entry_start=start, entry_stop=stop, library="np")
        return found

    def _event(self, arrays: dict[str, Any], i: int, entry: int) -> Event:
        if self._checked is not None:
            self._check(arrays, i)
        plan = self.plan
        hits = {name: arrays[name][i] for name in self._branches if name.startswith("hit_")}
        number = entry
        if "eventNumber" in arrays:
            number = whole_number(arrays["eventNumber"][i], "eventNumber")
        for name in ("hit_x", "hit_y", "hit_z", "hit_Edep"):
            bad = ~np.isfinite(hits[name]) | ((hits[name] < 0) & (name == "hit_Edep"))
            if bad.any():
                first = int(np.flatnonzero(bad)[0])
                raise ValueError(
                    f"{name} of hit {first} is {hits[name][first]}, expected finite, energies of 0 or above"
                )
        for name in ("hit_layer", "hit_showerid", "hit_detector"):
            if name in hits:
                hits[name] = whole(hits[name], name)
        primaries = [arrays[name][i] if name in arrays else None for name in PRIMARIES]
        count = next((len(p) for p in primaries if p is not None), 0)
        shower, matched = local_showers(hits["hit_showerid"], int(plan.bases[entry]), count, plan.numbering)
        particles = _particles(primaries, count, plan.reverse) if matched else None
        layer = plan.layers(hits["hit_layer"], hits.get("hit_detector"))
        steps = plan.variant == "steps"
        usual = ("hgcal-testbeam" if steps else "hgcal") if self._is_hgcal else None
        given: dict[str, Any] = {
            "particles": particles,
            "detector": usual if self._named is None else self._named or None,
            "number": None if number < 0 else number,
        }
        threshold = (0.5 if steps else 0.0) if self._threshold is None else self._threshold
        if steps:
            if self._features:
                warnings.warn(
                    f"{self.path}: branches {', '.join(self._features)} are not read: steps are merged into cells",
                    stacklevel=2,
                )
            return _from_steps(hits, layer, shower, plan, threshold, given)
        energy = hits["hit_Edep"] / self._mev
        keep = energy >= threshold
        position = np.stack([hits[f"hit_{a}"] for a in "xyz"], axis=1)[keep]
        purity = np.asarray(hits["hit_purity"])[keep] if "hit_purity" in hits else None
        features = {self._features[name]: hits[name][keep] for name in self._features}
        return Event(
            position, energy[keep], layer[keep], shower[keep], purity=purity, features=stacked(features), **given
        )


def _from_steps(
    hits: dict[str, NDArray[Any]],
    layer: IntArray,
    shower: IntArray,
    plan: Plan,
    threshold: float,
    given: dict[str, Any],
) -> Event:
    cells = merge_steps(hits["hit_x"], hits["hit_y"], layer, hits["hit_Edep"] / MIP_MEV, shower)
    keep = cells.energy >= threshold
    new = np.cumsum(keep) - 1
    kept = keep[cells.deposit_cell]
    height = layer_heights(layer, hits["hit_z"]) | plan.layer_z
    levels, where = np.unique(cells.layer[keep], return_inverse=True)
    z = np.array([height[int(v)] for v in levels])[where] if len(levels) else np.zeros(0)
    deposits = Deposits(
        new[cells.deposit_cell[kept]],
        cells.deposit_shower[kept],
        cells.deposit_energy[kept].astype(np.float32),
    )
    position = np.stack((cells.ix[keep], cells.iy[keep], z), axis=1)
    return Event(position, cells.energy[keep], cells.layer[keep], deposits=deposits, **given)


def _particles(primaries: list[NDArray[Any] | None], count: int, reverse: bool) -> Particles | None:
    if not count:
        return None
    unknown = Particles.unknown(count)
    energy, pdg_id = primaries
    turn = slice(None, None, -1 if reverse else 1)
    return Particles(
        unknown.pdg_id if pdg_id is None else whole(pdg_id, PRIMARIES[1], "primary")[turn],
        unknown.energy if energy is None else (energy[turn] / 1000).astype(np.float32),
        unknown.direction,
    )


def read_hgcaltb_labels(path: PathLike) -> list[IntArray]:
    """Cluster labels stored beside the hits (branch `hit_cluster`).

    Returns
    -------
    list of ndarray of shape (n_hits,), int64
        Clusters 0..C-1, -1 noise.

    Raises
    ------
    FormatError
        The file holds no labels.
    """
    file = existing(path)
    tree = open_tree(file, TREE, ["hit_cluster", "hit_layer"])
    columns = read_jagged(file, tree, ["hit_cluster", "hit_layer"], 0, int(tree.num_entries))
    counts = columns["hit_layer"].counts.tolist()
    return [stored_labels(file, i, columns["hit_cluster"][i], n) for i, n in enumerate(counts)]
