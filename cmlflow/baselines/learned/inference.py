r"""From what is said around each track to shares of all cells of an event: all tracks at once, or one after another.

*Common*: track t says of cell i that the parts :math:`a_{ti}` are its own, :math:`n_{ti}` neutral and :math:`b_{ti}`
unassigned. The neutral and unassigned parts of a cell are means over the tracks that see it, near tracks counting
most, and all parts are divided by their sum.

*Iterative*: the track of largest momentum gets its part, which is subtracted from the energies of the cells; it is
removed with the cells that are left with next to nothing, and the next one sees what remains.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cmlflow.association.cell_shares import CellShares, cell_shares
from cmlflow.association.origin import calibrated
from cmlflow.detectors import DETECTORS, Slab
from cmlflow.event import Deposits, Event, Tracks
from cmlflow.sampling.focus import track_distances

Array = NDArray[np.float64]
FocusParts = Callable[..., list[Array]]
MODES = ("common", "iterative")


@dataclass(frozen=True)
class Inference:
    """How tracks are brought together.

    Parameters
    ----------
    spread : float, default=0.1
        The vote of a track on the neutral part of a cell falls as exp(−(ΔR / spread)²).
    noise : float, default=1
    least : float, default=0.05
        Iterative: cells with less energy left than this multiple of their noise, or this part of what they had, are
        dropped.

    Raises
    ------
    ValueError
        A value outside its range.
    """

    spread: float = 0.1
    noise: float = 1.0
    least: float = 0.05

    def __post_init__(self) -> None:
        if not self.spread > 0:
            raise ValueError(f"spread is {self.spread}, expected a positive ΔR")
        if self.noise < 0 or not 0 <= self.least < 1:
            raise ValueError(f"noise {self.noise}, least {self.least}: expected 0 or more, and 0 or more and below 1")


def common(
    event: Event,
    parts: Array,
    settings: Inference = Inference(),
    calibration: Sequence[float] = (),
) -> CellShares:
    """Shares of one event from all of its tracks at once.

    Parameters
    ----------
    event : Event
    parts : ndarray of shape (n_tracks, 3, n_hits), float
        What each track says of the cells in its cone: its own, the neutral, the unassigned part. nan outside the cone,
        and in the last two rows where only the first is said: the remainder is then neutral.
    settings : Inference
    calibration : sequence of float
        Of `cmlflow.association.origin.calibrated`, applied to the sums of charged, neutral and unassigned parts.

    Returns
    -------
    CellShares
        Cells in no cone are neutral.
    """
    own = np.nan_to_num(parts[:, 0])
    seen = ~np.isnan(parts[:, 0])
    covered = np.asarray(seen.any(axis=0))
    if not len(own):
        return cell_shares(own, np.ones(event.n_hits))
    total = own.sum(axis=0)
    if np.isnan(parts[:, 1])[seen].all():
        charged = own / np.maximum(total, 1.0)
        neutral, rest = 1 - charged.sum(axis=0), np.zeros(event.n_hits)
    else:
        distance, _ = track_distances(event)
        vote = np.where(seen, np.exp(-np.minimum((distance / settings.spread) ** 2, 600.0)), 0.0)
        vote /= np.maximum(vote.sum(axis=0), 1e-300)
        neutral, rest = ((vote * np.nan_to_num(parts[:, row])).sum(axis=0) for row in (1, 2))
        neutral = np.where(covered, neutral, 1.0)
        whole = np.maximum(total + neutral + rest, 1e-12)
        charged, neutral, rest = own / whole, neutral / whole, rest / whole
    return _calibrated(charged, neutral, rest, calibration, covered)


def _calibrated(
    charged: Array, neutral: Array, rest: Array, calibration: Sequence[float], seen: NDArray[np.bool_]
) -> CellShares:
    """Shares with sums made unbiased; cells that no track sees are left as they are."""
    if calibration and charged.shape[1]:
        total = charged.sum(axis=0)
        new = np.where(seen[:, None], calibrated(np.stack([total, neutral, rest], axis=1), calibration),
                       np.stack([total, neutral, rest], axis=1))  # fmt: skip
        even = np.full_like(charged, 1 / max(len(charged), 1))
        parts = np.divide(charged, total, out=even, where=total > 1e-12)
        charged, neutral = parts * new[:, 0], new[:, 1]
    return cell_shares(charged, neutral)


def iterative(
    events: Sequence[Event],
    focus_parts: FocusParts,
    settings: Inference = Inference(),
    calibration: Sequence[float] = (),
) -> list[CellShares]:
    """Shares of events, track by track; all events take their next step together.

    Parameters
    ----------
    events : sequence of Event
        With tracks.
    focus_parts : callable
        ``focus_parts(events, chosen)``, with one track of each event, gives parts of shape (1, 3, n_hits).
    settings, calibration
        As in `common`.
    """
    runs = [_Run(event, settings) for event in events]
    while waiting := [run for run in runs if run.queue]:
        found = focus_parts([run.now for run in waiting], [run.place(run.queue[0]) for run in waiting])
        for run, parts in zip(waiting, found, strict=True):
            run.subtract(parts[0])
    return [run.shares(calibration) for run in runs]


def true_steps(event: Event, settings: Inference = Inference()) -> list[tuple[Event, int]]:
    """What iterative inference sees of an event if every answer is right: training samples for it.

    Parameters
    ----------
    event : Event
        With tracks and truth.
    settings : Inference

    Returns
    -------
    list of (Event, int)
        The event before each step, with deposits of what is left, and the place of the track whose turn it is. Ends
        before a track whose particle is not known, as what it left cannot be subtracted.
    """
    assert event.tracks is not None
    out, gone = [], np.zeros(0, np.int64)
    order = np.argsort(-event.tracks.momentum, kind="stable")
    d, energy = event.deposits, event.energy.astype(np.float64)
    for step, track in enumerate(order):
        taken = np.isin(d.particle, gone)
        left = np.clip(1 - np.bincount(d.hit[taken], event.fractions[taken], event.n_hits), 0, 1)
        kept = (left == 1) | (energy * left >= _floor(event, settings))
        rest = np.isin(np.arange(len(order)), order[step:])
        now = event.replace(
            energy=(energy * left).astype(np.float32),
            deposits=Deposits(d.hit[~taken], d.particle[~taken], d.energy[~taken]),
            particle_id=None,
            purity=None,
            tracks=_some(event.tracks, rest),
        )
        out.append((now[kept], int(np.flatnonzero(np.flatnonzero(rest) == track)[0])))
        if event.tracks.particle[track] < 0:
            break
        gone = np.append(gone, event.tracks.particle[track])
    return out


def _floor(event: Event, settings: Inference) -> Array:
    """Energy below which what is left of a cell is dropped, shape (n_hits,)."""
    detector = DETECTORS.get(event.detector or "")
    noise = detector.noise[event.layer - 1] if isinstance(detector, Slab) and event.n_hits else 0.0
    out: Array = np.maximum(settings.noise * noise, settings.least * event.energy.astype(np.float64))
    return out


class _Run:
    """One event while its tracks are taken out one by one; `now` is a valid event at every step."""

    def __init__(self, event: Event, settings: Inference) -> None:
        assert event.tracks is not None
        self.event, self.settings, self.now = event, settings, event
        self.queue = np.argsort(-event.tracks.momentum, kind="stable").tolist()
        self.tracks = list(range(len(event.tracks)))
        self.hits = np.arange(event.n_hits)
        self.charged = np.zeros((len(event.tracks), event.n_hits))
        self.left = np.ones(event.n_hits)
        self.neutral, self.rest = np.zeros(event.n_hits), np.zeros(event.n_hits)
        self.seen = np.zeros(event.n_hits, np.bool_)
        self.floor = _floor(event, settings)

    def place(self, track: int) -> int:
        """Number of a track in the event as it is now."""
        return self.tracks.index(track)

    def subtract(self, parts: Array) -> None:
        """Give the next track its part of what is left, and take both out of the event."""
        track = self.queue.pop(0)
        seen = ~np.isnan(parts[0])
        cell = self.hits[seen]
        own = np.clip(parts[0][seen], 0, 1)
        self.charged[track, cell] += own * self.left[cell]
        self.left[cell] *= 1 - own
        said = ~np.isnan(parts[1][seen])
        self.neutral[cell[said]], self.rest[cell[said]] = parts[1][seen][said], parts[2][seen][said]
        self.seen[cell] = True
        energy = self.event.energy.astype(np.float64) * self.left
        touched = np.isin(self.hits, cell)
        dropped = touched & (energy[self.hits] < self.floor[self.hits])
        gone = self.hits[dropped]
        if len(gone):  # a dropped remnant goes to the track with most of the cell, else it is neutral
            most = self.charged[:, gone].argmax(axis=0)
            some = self.charged[most, gone] > 0
            self.charged[most[some], gone[some]] += self.left[gone[some]]
            self.left[gone[some]] = 0.0
        self.hits = self.hits[~dropped]
        place = self.place(track)
        self.tracks.remove(track)
        kept = np.arange(len(self.now.tracks or ())) != place
        base = self.event[self.hits]
        assert self.now.tracks is not None
        self.now = base.replace(
            energy=energy[self.hits].astype(np.float32), deposits=None, purity=None, tracks=_some(self.now.tracks, kept)
        )

    def shares(self, calibration: Sequence[float]) -> CellShares:
        """What is left is neutral, or unassigned where the last network that saw it says so."""
        said = self.neutral + self.rest
        part = np.divide(self.neutral, said, out=np.ones_like(said), where=said > 1e-12)
        neutral = self.left * part
        return _calibrated(self.charged, neutral, self.left - neutral, calibration, self.seen)


def _some(tracks: Tracks, kept: NDArray[np.bool_]) -> Tracks:
    crossing = None if tracks.crossing is None else tracks.crossing[kept]
    return replace(tracks, momentum=tracks.momentum[kept], direction=tracks.direction[kept], entry=tracks.entry[kept],
                   particle=tracks.particle[kept], crossing=crossing)  # fmt: skip
