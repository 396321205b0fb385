"""Axes of showers as the embedding: slopes of every hit, and how likely its line from the origin is an axis."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor, nn
from torch.nn import functional

from cmlflow.embedders.base import Score
from cmlflow.event import Event
from cmlflow.nets.axes import DEPTHS, RINGS, AxisFinder, projected
from cmlflow.nets.device import usable_device
from cmlflow.nets.scorer import minimise
from cmlflow.prediction import Embedding
from cmlflow.sampling import collate_points, event_points

Array = np.ndarray[Any, Any]

ON_AXIS = 1.0  # distance up to which a line counts as the axis in training [cm]
MOST_EVENTS = 500  # the first ones of the training sample that are used


class AxisEmbedder:
    """Slopes as coordinates, and a beta learned from what lies around the line to the origin, see `AxisFinder`.

    Trained on the first 500 events; there is no graph network.

    Parameters
    ----------
    random_state : int, default=0
        Seed of initial weights and of the choice of hits.
    device : str, default="cpu"
    """

    on_sphere = False
    takes_tracks = False
    torch_only = False

    def __init__(self, *, random_state: int = 0, device: str = "cpu") -> None:
        self.random_state, self.device = random_state, device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(random_state)
            self.finder = AxisFinder()

    def fit(
        self,
        events: Sequence[Event],
        validation: Sequence[Event] | None = None,
        *,
        folder: str | Path | None = None,
        score: Score | None = None,
        progress: bool = False,
        tensorboard: bool = False,
    ) -> None:
        """See `Embedder.fit`; takes minutes, and leaves no checkpoint."""
        some = [events[i] for i in range(min(MOST_EVENTS, len(events)))]
        fit_axis_finder(self.finder, some, seed=self.random_state, progress=progress)

    def embed(self, events: Iterable[Event]) -> Iterator[Embedding]:
        """See `Embedder.embed`."""
        device = usable_device(self.device)
        self.finder.to(device).eval()
        for event in events:
            points = event_points(event)
            batch = collate_points([points]).to(device)
            with torch.inference_mode():
                out = self.finder(batch.x, batch.ptr)
            z, beta = (out[name].float().cpu().numpy() for name in ("coordinates", "beta"))
            yield Embedding(points, z, self.on_sphere, beta)

    def state(self) -> dict[str, Tensor]:
        """See `Embedder.state`."""
        return self.finder.state_dict()

    def load_state(self, state: dict[str, Tensor]) -> None:
        """See `Embedder.load_state`."""
        self.finder.load_state_dict(state)


def true_axes(event: Event) -> tuple[Array, Array]:
    """The axis of every known particle: the line through one of its hits with most layers hit within 0.8 cm.

    Returns
    -------
    ids : ndarray of shape (P,), int64
        Particles, rising.
    axes : ndarray of shape (P, 2) [cm]
        The mean place of those hits, at z = 350 cm; of equally good lines that with most energy around it.
    """
    x = torch.from_numpy(event.inputs())
    p = projected(x)
    ids = np.unique(event.particle_id[event.particle_id >= 0])
    axes = np.empty((len(ids), 2))
    for row, particle in enumerate(ids):
        own = np.flatnonzero(event.particle_id == particle)
        near = cKDTree(p[own]).query_ball_point(p[own], RINGS[0])
        score = [(len(np.unique(event.layer[own[n]])), float(event.energy[own[n]].sum())) for n in near]
        best = max(range(len(own)), key=score.__getitem__)
        axes[row] = p[own[near[best]]].mean(0)
    return ids, axes


def fit_axis_finder(
    finder: AxisFinder,
    events: Sequence[Event],
    n_steps: int = 3000,
    hits_per_step: int = 4096,
    learning_rate: float = 3e-3,
    seed: int = 0,
    progress: bool = False,
) -> None:
    """Train an `AxisFinder`, by cross entropy, to tell hits within 1 cm of the axis of a particle.

    Parameters
    ----------
    finder : AxisFinder
    events : sequence of Event
        With truth.
    n_steps, hits_per_step : int
    learning_rate : float
        Of Adam at the start; falls linearly to zero.
    seed : int
        Of initial weights and of the choice of hits.
    progress : bool, default=False
        Show it.

    Raises
    ------
    ValueError
        No event with a known particle.
    """
    known = [e for e in events if (e.particle_id >= 0).any()]
    if not known:
        raise ValueError("none of the training events has a hit with a known particle (particle_id >= 0)")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        finder.score.apply(lambda m: m.reset_parameters() if isinstance(m, nn.Linear) else None)
    layers = np.unique(np.concatenate([e.layer for e in known]))
    finder.ends.copy_(torch.from_numpy(layers[np.ceil(np.round(len(layers) * DEPTHS, 6)).astype(int) - 1]))
    inputs = [torch.from_numpy(e.inputs()) for e in known]
    features = torch.cat([finder.features(x) for x in inputs])
    distance = [cKDTree(true_axes(e)[1]).query(projected(x))[0] for e, x in zip(known, inputs, strict=True)]
    on_axis = torch.from_numpy(np.concatenate(distance) < ON_AXIS).float()
    finder.standardise(features)
    rng = np.random.default_rng(seed)

    def loss() -> Tensor:
        chosen = torch.from_numpy(rng.integers(len(features), size=min(hits_per_step, len(features))))
        return functional.binary_cross_entropy_with_logits(finder.logits(features[chosen]), on_axis[chosen])

    minimise(finder.score, loss, n_steps, learning_rate, "axes", progress)
