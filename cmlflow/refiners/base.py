"""The interface of refiners."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor

from cmlflow.embedders import Embedder
from cmlflow.event import Event
from cmlflow.prediction import Embedding, Prediction


@runtime_checkable
class Refiner(Protocol):
    """From the clusters of a readout to better ones.

    A refiner holds its settings, which may change after the fit, and the state that `fit` learns.

    Attributes
    ----------
    passes : int
        Number of passes that reassign hits.
    most_events : int
        Number of training events it is fitted on, the first ones of the sample.
    shares_hits : bool
        Whether clusters share hits, so that energies are better taken from shares.
    """

    passes: int
    most_events: int
    shares_hits: bool

    def fit(
        self,
        events: Sequence[Event],
        embeddings: Sequence[Embedding],
        embedder: Embedder,
        *,
        seed: int = 0,
        progress: bool = False,
    ) -> None:
        """Learn from events with truth.

        Raises
        ------
        ValueError
            Nothing to learn from.
        """
        ...

    def refine(self, event: Event, embedding: Embedding, prediction: Prediction, embedder: Embedder) -> Prediction:
        """Reassign the hits of one event.

        Raises
        ------
        ValueError
            More passes than were trained.
        """
        ...

    def state(self) -> dict[str, Tensor]:
        """The weights, by name."""
        ...

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take weights from `state`."""
        ...
