"""The interface of embedders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from torch import Tensor

from cmlflow.event import Event
from cmlflow.prediction import Embedding
from cmlflow.training import History

Score = Callable[[Iterator[Embedding]], float]
"""From the embeddings of the validation sample to a figure; smaller is better."""


@runtime_checkable
class Embedder(Protocol):
    """From events to embeddings of their points.

    Attributes
    ----------
    on_sphere : bool
        Whether embeddings are unit vectors.
    takes_tracks : bool
        Whether tracks are points too.

    Notes
    -----
    A true attribute `torch_only` says that embeddings are those of a torch module `network`, or plain slopes without
    one: such embedders can be exported.
    """

    on_sphere: bool
    takes_tracks: bool

    def fit(
        self,
        events: Sequence[Event],
        validation: Sequence[Event] | None = None,
        *,
        folder: str | Path | None = None,
        score: Score | None = None,
        progress: bool = False,
        tensorboard: bool = False,
    ) -> History | None:
        """Train on events with truth.

        Parameters
        ----------
        events, validation : sequence of Event
        folder : path, optional
            For checkpoint and log; an interrupted run continues from there.
        score : callable, optional
            Takes the embeddings of the validation sample; the epoch with the smallest value may be kept.
        progress, tensorboard : bool

        Raises
        ------
        ValueError
            No event with a labelled hit.
        """
        ...

    def embed(self, events: Iterable[Event]) -> Iterator[Embedding]:
        """Embeddings of the events, in order, each independent of the other events."""
        ...

    def state(self) -> dict[str, Tensor]:
        """The weights, by name."""
        ...

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take weights from `state`.

        Raises
        ------
        RuntimeError
            They do not fit.
        """
        ...
