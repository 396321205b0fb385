"""Hits reassigned to the most likely of the clusters nearby, by a learned shower profile.

A density readout finds the number and places of showers. To which of two overlapping halos a hit belongs depends on the
energies, depths and axes of both showers, which are known only then. A small network scores pairs of a hit and a
cluster; it is trained on true clusters, in a minute.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cmlflow.embedders import Embedder
from cmlflow.event import Event
from cmlflow.nets.backbones.scaling import REFERENCE_Z, slopes
from cmlflow.nets.scorer import Standardise, minimise, mlp
from cmlflow.prediction import Embedding, Prediction

CANDIDATES = 6  # candidates of a hit: the nearest clusters, seen from the origin
N_FEATURES = 9
FARTHEST = 8.0  # embedding distances are cut here


@dataclass(frozen=True)
class Summary:
    """Energy-weighted summaries of the clusters of one event.

    Attributes
    ----------
    energy : Tensor of shape (C,)
    place : Tensor of shape (C, 2) [cm]
        Centre in x and y, projected along lines to the origin to z = 350 cm.
    centre : Tensor of shape (C, D)
        Centre in the embedding.
    depth : Tensor of shape (C,) [cm]
        Centre in z.
    width : Tensor of shape (C,) [cm]
        Root mean square distance from `place`.
    """

    energy: Tensor
    place: Tensor
    centre: Tensor
    depth: Tensor
    width: Tensor


def summarise(x: Tensor, z: Tensor, labels: Tensor) -> Summary:
    """Summaries of the clusters 0..C-1; hits with the label -1 are ignored.

    Parameters
    ----------
    x : Tensor of shape (N, 5)
        x, y, z [cm], energy, layer.
    z : Tensor of shape (N, D)
        Embedding.
    labels : Tensor of shape (N,), int64
    """
    known = labels >= 0
    x, z, labels = x[known], z[known], labels[known]
    n_clusters = int(labels.max()) + 1 if len(labels) else 0
    w = x[:, 3]

    def total(value: Tensor) -> Tensor:
        return value.new_zeros(n_clusters, *value.shape[1:]).index_add(0, labels, value)

    energy = total(w).clamp(min=1e-6)
    p = slopes(x) * REFERENCE_Z
    place = total(w[:, None] * p) / energy[:, None]
    width = (total(w * (p - place[labels]).square().sum(1)) / energy).sqrt()
    return Summary(energy, place, total(w[:, None] * z) / energy[:, None], total(w * x[:, 2]) / energy, width)


def pair_features(x: Tensor, z: Tensor, clusters: Summary) -> tuple[Tensor, Tensor]:
    """Features of each hit with each cluster it may belong to.

    Returns
    -------
    features : Tensor of shape (N, K, 9)
        With K the smaller of 6 and the number of clusters: projected distance and its logarithm, depth and log energy
        of the hit, log energy of the cluster, difference in depth, width of the cluster, and distance in the embedding
        and its square.
    candidates : Tensor of shape (N, K), int64
        The clusters.
    """
    away = (slopes(x)[:, None] * REFERENCE_Z - clusters.place).square().sum(2).sqrt()
    distance, near = away.topk(min(CANDIDATES, away.shape[1]), largest=False)
    length = (z[:, None] - clusters.centre[near]).square().sum(2).sqrt().clamp(max=FARTHEST)
    columns = [
        distance,
        torch.log1p(distance),
        x[:, 2:3].expand_as(distance),
        torch.log1p(x[:, 3:4]).expand_as(distance),
        clusters.energy.log()[near],
        clusters.depth[near] - x[:, 2:3],
        clusters.width[near],
        length,
        length.square(),
    ]
    return torch.stack(columns, 2), near


class ShowerProfile(Standardise):
    """Scores pairs of a hit and a cluster: a learned shower profile, two hidden layers of `width`."""

    def __init__(self, width: int = 32) -> None:
        super().__init__(N_FEATURES)
        self.score = mlp(N_FEATURES, width, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(N, K, 9) to scores (N, K); their softmax over K is the probability of each cluster."""
        out: Tensor = self.score(self.scaled(features))
        return out[..., 0]


