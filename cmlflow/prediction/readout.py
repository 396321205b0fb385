"""From the embedding of an event to clusters of its hits and tracks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cmlflow.event import IntArray
from cmlflow.prediction.embedding import Embedding
from cmlflow.prediction.prediction import Prediction
from cmlflow.prediction.sizes import few_hits
from cmlflow.readouts import build_readout, cluster

AUTO = "auto"
"""Name of the readout that `tune` chooses among those that suit the head; until then the first one of them."""


def make_readout(
    which: Any,
    on_sphere: bool,
    thresholds: Mapping[str, Mapping[str, Any]],
    hits_per_particle: float | None = None,
) -> Any:
    """The readout object; a name gets its tuned thresholds.

    Parameters
    ----------
    which : str or readout
        What follows an "@" in a name tells several tunings of one readout apart: ``"clue"`` and ``"clue@dense"``.
    on_sphere : bool
        Off the sphere, readouts take the lengths of embeddings as they are.
    thresholds : mapping of str to mapping
        Tuned parameters by the name of the readout.
    hits_per_particle : float, optional
        Median of the training. Where particles have few hits, the number of neighbours or the smallest cluster of a
        readout that was not tuned is what suits them.
    """
    if not isinstance(which, str):
        return build_readout(which)
    readout = build_readout(which.partition("@")[0])
    if not on_sphere and "normalize" in readout.get_params():
        readout.set_params(normalize=False)
    tuned = thresholds.get(which)
    return readout.set_params(**(few_hits(readout, hits_per_particle) if tuned is None else tuned))


def read_out(readout: Any, embedding: Embedding) -> Prediction:
    """Cluster the hits and tracks of one event.

    The readout runs on the points of hits and tracks together, those of tracks with the weight of `Points`. A track
    joins the cluster of most of its points, see `majority`.

    Parameters
    ----------
    readout : readout or scikit-learn clusterer
    embedding : Embedding

    Returns
    -------
    Prediction
    """
    points = embedding.points
    labels, track_labels = cluster(readout, embedding.readout_points(readout), points.weight), np.empty(0, np.int64)
    if points.n_tracks:
        n_hits = points.n_hits
        of_tracks = majority(labels[n_hits:], points.track[n_hits:], points.n_tracks)
        labels, track_labels = shared_numbers(labels[:n_hits], of_tracks)
    return Prediction(labels, embedding.hits, track_labels, embedding.tracks, embedding.origin)


def majority(labels: IntArray, owner: IntArray, n: int) -> IntArray:
    """The most frequent label of each owner except noise; of equally frequent ones the first.

    The points of a track start at the front of the calorimeter, so there the point nearest the front decides.

    Parameters
    ----------
    labels, owner : ndarray of shape (M,), int64
    n : int
        Number of owners.

    Returns
    -------
    ndarray of shape (n,), int64
        -1 for owners with noise alone.
    """
    out = np.full(n, -1, np.int64)
    place = np.flatnonzero(labels >= 0)
    pairs = np.stack([owner[place], labels[place]], 1)
    pair, first, count = np.unique(pairs, axis=0, return_index=True, return_counts=True)
    order = np.lexsort((first, -count, pair[:, 0]))
    who, best = np.unique(pair[order, 0], return_index=True)
    out[who] = pair[order[best], 1]
    return out


def shared_numbers(labels: IntArray, track_labels: IntArray) -> tuple[IntArray, IntArray]:
    """The same clusters numbered 0..C-1 without gaps: those with hits in their order, then those with tracks alone."""
    with_hits = np.unique(labels[labels >= 0])
    alone = np.setdiff1d(track_labels[track_labels >= 0], with_hits)
    number = np.full(max(labels.max(initial=-1), track_labels.max(initial=-1)) + 2, -1)  # the last one is for -1
    number[with_hits] = np.arange(len(with_hits))
    number[alone] = len(with_hits) + np.arange(len(alone))
    return number[labels], number[track_labels]
