"""The thin scikit-learn class that all readouts share, and evaluation of many settings on one event."""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClusterMixin, clone
from sklearn.utils.validation import validate_data

from cmlflow.readouts.points import AnyArray, Labels

Setting: TypeAlias = Mapping[str, Any]
Grid: TypeAlias = dict[str, list[Any]]


class EventReadout(ClusterMixin, BaseEstimator):  # type: ignore[misc]
    """A scikit-learn clusterer on the points of one event.

    A subclass holds its parameters and implements `_cluster`, which clusters one event with many settings; `fit` calls
    it with one. Events without hits are allowed: their labels are an empty array.

    Attributes
    ----------
    labels_ : ndarray of shape (n_hits,), int64
        Cluster of each hit, 0..C-1; -1 noise.
    n_features_in_ : int
    uses_energy : bool
        Class attribute: whether `fit` takes hit energies as `sample_weight`.
    """

    uses_energy: ClassVar[bool] = False

    def fit(self, X: AnyArray, y: None = None) -> Self:
        """Cluster one event.

        Parameters
        ----------
        X : array_like of shape (n_hits, D), float
        y : None
            Ignored.
        """
        self.labels_: Labels = self._cluster(self._event(X, reset=True), [self.get_params()], None)[0]
        return self

    def sweep(self, X: AnyArray, settings: Iterable[Setting], sample_weight: AnyArray | None = None) -> list[Labels]:
        """Labels of one event at many settings, with the work they share done once.

        Parameters
        ----------
        X : array_like of shape (n_hits, D), float
        settings : iterable of mapping
            Parameters that differ from those of this readout.
        sample_weight : array_like of shape (n_hits,), float, optional
            Hit energies; only readouts with `uses_energy` use them.

        Returns
        -------
        list of ndarray of shape (n_hits,), int64
            As `clone(self).set_params(**setting).fit_predict(X)` gives for each setting.
        """
        complete = [{**self.get_params(), **setting} for setting in settings]
        for setting in complete:
            unknown = sorted(set(setting) - set(self.get_params()))
            if unknown:
                raise ValueError(f"settings: {type(self).__name__} has no parameter {unknown[0]!r}")
        return self._cluster(self._event(X, reset=False), complete, sample_weight) if complete else []

    def tuning_grid(self) -> Grid:
        """Parameter name -> values worth trying on an auxiliary sample; their product is the tuning grid."""
        return {}

    @abstractmethod
    def _cluster(
        self, x: NDArray[np.float64], settings: Sequence[Setting], energy: AnyArray | None
    ) -> list[Labels]: ...

    def _event(self, X: AnyArray, reset: bool) -> NDArray[np.float64]:
        if hasattr(X, "detach"):
            X = X.detach().cpu().double().numpy()
        options = {"dtype": np.float64, "ensure_all_finite": False, "ensure_min_samples": 0}
        if reset:
            checked: NDArray[np.float64] = validate_data(self, X, **options)
        else:
            checked = validate_data(self, X, reset=not hasattr(self, "n_features_in_"), **options)
        return checked


def sweep(
    readout: Any, X: AnyArray, settings: Iterable[Setting], sample_weight: AnyArray | None = None
) -> list[Labels]:
    """Labels of one event at many settings of any scikit-learn clusterer.

    Uses the readout's own `sweep` if it has one; otherwise fits a clone per setting; see `cluster` for small events.
    """
    if hasattr(readout, "sweep"):
        own: list[Labels] = readout.sweep(X, settings, sample_weight=sample_weight)
        return own
    return [cluster(clone(readout).set_params(**setting), X, sample_weight) for setting in settings]


AT_MOST_HITS = ("min_samples", "min_cluster_size", "n_neighbors", "n_clusters", "n_components")
"""Parameters of scikit-learn clusterers that can't exceed the number of points."""

FEWEST = 2
"""Points that any clusterer may ask for."""


def cluster(readout: Any, X: AnyArray, sample_weight: AnyArray | None = None) -> Labels:
    """Labels of one event by any scikit-learn clusterer, whatever the number of its hits.

    Parameters
    ----------
    readout : clusterer
    X : array_like of shape (n_hits, D), float
    sample_weight : array_like of shape (n_hits,), float, optional
        Hit energies; given to readouts with `uses_energy` alone.

    Returns
    -------
    ndarray of shape (n_hits,), int64
        Nothing for no hits. Where the clusterer refuses events of so few hits, because it wants two, or as many as one
        of its parameters says (``min_samples``, ``n_clusters`` ...), they are noise, -1; a single hit that can't be
        noise is a cluster.

    Raises
    ------
    ValueError
        That of the clusterer, where the number of hits is not at fault.
    """
    if not len(X):
        return np.zeros(0, np.int64)
    weight = {"sample_weight": sample_weight} if getattr(readout, "uses_energy", False) else {}
    try:
        return np.asarray(readout.fit_predict(X, **weight), np.int64)
    except ValueError:
        parameters = readout.get_params(deep=False) if hasattr(readout, "get_params") else {}
        wanted = [int(v) for n, v in parameters.items() if n in AT_MOST_HITS and isinstance(v, int | np.integer)]
        noisy = any(name in parameters for name in AT_MOST_HITS[:2])
        if isinstance(readout, EventReadout) or len(X) >= max([FEWEST, *wanted]):
            raise
        return np.full(len(X), -1 if noisy or len(X) > 1 else 0, np.int64)


def grouped(settings: Sequence[Setting], *names: str) -> Iterator[tuple[Setting, list[int]]]:
    """Positions of the settings that agree in `names`, one group at a time, with the first of each group."""
    groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for position, setting in enumerate(settings):
        groups[tuple(setting[name] for name in names)].append(position)
    for positions in groups.values():
        yield settings[positions[0]], positions
