"""Hits assigned to showers whose axes are known, in stages: each sees what the one before made of the event.

A readout on the outputs of `AxisFinder` finds how many showers there are and where. The first stage scores pairs of a
hit and a shower by the place of the hit around the axis; later ones also by the shower that the stage before made, its
energy, centre, depth and width, and by where the neighbours of the hit went. Each stage is trained on the showers
that the one before it found, not on true ones, so that it knows their mistakes. The label of a hit is its most likely
shower; the energy of a shower is better made of its shares in all hits, as most hits between showers are of several.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from cmlflow.embedders.axes import RINGS, AxisFinder, projected, true_axes
from cmlflow.event import Event
from cmlflow.nets.backbones.scaling import mean_and_spread

Array = np.ndarray[Any, Any]

CANDIDATES = 6  # showers a hit may go to: those with the nearest axes
NEIGHBOURS = (8, 32)  # in space, whose shares are looked at; the hit itself is one of them
SPACE = (1.0, 1.0, 0.6)  # units of x, y and z there: layers are 2.5 to 5 cm apart, cells 1 cm
N_FIRST, N_LATER = 11, 20  # features of a pair in the first stage and in later ones
CORE = 3.0  # radius around the axis in which the depths of a shower are looked at [cm]
SAME_AXIS = 2.5  # distance up to which a shower is that of a particle in training [cm]
NARROWEST = 0.1  # least width of a shower [cm]
HITS_PER_EVENT = 1000  # in a step of the training


class EventShowers:
    """One event with the axes of its showers: what all stages need.

    Parameters
    ----------
    event : Event
    finder : AxisFinder
    beta : ndarray of shape (n_hits,)
    labels : ndarray of shape (n_hits,), int64
        From a readout, 0..C-1 and -1; the axis of each cluster is the line through its hit of largest `beta`.

    Attributes
    ----------
    order : ndarray of shape (n_hits,), int64
        All arrays of hits are in this order, which is one of the hits themselves, so that equal distances are
        resolved in the same way however the event has them.
    axes : ndarray of shape (C, 2) [cm]
        Mean place, weighted by `beta`, of the hits within 0.8 cm of that line, projected to z = 350 cm.
    """

    def __init__(self, event: Event, finder: AxisFinder, beta: Array, labels: Array) -> None:
        points = event.features()
        self.order = np.lexsort(points.T)
        points, beta, labels = points[self.order], beta[self.order], labels[self.order]
        x = torch.from_numpy(points)
        self.place, self.z, self.energy = projected(x), points[:, 2].astype(float), points[:, 3].astype(float)
        self.clustered = labels >= 0
        falling = np.argsort(-beta, kind="stable")
        falling = falling[self.clustered[falling]]
        peaks = falling[np.unique(labels[falling], return_index=True)[1]]
        tree = cKDTree(self.place)
        near = tree.query_ball_point(self.place[peaks], RINGS[0], return_sorted=True)
        self.axes = np.array([np.average(self.place[n], axis=0, weights=beta[n] + 1e-6) for n in near]).reshape(-1, 2)
        self.log_odds = np.log(beta[peaks] + 1e-6) - np.log1p(1e-6 - beta[peaks])
        around = finder.features(x, self.axes).double().numpy()[:, : len(RINGS) * len(finder.ends)]
        self.around = around.reshape(len(self.axes), len(RINGS), -1)
        self.depth = finder.depths(x)
        self.start = np.array([self._start(n) for n in tree.query_ball_point(self.axes, CORE, return_sorted=True)])
        candidates = np.arange(min(CANDIDATES, len(self.axes))) + 1
        self.distance, self.near = cKDTree(self.axes).query(self.place, k=candidates)
        space = points[:, :3] * np.array(SPACE)
        self.neighbours = cKDTree(space).query(space, k=np.arange(min(max(NEIGHBOURS), len(space))) + 1)[1]
        self.neighbours = self.neighbours.astype(np.int32)

    def _votes(self, given: Array) -> list[Array]:
        """The part that each candidate of a hit has of the energy of its nearest hits."""
        votes, energy = np.zeros(self.near.shape), np.zeros((len(self.near), 1))
        ends = [min(k, self.neighbours.shape[1]) for k in NEIGHBOURS]
        parts = {}
        for k, neighbour in enumerate(self.neighbours.T, 1):
            votes += given[neighbour[:, None], self.near]
            energy += self.energy[neighbour][:, None]
            if k in ends:
                parts[k] = votes / (energy + 1e-6)
        return [parts[k] for k in ends]

    def _start(self, core: list[int]) -> float:
        """The depth [cm] at which a tenth of the energy near the axis has been passed."""
        core = sorted(core, key=self.z.__getitem__)
        passed = np.cumsum(self.energy[core])
        return float(self.z[core[int(np.searchsorted(passed, 0.1 * passed[-1]))]])

    def owners(self, event: Event) -> Array:
        """The shower of every hit by its true particle, -1 where that has none within 2.5 cm of its axis."""
        ids, axes = true_axes(event)
        particle = event.particle_id[self.order]
        distance, shower = cKDTree(self.axes).query(axes)
        shower = np.where(distance < SAME_AXIS, shower, -1)
        return np.where(particle >= 0, shower[np.searchsorted(ids, particle)], -1)

    def features(self, shares: Array | None) -> Tensor:
        """Features of each hit with each of its candidates.

        Parameters
        ----------
        shares : ndarray of shape (n_hits, C), optional
            Part of every hit that the stage before gave to every shower; None for the first stage.

        Returns
        -------
        Tensor of shape (n_hits, K, 11), or with `shares` (n_hits, K, 20), float32
            Distance d from the axis and log(1 + d), depth and log(1 + energy) of the hit, its depth behind the start
            of the shower, that start, the log odds of the axis, log(1 + energy) within 1.6 cm of it, and in the three
            inner rings at the depth of the hit. Then: log(1 + energy) of the shower, distance d from its centre and
            log(1 + d), its depth in front of the hit, its width, distance in widths, the part it has of the energy of
            the 8 and of the 32 nearest hits, and the log of its share of the hit. Hits of no cluster are not part of
            any shower.
        """
        near, d = self.near, self.distance
        z = self.z[:, None]
        columns = [
            d,
            np.log1p(d),
            np.broadcast_to(z, d.shape),
            np.broadcast_to(np.log1p(self.energy)[:, None], d.shape),
        ]
        columns += [z - self.start[near], self.start[near], self.log_odds[near]]
        columns.append(np.log1p(np.expm1(self.around[:, :2]).sum((1, 2)))[near])
        columns += [self.around[near, ring, self.depth[:, None]] for ring in range(3)]
        if shares is not None:
            given = shares * (self.energy * self.clustered)[:, None]
            total = given.sum(0)
            there, parts = total > 0, given / np.where(total > 0, total, 1)
            centre = np.where(there[:, None], parts.T @ self.place, self.axes)
            depth = np.where(there, parts.T @ self.z, self.start)
            square = parts.T @ (self.place**2).sum(1) - (centre**2).sum(1)  # mean of the distances from the centre
            width = np.sqrt(square.clip(NARROWEST**2))
            away = np.linalg.norm(self.place[:, None] - centre[near], axis=2)
            columns += [np.log1p(total)[near], away, np.log1p(away), depth[near] - z, width[near]]
            columns += [away / width[near], *self._votes(given)]
            columns.append(np.log(np.take_along_axis(shares, near, 1) + 1e-4))
        return torch.from_numpy(np.stack(columns, 2).astype(np.float32))


class Stage(nn.Module):
    """Scores the candidates of a hit, each beside the largest of what is made of all of them."""

    mean: Tensor
    scale: Tensor

    def __init__(self, n_features: int, width: int = 48) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))
        self.pair = nn.Sequential(nn.Linear(n_features, width), nn.ELU(), nn.Linear(width, width), nn.ELU())
        self.score = nn.Sequential(nn.Linear(2 * width, width), nn.ELU(), nn.Linear(width, 1))

    def forward(self, features: Tensor) -> Tensor:
        """(N, K, F) to scores (N, K); their softmax over K is the share of each shower."""
        h = self.pair((features - self.mean) / self.scale)
        out: Tensor = self.score(torch.cat([h, h.amax(1, keepdim=True).expand_as(h)], 2))
        return out[..., 0]


class HitAssigner(nn.Module):
    """Stages that give every hit to a shower, each beginning with what the one before it gave.

    Parameters
    ----------
    n_stages : int
    """

    def __init__(self, n_stages: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList(Stage(N_LATER if i else N_FIRST) for i in range(n_stages))

    def __len__(self) -> int:
        return len(self.stages)

    def assign(
        self, event: Event, finder: AxisFinder, beta: Array, labels: Array, n_stages: int, min_share: float = 0.0
    ) -> tuple[Array, Array]:
        """Share the hits of clusters among the showers, and find the most likely shower of each.

        Parameters
        ----------
        event : Event
        finder : AxisFinder
        beta : ndarray of shape (n_hits,)
            Of its hits.
        labels : ndarray of shape (n_hits,), int64
            From a readout, 0..C-1; hits with -1 go to no shower.
        n_stages : int
            How many of the stages to go through, at least one.
        min_share : float
            Hits of which no shower has this share get the label -1; they are shared all the same.

        Returns
        -------
        labels : ndarray of shape (n_hits,), int64
            0..C'-1 in the order of the clusters given; showers that are the most likely one of no hit disappear, and
            what they have of hits is nobody's.
        shares : ndarray of shape (C', n_hits), float32
            The part of every hit that each shower has: the softmax of the scores of the last stage.

        Raises
        ------
        ValueError
            More stages than were trained, or none.
        """
        if not 1 <= n_stages <= len(self):
            raise ValueError(f"n_stages is {n_stages}, but {len(self)} stages were trained")
        if labels.max(initial=-1) < 1:
            return labels, np.atleast_2d(labels == 0)[: labels.max(initial=-1) + 1].astype(np.float32)
        showers = EventShowers(event, finder, beta, labels)
        shares = stage_shares(self.stages[0], showers, None)
        for stage in self.stages[1:n_stages]:
            shares = stage_shares(stage, showers, shares)
        shares[~showers.clustered] = 0
        best = np.where(showers.clustered & (shares.max(1) >= min_share), shares.argmax(1), -1)
        left, best[best >= 0] = np.unique(best[best >= 0], return_inverse=True)
        out, parts = np.empty_like(best), np.empty((len(left), len(best)), np.float32)
        out[showers.order], parts[:, showers.order] = best, shares[:, left].T
        return out, parts


@torch.no_grad()
def stage_shares(stage: nn.Module, showers: EventShowers, shares: Array | None) -> Array:
    """Softmax of the scores of one stage, shape (n_hits, C); zero for showers that are no candidates."""
    given = stage(showers.features(shares)).softmax(1).double().numpy()
    out = np.zeros((len(showers.place), len(showers.axes)))
    np.put_along_axis(out, showers.near, given, 1)
    return out


def fit_hit_assigner(
    events: Sequence[Event],
    finder: AxisFinder,
    betas: Sequence[Array],
    labels: Sequence[Array],
    n_stages: int,
    n_steps: int = 3000,
    events_per_step: int = 4,
    learning_rate: float = 3e-3,
    seed: int = 0,
    progress: bool = False,
) -> HitAssigner:
    """Train the stages one after the other, by cross entropy with weights sqrt(energy).

    Parameters
    ----------
    events : sequence of Event
        With truth.
    finder : AxisFinder
    betas : sequence of ndarray of shape (n_hits,)
    labels : sequence of ndarray of shape (n_hits,), int64
        Of the readout that finds the showers.
    n_stages, n_steps, events_per_step : int
    learning_rate : float
        Of Adam at the start; falls linearly to zero.
    seed : int
        Of initial weights and of the choice of events and hits.
    progress : bool, default=False
        Show it.

    Raises
    ------
    ValueError
        No event in which two showers of particles were found.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        assigner = HitAssigner(n_stages)
    data = [
        (showers, showers.owners(event))
        for event, beta, found in zip(events, betas, labels, strict=True)
        if found.max(initial=-1) > 0 and (event.particle_id >= 0).any()
        for showers in [EventShowers(event, finder, beta, found)]
    ]
    shares: list[Array | None] = [None] * len(data)
    for i, stage in enumerate(assigner.stages):
        pairs = [_pairs(showers, owner, given) for (showers, owner), given in zip(data, shares, strict=True)]
        pairs = [pair for pair in pairs if pair[2].sum() > 0]  # of hits with energy
        if not pairs:
            raise ValueError("events: in none were two showers of known particles found, as shares are trained on")
        steps = tqdm(range(n_steps), f"stage {i + 1}", disable=not progress, dynamic_ncols=True)
        _fit_stage(cast(Stage, stage), pairs, steps, events_per_step, learning_rate, np.random.default_rng([seed, i]))
        shares = [stage_shares(stage, showers, given) for (showers, _), given in zip(data, shares, strict=True)]
    return assigner


def _pairs(showers: EventShowers, owner: Array, shares: Array | None) -> tuple[Tensor, Tensor, Tensor]:
    """Features, position of the right shower among the candidates, and weight of the hits whose candidates hold it."""
    right = torch.from_numpy(showers.near == owner[:, None])
    there = right.any(1)
    weight = torch.from_numpy(np.sqrt(showers.energy)).float()[there]
    return showers.features(shares)[there], right[there].int().argmax(1), weight


def _fit_stage(
    stage: Stage,
    pairs: Sequence[tuple[Tensor, Tensor, Tensor]],
    steps: tqdm[int],
    events_per_step: int,
    learning_rate: float,
    rng: np.random.Generator,
) -> None:
    values = mean_and_spread(*(features.flatten(0, 1) for features, _, _ in pairs))
    for own, value in zip((stage.mean, stage.scale), values, strict=True):
        own.copy_(value)
    optimizer = torch.optim.Adam(stage.parameters(), lr=learning_rate)
    for step in steps:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * (1 - step / len(steps))
        chosen = rng.choice(len(pairs), min(events_per_step, len(pairs)), replace=False)
        loss = torch.zeros(())
        for i in chosen:
            features, right, weight = pairs[int(i)]
            hits = torch.from_numpy(rng.permutation(len(features))[:HITS_PER_EVENT])
            each = functional.cross_entropy(stage(features[hits]), right[hits], reduction="none")
            loss = loss + (weight[hits] * each).sum() / weight[hits].sum().clamp(min=1e-9) / len(chosen)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
