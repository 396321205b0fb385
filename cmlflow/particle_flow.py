"""Clusters and tracks to particle-flow candidates, with one model: a clusterer and what associates its clusters."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cmlflow.association import Associator, Candidates
from cmlflow.association.cell_shares import CellShares, require_tracks, shares_of
from cmlflow.association.stored import check_stored
from cmlflow.clusterer import MetricClusterer
from cmlflow.event import Event, as_events
from cmlflow.model_paths import find_model, replace_files
from cmlflow.prediction import Prediction
from cmlflow.prediction.mixin import HITS_PER_GROUP
from cmlflow.sampling import n_points
from cmlflow.sampling.batches import groups

ASSOCIATION = "association.json"


class ParticleFlow:
    """Charged and neutral candidates of events with tracks.

    Parameters
    ----------
    clusterer : MetricClusterer
        With ``tracks=True``, trained.
    associator : Associator, optional
        What makes candidates of its clusters; `fit` finds the numbers in it.

    Examples
    --------
    >>> import cmlflow
    >>> flow = cmlflow.ParticleFlow.load("rho-supcon")
    >>> events = cmlflow.simulate("rho-test", n_events=2, seed=1)
    >>> candidates = flow.predict(events)
    >>> candidates[0].share.shape == (len(candidates[0]), events[0].n_hits)
    True
    """

    def __init__(self, clusterer: MetricClusterer, associator: Associator | None = None) -> None:
        if not clusterer.tracks:
            raise ValueError("clusterer: takes hits alone, expected one with tracks=True")
        self.clusterer = clusterer
        self.associator = Associator() if associator is None else associator

    def fit(self, events: Sequence[Event] | Iterable[Event]) -> ParticleFlow:
        """Fit shares of hits and the energy scale on events with truth that the clusterer was not trained on.

        Returns
        -------
        ParticleFlow
            Itself.
        """
        sample = list(as_events(events))
        self.associator = self.associator.fit(sample, self._found(sample))
        return self

    def predict(self, events: Sequence[Event] | Iterable[Event]) -> list[Candidates]:
        """Candidates of every event: first those of its tracks, in their order, then the neutral ones.

        Raises
        ------
        RuntimeError
            Before `fit`.
        """
        sample = list(as_events(events))
        return self.associator.predict(sample, self._found(sample))

    def cell_shares(self, events: Sequence[Event] | Iterable[Event]) -> list[CellShares]:
        """Share of every track, and of all neutral candidates together, in the cells of every event.

        Raises
        ------
        ValueError
            Tracks that are not known (None).
        """
        sample = list(as_events(events))
        require_tracks(sample)
        return [shares_of(e, c) for e, c in zip(sample, self.predict(sample), strict=True)]

    def predict_iter(self, events: Iterable[Event]) -> Iterator[Candidates]:
        """As `predict`, a few events at a time: for files larger than memory."""
        for some in groups(events, lambda event: n_points(event, True), HITS_PER_GROUP):
            yield from self.predict(some)

    def _found(self, events: Sequence[Event]) -> list[Prediction]:
        return list(self.clusterer.iter(events))

    def with_mode(self, mode: str) -> ParticleFlow:
        """The same model with other shares: ``"soft"``, ``"hard"`` or ``"clusters"``, see `Associator`."""
        return ParticleFlow(self.clusterer, replace(self.associator, mode=mode))

    def save(self, folder: str | Path) -> None:
        """Write the clusterer and ``association.json`` into a folder."""
        self.clusterer.save(folder)
        text = json.dumps(self.associator.to_dict(), indent=1) + "\n"
        replace_files({Path(folder) / ASSOCIATION: lambda p: p.write_text(text)})

    @classmethod
    def load(cls, name: str | Path, **changes: Any) -> ParticleFlow:
        """A packaged model by its name, or a saved one by its folder.

        Parameters
        ----------
        name : str or path
        **changes
            Parameters of the clusterer in place of the saved ones.

        Raises
        ------
        FileNotFoundError
            No such folder or packaged model.
        ValueError
            A model without tracks, or without an association.
        """
        folder = find_model(name)
        clusterer = MetricClusterer.load(folder, **changes)
        path = folder / ASSOCIATION
        if not path.is_file():
            raise ValueError(f"{name}: has no {ASSOCIATION}: not a model of particle flow")
        try:
            associator = Associator.from_dict(json.loads(path.read_text()))
            check_stored(associator)
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as err:
            raise ValueError(f"{path}: cannot be read ({type(err).__name__}: {err})") from err
        return cls(clusterer, associator)


def is_particle_flow(name: str | Path) -> bool:
    """Whether a packaged model or a folder is one of particle flow: a clusterer with what associates its clusters.

    Raises
    ------
    FileNotFoundError
        No such folder or packaged model.
    """
    return (find_model(name) / ASSOCIATION).is_file()