@dataclass
class Profile:
    """Reassign hits with a shower profile; fitted on the first 120 training events. A `Refiner`.

    Parameters
    ----------
    passes : int, default=1
        Number of passes that reassign hits.
    """

    passes: int = 1
    profile: ShowerProfile | None = field(default=None, repr=False, compare=False)
    most_events = 120
    shares_hits = False

    def __post_init__(self) -> None:
        if not isinstance(self.passes, int) or self.passes < 1:
            raise ValueError(f"passes is {self.passes}, expected 1 or more")

    def fit(
        self,
        events: Sequence[Event],
        embeddings: Sequence[Embedding],
        embedder: Embedder,
        *,
        seed: int = 0,
        progress: bool = False,
    ) -> None:
        """See `Refiner.fit`."""
        self.profile = fit_profile(events, [z.hits for z in embeddings], seed=seed)

    def refine(self, event: Event, embedding: Embedding, prediction: Prediction, embedder: Embedder) -> Prediction:
        """See `Refiner.refine`."""
        if self.profile is None:
            raise ValueError("the shower profile is not fitted")
        labels = prediction.labels
        for _ in range(self.passes):
            labels = reassign(self.profile, event, embedding.z, labels)
        return replace(prediction, labels=labels)

    def state(self) -> dict[str, Tensor]:
        """See `Refiner.state`."""
        return {} if self.profile is None else self.profile.state_dict()

    def load_state(self, state: dict[str, Tensor]) -> None:
        """See `Refiner.load_state`."""
        with torch.random.fork_rng(devices=[]):
            self.profile = ShowerProfile()
        self.profile.load_state_dict(state)


def fit_profile(
    events: Sequence[Event],
    embeddings: Sequence[np.ndarray],
    n_steps: int = 800,
    events_per_step: int = 4,
    learning_rate: float = 5e-3,
    seed: int = 0,
) -> ShowerProfile:
    """Train a `ShowerProfile` on true clusters, by cross entropy with weights sqrt(energy).

    Parameters
    ----------
    events : sequence of Event
        With truth.
    embeddings : sequence of ndarray of shape (n_hits, D)
        Of the same events.
    n_steps, events_per_step : int
    learning_rate : float
        Of Adam at the start; falls linearly to zero.
    seed : int
        Of initial weights and of the choice of events.

    Raises
    ------
    ValueError
        No event with two particles that have hits.
    """
    data = [d for e, z in zip(events, embeddings, strict=True) if (d := _pairs(e, z)) is not None]
    if not data:
        raise ValueError("events: none has hits of two known particles, as the reassignment of hits is trained on")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        profile = ShowerProfile()
    profile.standardise(*(f.flatten(0, 1) for f, _, _ in data))
    rng = np.random.default_rng(seed)
    n = min(events_per_step, len(data))

    def loss() -> Tensor:
        total = torch.zeros(())
        for i in rng.choice(len(data), n, replace=False):
            features, right, w = data[int(i)]
            each = functional.cross_entropy(profile(features), right, reduction="none")
            total = total + (w * each).sum() / w.sum().clamp(min=1e-9)  # all energies may be zero
        return total / n

    minimise(profile, loss, n_steps, learning_rate)
    return profile


@torch.no_grad()
def reassign(profile: ShowerProfile, event: Event, z: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Reassign every hit of a cluster to the most likely cluster.

    Parameters
    ----------
    profile : ShowerProfile
    event : Event
    z : ndarray of shape (n_hits, D)
        Embedding.
    labels : ndarray of shape (n_hits,), int64
        From a readout; -1 stays -1.

    Returns
    -------
    ndarray of shape (n_hits,), int64
        0..C'-1 in the order of `labels`; clusters that lose all their hits disappear.
    """
    if len(labels) == 0 or labels.max() < 1:
        return labels
    x, points = torch.from_numpy(event.inputs()).double(), torch.from_numpy(z).double()  # in any order of the hits
    features, near = pair_features(x, points, summarise(x, points, torch.from_numpy(labels)))
    best = near.gather(1, profile(features.float()).argmax(1, keepdim=True))[:, 0].numpy()
    out = np.full(len(labels), -1, np.int64)
    clustered = labels >= 0
    out[clustered] = np.unique(best[clustered], return_inverse=True)[1]
    return out


def _pairs(event: Event, z: np.ndarray) -> tuple[Tensor, Tensor, Tensor] | None:
    """Features, position of the right cluster among the candidates, and weight of the hits whose candidates hold it."""
    known = event.particle_id >= 0
    ids, labels = np.unique(event.particle_id[known], return_inverse=True)
    if len(ids) < 2:
        return None
    x, y = torch.from_numpy(event.inputs()[known]), torch.from_numpy(labels)
    points = torch.from_numpy(z[known])
    features, near = pair_features(x, points, summarise(x, points, y))
    right = near == y[:, None]
    there = right.any(1)
    return features[there], right[there].int().argmax(1), x[there, 3].sqrt()
