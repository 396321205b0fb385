"""Hits assigned to showers with known axes, in stages: each uses the result of the one before.

A readout on the outputs of `AxisFinder` finds the number and places of showers. The first stage scores pairs of a hit
and a shower by the place of the hit around the axis. Later stages also use the energy, centre, depth and width of the
shower that the stage before made, and the assignment of the hit's neighbours. Each stage is trained on the showers that
the one before it found, not on true ones, so that it learns their mistakes. The label of a hit is its most likely
shower. The energy of a shower is better summed over its shares in all hits, because most hits between showers belong to
several.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cmlflow.embedders import Embedder
from cmlflow.event import Event
from cmlflow.nets.axes import AxisFinder
from cmlflow.nets.scorer import Standardise, minimise, mlp
from cmlflow.prediction import Embedding, Prediction, read_out
from cmlflow.readouts import Condensation
from cmlflow.refiners.showers import EventShowers

Array = np.ndarray[Any, Any]

N_FIRST, N_LATER = 11, 20  # features of a pair in the first stage and in later ones
HITS_PER_EVENT = 1000  # in a step of the training
THRESHOLD, RADIUS = 0.5, 0.57  # of OC inference, on whose showers stages are trained: axes 2 cm apart


class Stage(Standardise):
    """Scores the candidates of a hit, each beside the largest of what is made of all of them."""

    def __init__(self, n_features: int, width: int = 48) -> None:
        super().__init__(n_features)
        self.pair = nn.Sequential(*mlp(n_features, width, width), nn.ELU())
        self.score = mlp(2 * width, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(N, K, F) to scores (N, K); their softmax over K is the share of each shower."""
        h = self.pair(self.scaled(features))
        out: Tensor = self.score(torch.cat([h, h.amax(1, keepdim=True).expand_as(h)], 2))
        return out[..., 0]


class HitAssigner(nn.Module):
    """Stages that assign every hit to a shower, each starting from the result of the one before.

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
            Number of stages to use, at least one.
        min_share : float
            Hits whose largest share is below this value get the label -1; they are still shared.

        Returns
        -------
        labels : ndarray of shape (n_hits,), int64
            0..C'-1 in the order of the clusters given; showers that are the most likely one of no hit disappear, and
            their shares are unassigned.
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


@dataclass
class Stages:
    """Share every hit among showers in trained stages; fitted on the first 500 training events. A `Refiner`.

    For the head ``"axes"``.

    Parameters
    ----------
    passes : int, default=3
        Number of stages.
    min_share : float, default=0
        Hits whose largest predicted share is below this value are labelled noise; they are still shared.
    """

    passes: int = 3
    min_share: float = 0.0
    assigner: HitAssigner | None = field(default=None, repr=False, compare=False)
    most_events = 500
    shares_hits = True

    def __post_init__(self) -> None:
        if not isinstance(self.passes, int) or self.passes < 1:
            raise ValueError(f"passes is {self.passes}, expected 1 or more")
        if not 0 <= self.min_share < 1:
            raise ValueError(f"min_share is {self.min_share}, expected 0 or more and below 1")

    def fit(
        self,
        events: Sequence[Event],
        embeddings: Sequence[Embedding],
        embedder: Embedder,
        *,
        seed: int = 0,
        progress: bool = False,
    ) -> None:
        """See `Refiner.fit`; on the showers that OC inference finds."""
        readout = Condensation(THRESHOLD, RADIUS)
        labels = [read_out(readout, one).labels for one in embeddings]
        betas = [cast(Array, one.beta) for one in embeddings]
        self.assigner = fit_hit_assigner(
            events, _finder(embedder), betas, labels, self.passes, seed=seed, progress=progress
        )

    def refine(self, event: Event, embedding: Embedding, prediction: Prediction, embedder: Embedder) -> Prediction:
        """See `Refiner.refine`."""
        if self.assigner is None or self.passes > len(self.assigner):
            trained = 0 if self.assigner is None else len(self.assigner)
            raise ValueError(f"passes is {self.passes}, but {trained} stages were trained")
        labels, shares = self.assigner.assign(
            event, _finder(embedder), cast(Array, embedding.beta), prediction.labels, self.passes, self.min_share
        )
        return replace(prediction, labels=labels, soft_shares=shares)

    def state(self) -> dict[str, Tensor]:
        """See `Refiner.state`."""
        return {} if self.assigner is None else self.assigner.state_dict()

    def load_state(self, state: dict[str, Tensor]) -> None:
        """See `Refiner.load_state`."""
        n_stages = len({name.split(".")[1] for name in state if name.startswith("stages.")})
        with torch.random.fork_rng(devices=[]):
            self.assigner = HitAssigner(n_stages)
        self.assigner.load_state_dict(state)


def _finder(embedder: Any) -> AxisFinder:
    finder = getattr(embedder, "finder", None)
    if finder is None:
        raise ValueError("stages need the axes of showers, expected head='axes'")
    return cast(AxisFinder, finder)


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
        rng = np.random.default_rng([seed, i])
        loss = _loss_of_step(cast(Stage, stage), pairs, events_per_step, rng)
        minimise(stage, loss, n_steps, learning_rate, f"stage {i + 1}", progress)
        shares = [stage_shares(stage, showers, given) for (showers, _), given in zip(data, shares, strict=True)]
    return assigner


def _pairs(showers: EventShowers, owner: Array, shares: Array | None) -> tuple[Tensor, Tensor, Tensor]:
    """Features, position of the right shower among the candidates, and weight of the hits whose candidates hold it."""
    right = torch.from_numpy(showers.near == owner[:, None])
    there = right.any(1)
    weight = torch.from_numpy(np.sqrt(showers.energy)).float()[there]
    return showers.features(shares)[there], right[there].int().argmax(1), weight


def _loss_of_step(
    stage: Stage, pairs: Sequence[tuple[Tensor, Tensor, Tensor]], events_per_step: int, rng: np.random.Generator
) -> Callable[[], Tensor]:
    stage.standardise(*(features.flatten(0, 1) for features, _, _ in pairs))

    def loss() -> Tensor:
        chosen = rng.choice(len(pairs), min(events_per_step, len(pairs)), replace=False)
        total = torch.zeros(())
        for i in chosen:
            features, right, weight = pairs[int(i)]
            hits = torch.from_numpy(rng.permutation(len(features))[:HITS_PER_EVENT])
            each = functional.cross_entropy(stage(features[hits]), right[hits], reduction="none")
            total = total + (weight[hits] * each).sum() / weight[hits].sum().clamp(min=1e-9) / len(chosen)
        return total

    return loss
