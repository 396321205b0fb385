"""Methods of a fitted model: embed events, predict, tune readouts, score."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from tqdm import tqdm

from cmlflow.checks import check, warn
from cmlflow.event import Event, as_events
from cmlflow.metrics import reconstruction_metrics
from cmlflow.prediction.embedding import Embedding
from cmlflow.prediction.execution import in_order
from cmlflow.prediction.prediction import Prediction
from cmlflow.prediction.readout import AUTO, make_readout, read_out
from cmlflow.prediction.sizes import few_hits
from cmlflow.prediction.tuning import Tuning, distance, table_of, tune_readout, warn_of_tuning
from cmlflow.sampling import n_points
from cmlflow.sampling.batches import groups

if TYPE_CHECKING:
    from cmlflow.embedders import Embedder
    from cmlflow.refiners import Refiner

WATCHED = 20  # first events that are compared with those of the training
HITS_PER_GROUP = 16_000  # of events that are predicted together


class PredictMixin:
    """Methods of a fitted model: embed, predict, tune, score."""

    readout: Any
    verbose: bool
    embedder_: Embedder
    refiner_: Refiner | None
    thresholds_: dict[str, dict[str, Any]]
    trained_on_: dict[str, Any]
    seen_: dict[str, Any]

    def transform(self, events: Sequence[Event] | Iterable[Event]) -> list[np.ndarray]:
        """Embeddings of the hits.

        Returns
        -------
        list of ndarray of shape (n_hits, D), float32
            Unit vectors for ``"supcon"``, raw coordinates for the other heads.
        """
        return [z.hits for z in self.iter_embeddings(self._progress(events))]

    def transform_tracks(self, events: Sequence[Event] | Iterable[Event]) -> list[np.ndarray]:
        """Embeddings of the tracks, of a model with `tracks`.

        Returns
        -------
        list of ndarray of shape (n_tracks, D), float32
            Mean over the points of each track; for ``"supcon"`` made a unit vector again.
        """
        self._check_tracks()
        return [z.tracks for z in self.iter_embeddings(self._progress(events))]

    def predict(self, events: Sequence[Event] | Iterable[Event]) -> list[np.ndarray]:
        """Cluster of every hit.

        Returns
        -------
        list of ndarray of shape (n_hits,), int64
            0..C-1 in each event, -1 for noise. An event without hits gives an empty array.
        """
        return [found.labels for found in self.iter(self._progress(events))]

    def predict_shares(self, events: Sequence[Event] | Iterable[Event]) -> list[np.ndarray]:
        """Share of every cluster in every hit.

        With ``head="axes"`` and `refine`, hits are shared among overlapping showers, including hits that `min_share`
        labels noise; otherwise a hit belongs wholly to its cluster.

        Returns
        -------
        list of ndarray of shape (C, n_hits), float32
            Row c is cluster c of `predict`. The shares of a hit sum to 1, or to less where a shower that is the most
            likely one of no hit has some of it.
        """
        return [found.shares for found in self.iter(self._progress(events))]

    def predict_energies(
        self, events: Sequence[Event] | Iterable[Event], layer_weights: ArrayLike | None = None
    ) -> list[np.ndarray]:
        """Energy of every cluster: its shares of the hits, as from `predict_shares`, times the layer weights.

        Parameters
        ----------
        events : sequence of Event
        layer_weights : array_like of shape (n_layers,), optional
            As in `cmlflow.metrics.hit_weights`.

        Returns
        -------
        list of ndarray of shape (C,), float64
            Entry c is cluster c of `predict`, in the unit of the layer weights: GeV for known detectors, that of the
            hit energies where there are no weights.

        Raises
        ------
        ValueError
            Hits in a layer without a weight.

        Examples
        --------
        >>> import cmlflow
        >>> events = cmlflow.simulate("compact-had-test", n_events=2, seed=1)
        >>> model = cmlflow.MetricClusterer.load("compact-had-best")
        >>> scores = cmlflow.evaluate(events, model.predict(events), energies=model.predict_energies(events))
        """
        sample = as_events(events)
        found = zip(sample, self.iter(self._progress(sample)), strict=True)
        return [one.energies(event, layer_weights) for event, one in found]

    def predict_tracks(self, events: Sequence[Event] | Iterable[Event]) -> list[np.ndarray]:
        """Cluster of every track, of a model with `tracks`.

        Returns
        -------
        list of ndarray of shape (n_tracks,), int64
            In the numbering of `predict`; clusters without hits follow those with hits. The cluster of most of the
            track's points, of equally many that of the one nearest the front of the calorimeter; -1 where all are
            noise.
        """
        self._check_tracks()
        return [found.track_labels for found in self.iter(self._progress(events))]

    def predict_all(
        self, events: Sequence[Event] | Iterable[Event], readouts: Sequence[str]
    ) -> tuple[list[np.ndarray], dict[str, list[np.ndarray]]]:
        """Embeddings as from `transform`, and the labels of several readouts; the network runs once.

        Parameters
        ----------
        events : sequence of Event
        readouts : sequence of str
            Each with its tuned thresholds, where there are some.

        Returns
        -------
        embeddings : list of ndarray of shape (n_hits, D), float32
        labels : dict of str to list of ndarray of shape (n_hits,), int64
        """
        found = list(self.iter_readouts(self._progress(events), readouts))
        labels = {name: [each[i].labels for each in found] for i, name in enumerate(readouts)}
        return [each[0].z_hits for each in found], labels

    def iter(self, events: Iterable[Event], executor: Executor | None = None) -> Iterator[Prediction]:
        """Predictions for each event, a few events at a time: for files larger than memory.

        Parameters
        ----------
        events : iterable of Event
        executor : concurrent.futures.Executor, optional
            Runs groups of events in parallel; results come in the order of the events.

        Yields
        ------
        Prediction
        """
        return (found for (found,) in self.iter_readouts(events, [self.readout_], executor))

    def iter_readouts(
        self, events: Iterable[Event], readouts: Sequence[Any], executor: Executor | None = None
    ) -> Iterator[list[Prediction]]:
        """As `iter`, with several readouts on the same embeddings.

        Yields
        ------
        list of Prediction
            One for each of `readouts`.
        """
        self._check_fitted()
        tracks = self.embedder_.takes_tracks
        objects = [
            make_readout(which, self.embedder_.on_sphere, self.thresholds_, self.typical_hits_) for which in readouts
        ]
        work = partial(_predict_group, self.embedder_, objects, self._refiner())
        some = groups(self._watched(events), lambda event: n_points(event, tracks), HITS_PER_GROUP)
        return in_order(work, some, executor)

    def score(self, events: Sequence[Event] | Iterable[Event], y: None = None) -> float:
        """Minus the distance from perfect efficiency, purity and ratio; larger is better, 0 is perfect."""
        sample = list(as_events(events))
        m = reconstruction_metrics(sample, self.predict(sample))
        return -distance(m["efficiency"], m["purity"], m["ratio"])

    def tune(
        self,
        events: Sequence[Event] | Iterable[Event],
        *,
        readouts: Sequence[str] | None = None,
        preset: str = "paper",
        grid: dict[str, Sequence[Any]] | None = None,
    ) -> dict[str, Tuning]:
        """Take the readout thresholds from an auxiliary sample; the embeddings are computed once.

        With `tracks`, hits and tracks are clustered together, but only the clusters of hits are scored.

        Parameters
        ----------
        events : sequence of Event
            With truth, not used for training, validation or tests.
        readouts : sequence of str, optional
            The readouts to tune; by default the current one, and with ``readout="auto"`` all that suit the head: then
            the best one replaces ``"auto"``, and their table is printed.
        preset : {"paper", "ticl", "ticl-2024"}
        grid : dict, optional
            Values to try, in place of the readout's own.

        Returns
        -------
        dict of str to Tuning
            The thresholds are also kept in `thresholds_`, and saved with the model; a readout object is replaced by a
            tuned copy.
        """
        sample = list(as_events(events))
        embeddings = list(self.iter_embeddings(self._progress(sample)))
        weights = [z.points.weight for z in embeddings]
        results: dict[str, Tuning] = {}
        automatic = readouts is None and isinstance(self.readout, str) and self.readout == AUTO
        for which in self.readouts_ if automatic else [self.readout_] if readouts is None else readouts:
            readout = make_readout(which, self.embedder_.on_sphere, self.thresholds_, self.typical_hits_)
            points = [z.readout_points(readout) for z in embeddings]
            if automatic and grid is not None and not set(grid) <= set(readout.get_params()):
                continue
            try:
                result = tune_readout(readout, points, sample, preset=preset, grid=grid, weights=weights)
            except ValueError:
                if not automatic or (which == self.readouts_[-1] and not results):
                    raise
                continue
            if isinstance(which, str):
                sizes = few_hits(readout, self.typical_hits_) if which not in self.thresholds_ else {}
                self.thresholds_[which] = sizes | result.best
                results[which] = result
            else:
                self.readout = clone(readout).set_params(**result.best)
                results[type(which).__name__.lower()] = result
        if automatic:
            self.readout = min(results, key=lambda name: results[name].distance)
            print(table_of(results, self.readout))
        kept = results[self.readout] if automatic else None
        warn_of_tuning({self.readout: kept} if kept else results, sample)
        return results

    def iter_embeddings(self, events: Iterable[Event]) -> Iterator[Embedding]:
        """Embeddings of hits and tracks, a few events at a time."""
        self._check_fitted()
        return self.embedder_.embed(self._watched(events))

    @property
    def typical_hits_(self) -> float | None:
        """Hits of a typical particle of the training."""
        hits: float | None = self.seen_.get("hits_per_particle")
        return hits

    @property
    @abstractmethod
    def readouts_(self) -> tuple[str, ...]:
        """Names of the readouts that suit the head, the default one first."""

    @property
    @abstractmethod
    def readout_(self) -> Any:
        """The readout in use."""

    @abstractmethod
    def _refiner(self) -> Refiner | None:
        """The refiner as it was fitted, with its present settings."""

    def _watched(self, events: Iterable[Event]) -> Iterator[Event]:
        """The events; warns once of what is unlike the training in the first ones, see `cmlflow.check`."""
        first: list[Event] = []
        for event in events:
            if len(first) < WATCHED:
                first.append(event)
                if len(first) == WATCHED:
                    warn(check(first, self))
            yield event
        if first and len(first) < WATCHED:
            warn(check(first, self))

    def _progress(self, events: Sequence[Event] | Iterable[Event]) -> Iterable[Event]:
        return tqdm(as_events(events), unit="event", disable=not self.verbose, dynamic_ncols=True)  # type: ignore[no-any-return]

    def _check_fitted(self) -> None:
        if not hasattr(self, "embedder_"):
            raise NotFittedError("the model has no weights yet: call fit, or MetricClusterer.load")

    def _check_tracks(self) -> None:
        self._check_fitted()
        if not self.embedder_.takes_tracks:
            raise ValueError("tracks is False: this model knows hits alone; train one with tracks=True")


def _predict_group(
    embedder: Embedder, readouts: Sequence[Any], refiner: Refiner | None, events: Sequence[Event]
) -> list[list[Prediction]]:
    """Predictions of each readout for each event."""
    out = []
    for event, z in zip(events, embedder.embed(events), strict=True):
        found = [read_out(readout, z) for readout in readouts]
        out.append([one if refiner is None else refiner.refine(event, z, one, embedder) for one in found])
    return out
