"""Embeddings by a graph network trained with a contrastive, margin or condensation loss."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor, nn

from cmlflow.embedders.base import Score
from cmlflow.event import Event, FloatArray
from cmlflow.losses import Loss
from cmlflow.nets.device import usable_device
from cmlflow.nets.network import NetworkConfig, edge_network, fit_scaling
from cmlflow.prediction import Embedding
from cmlflow.prediction.embedding import unit_vectors
from cmlflow.sampling import Inputs, Points, collate_points, event_points
from cmlflow.sampling.batches import groups
from cmlflow.training import ClusteringTask, History, TrainingConfig, train

HITS_PER_PASS = 2_000  # of events that go through the network together


class NetworkEmbedder:
    """The DynamicEdgeConv network with a head.

    Parameters
    ----------
    head : type
        Of the torch module, ``head(in_features, dim)``; see `cmlflow.nets.heads`.
    loss : Loss
    on_sphere : bool
        Whether embeddings are made unit vectors.
    dropout : float, default=0.01
        Where `network` names none.
    dim : int, default=16
        Dimension of the embedding.
    network : NetworkConfig, optional
    training : TrainingConfig, optional
    max_epochs, batch_size, learning_rate : optional
        In place of those of `training`.
    tracks : bool, default=False
    inputs : Inputs, optional
        What the network sees of each hit: position, energy and layer by default.
    random_state : int, default=0
        Seed of initial weights, event order and dropout. Heads start from the same backbone.
    device : str, default="cpu"
    """

    torch_only = True

    def __init__(
        self,
        head: type[nn.Module],
        loss: Loss,
        on_sphere: bool,
        dropout: float = 0.01,
        *,
        dim: int = 16,
        network: NetworkConfig | None = None,
        training: TrainingConfig | None = None,
        max_epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        tracks: bool = False,
        inputs: Inputs | None = None,
        random_state: int = 0,
        device: str = "cpu",
    ) -> None:
        given = {"max_epochs": max_epochs, "batch_size": batch_size, "learning_rate": learning_rate}
        changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        self.config = replace(TrainingConfig() if training is None else training, seed=random_state, **changes)
        self.loss, self.on_sphere, self.takes_tracks, self.device = loss, on_sphere, tracks, device
        self.inputs = Inputs() if inputs is None else inputs
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(random_state)
            n, hidden = len(self.inputs.columns(tracks)), self.inputs.hidden
            self.network = edge_network(head, dim, network, tracks, dropout, n, hidden)

    def fit(
        self,
        events: Sequence[Event],
        validation: Sequence[Event] | None = None,
        *,
        folder: str | Path | None = None,
        score: Score | None = None,
        progress: bool = False,
        tensorboard: bool = False,
    ) -> History:
        """See `Embedder.fit`; with ``select="physics"`` the score decides which epoch is kept."""
        physics = self.config.select == "physics"
        if physics and not validation:
            raise ValueError("select='physics' needs a validation sample")
        fit_scaling(self.network, events, self.takes_tracks, self.inputs)
        return train(
            self.network,
            ClusteringTask(self.loss, self.takes_tracks, self.config.balance, self.inputs),
            events,
            validation,
            self.config,
            folder=folder,
            score=(lambda _: score(self.embed(validation))) if physics and score and validation else None,
            device=self.device,
            progress=progress,
            tensorboard=tensorboard,
        )

    def embed(self, events: Iterable[Event]) -> Iterator[Embedding]:
        """See `Embedder.embed`; small events go through the network together."""
        return self.embed_points(event_points(event, self.takes_tracks, inputs=self.inputs) for event in events)

    def embed_points(self, points: Iterable[Points]) -> Iterator[Embedding]:
        """As `embed`, of points already made from events."""
        device = usable_device(self.device)
        self.network.to(device).eval()
        for some in groups(points, len, HITS_PER_PASS):
            yield from self._pass(some, device)

    def state(self) -> dict[str, Tensor]:
        """See `Embedder.state`."""
        return self.network.state_dict()

    def load_state(self, state: dict[str, Tensor]) -> None:
        """See `Embedder.load_state`."""
        self.network.load_state_dict(state)

    def _pass(self, points: Sequence[Points], device: torch.device) -> Iterator[Embedding]:
        """Embeddings of the points of several events, in one pass through the network."""
        batch = collate_points(points).to(device)
        with torch.inference_mode():
            out = self.network(batch.x, batch.ptr)
        values = {name: value.float().cpu().numpy() for name, value in out.items()}
        end = 0
        for one in points:
            start, end = end, end + len(one)
            yield self._embedding(one, {name: value[start:end] for name, value in values.items()})

    def _embedding(self, points: Points, values: dict[str, FloatArray]) -> Embedding:
        z = values["coordinates"] if "coordinates" in values else values["embedding"]
        z = unit_vectors(z) if self.on_sphere else z
        origin: FloatArray | None = None
        if "origin" in values:
            origin = softmax(values["origin"][: points.n_hits].astype(np.float64), axis=1).astype(np.float32)
        return Embedding(points, z, self.on_sphere, values.get("beta"), origin)
