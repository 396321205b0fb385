"""Slopes x/z and y/z as the embedding: no network. A learned embedding has to beat it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from cmlflow.embedders.base import Score
from cmlflow.event import Event
from cmlflow.nets.backbones.scaling import slopes
from cmlflow.nets.heads.offset import SLOPE_UNIT
from cmlflow.prediction import Embedding
from cmlflow.sampling import event_points


class SlopesEmbedder:
    """x/z and y/z of every hit in the unit of `OffsetHead`, for particles from the origin; nothing is trained."""

    on_sphere = False
    takes_tracks = False
    torch_only = True

    def __init__(self, *, random_state: int = 0, device: str = "cpu") -> None:
        pass

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
        """Nothing to fit; see `Embedder.fit`."""

    def embed(self, events: Iterable[Event]) -> Iterator[Embedding]:
        """See `Embedder.embed`."""
        for event in events:
            points = event_points(event)
            yield Embedding(points, (slopes(torch.from_numpy(points.x)) / SLOPE_UNIT).numpy(), self.on_sphere)

    def state(self) -> dict[str, Tensor]:
        """Nothing; see `Embedder.state`."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """See `Embedder.load_state`."""
        if state:
            raise RuntimeError(f"slopes have no weights, but there are {', '.join(sorted(state)[:3])}")
