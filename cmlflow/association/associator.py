"""From embedded and clustered events to candidates: parameters, fit, predict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.association.candidates import Candidates
from cmlflow.association.energy import EnergyScale, four_momenta
from cmlflow.association.energy_fit import fit_energy_scale
from cmlflow.association.ownership import Ownership, assign_tracks
from cmlflow.association.sharing import Sharing, share_hits
from cmlflow.association.sharing_fit import fit_sharing
from cmlflow.event import Event

Array = NDArray[np.float64]

MODES = ("soft", "hard", "clusters")


class Embedded(Protocol):
    """What the clusterer found in one event, see `cmlflow.prediction.Prediction`.

    Attributes
    ----------
    z_hits : array_like of shape (n_hits, D), float
    z_tracks : array_like of shape (n_tracks, D), float
    labels : array_like of shape (n_hits,), int
        Clusters, -1 noise.
    track_labels : array_like of shape (n_tracks,), int
        In the same numbering, -1 none.
    origin : array_like of shape (n_hits, 3), float, or None
        Part of each hit that is charged, neutral and noise, as the network has it.
    """

    @property
    def z_hits(self) -> ArrayLike: ...
    @property
    def z_tracks(self) -> ArrayLike: ...
    @property
    def labels(self) -> ArrayLike: ...
    @property
    def track_labels(self) -> ArrayLike: ...
    @property
    def origin(self) -> ArrayLike | None: ...


@dataclass(frozen=True)
class Associator:
    """Particle-flow candidates from clusters and tracks.

    `fit` returns a new associator that can `predict`; this one does not change.

    Attributes
    ----------
    mode : {"soft", "hard", "clusters"}
        Share every hit over candidates (soft), assign it to the one with the largest share (hard), or leave it to its
        track or cluster, without a fit of shares (clusters).
    least : float
        Neutral candidates with less energy in the hits, in their unit, are dropped; neutral energy below a track
        becomes a candidate of its own above it.
    rounds : int
    pull : float
        As in `assign_tracks`.
    simple, remnants, nearest, track_weight, penalty
        As in `fit_sharing`.
    vertex : (float, float, float) [cm] or "tracks"
        Where neutral particles come from, see `cmlflow.event.vertex_of`.
    sharing : Sharing or None
        Found by `fit`.
    scale : EnergyScale or None
        Found by `fit` on true particles.
    scales : dict of str to EnergyScale
        Found by `fit` on the neutral candidates of each mode; `scale` is used if there were too few.
    """

    mode: str = "soft"
    least: float = 0.3
    rounds: int = 0
    pull: float = 0.5
    simple: bool = False
    remnants: bool = True
    nearest: int = 6
    track_weight: float = 0.5
    penalty: float = 1e-3
    vertex: str | tuple[float, float, float] = (0.0, 0.0, 0.0)
    sharing: Sharing | None = None
    scale: EnergyScale | None = None
    scales: Mapping[str, EnergyScale] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"mode is {self.mode!r}, expected one of {', '.join(MODES)}")
        if self.least < 0:
            raise ValueError(f"least is {self.least}, expected 0 or above")

    def owned(self, event: Event, embedded: Embedded) -> Ownership:
        """Owner of every hit of one event before it is shared, see `assign_tracks`."""
        n_tracks = 0 if event.tracks is None else len(event.tracks)
        labels, track_labels = np.asarray(embedded.labels), np.asarray(embedded.track_labels)
        if len(labels) != event.n_hits or len(track_labels) != n_tracks:
            where = event.title
            raise ValueError(
                f"{where}: {len(labels)} labels and {len(track_labels)} track_labels, expected {event.n_hits} and "
                f"{n_tracks}: one for each hit and track"
            )
        return assign_tracks(
            labels, track_labels, embedded.z_hits, embedded.z_tracks, event.energy, rounds=self.rounds, pull=self.pull
        )

    def fit(self, events: Iterable[Event], embedded: Iterable[Embedded]) -> Associator:
        """Fit shares and the energy scale on events with truth.

        Parameters
        ----------
        events : iterable of Event
            A tuning sample: other events than those of the training.
        embedded : iterable of Embedded
            One for each event.

        Returns
        -------
        Associator
        """
        events, embedded = _together(events, embedded)
        sharing = None
        if self.mode != "clusters":
            sharing = fit_sharing(
                events,
                [self.owned(e, m) for e, m in zip(events, embedded, strict=True)],
                [m.z_hits for m in embedded],
                [m.z_tracks for m in embedded],
                [m.origin for m in embedded],
                simple=self.simple,
                remnants=self.remnants,
                nearest=self.nearest,
                track_weight=self.track_weight,
                penalty=self.penalty,
                vertex=self.vertex,
            )
        out = replace(self, sharing=sharing, scale=fit_energy_scale(events, vertex=self.vertex), scales={})
        scales = {}
        for mode in MODES if sharing is not None else (self.mode,):
            same = replace(out, mode=mode)
            shares = [same.candidate_shares(e, m) for e, m in zip(events, embedded, strict=True)]
            neutral = [share[tracks:] for share, tracks in shares]
            try:
                scales[mode] = fit_energy_scale(events, neutral, vertex=self.vertex)
            except ValueError:  # too few candidates: fall back on the scale of true particles
                continue
        return replace(out, scales=scales)

    def predict(self, events: Iterable[Event], embedded: Iterable[Embedded]) -> list[Candidates]:
        """Candidates of every event.

        Raises
        ------
        RuntimeError
            Before `fit`.
        """
        events, embedded = _together(events, embedded)
        return [self.candidates(e, m) for e, m in zip(events, embedded, strict=True)]

    def candidates(self, event: Event, embedded: Embedded) -> Candidates:
        """Candidates of one event: those of the tracks in their order, then the neutral ones.

        Neutral candidates are in the order of their clusters, followed by what is neutral below each track.
        """
        if self.scale is None or (self.sharing is None and self.mode != "clusters"):
            raise RuntimeError("the associator has no energy scale or sharing yet: call fit, and use what it returns")
        share, n_tracks = self.candidate_shares(event, embedded)
        track = np.where(np.arange(len(share)) < n_tracks, np.arange(len(share)), -1).astype(np.int64)
        scale = self.scales.get(self.mode, self.scale)
        pdg_id, momentum = four_momenta(event, share, track, scale, vertex=self.vertex)
        return Candidates(share.astype(np.float32), pdg_id, momentum, track)

    def candidate_shares(self, event: Event, embedded: Embedded) -> tuple[Array, int]:
        """Shares of the candidates of one event, shape (C, n_hits), and the number of tracks, which come first.

        Needs the sharing, but no energy scale.
        """
        owned = self.owned(event, embedded)
        n_tracks = owned.n_tracks
        if self.sharing is None or self.mode == "clusters":
            share = owned.share.astype(np.float64)
        else:
            z = embedded.z_hits, embedded.z_tracks
            share = share_hits(event, owned, *z, self.sharing, origin=embedded.origin, least=self.least)
            if self.mode == "hard":
                share = (share.argmax(axis=0) == np.arange(len(share))[:, None]).astype(np.float64)
            share = share[:-1]
        energy = share @ event.energy.astype(np.float64)
        keep = (np.arange(len(share)) < n_tracks) | ((energy >= self.least) & (energy > 0))
        return share[keep], n_tracks

    def to_dict(self) -> dict[str, Any]:
        """Parameters and what was fitted, as numbers, lists, strings and None, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Associator:
        """From what `to_dict` gave, also after a round trip through JSON.

        Raises
        ------
        ValueError
            Lists unknown names.
        """
        values = dict(state)
        wrong = sorted(set(values) - {f.name for f in fields(cls)})
        if wrong:
            raise ValueError(
                f"associator: {', '.join(wrong)} not known; there are {', '.join(f.name for f in fields(cls))}"
            )
        if values.get("sharing") is not None:
            values["sharing"] = Sharing.from_dict(values["sharing"])
        if values.get("scale") is not None:
            values["scale"] = EnergyScale.from_dict(values["scale"])
        values["scales"] = {mode: EnergyScale.from_dict(s) for mode, s in values.get("scales", {}).items()}
        if not isinstance(values.get("vertex", ""), str):
            values["vertex"] = tuple(values["vertex"])
        return cls(**values)


def _together(events: Iterable[Event], embedded: Iterable[Embedded]) -> tuple[Sequence[Event], Sequence[Embedded]]:
    e, m = list(events), list(embedded)
    if len(e) != len(m):
        raise ValueError(f"{len(e)} events, but {len(m)} embedded, expected one for each")
    return e, m
