"""Clusters of points that come as arrays, as a server gets them, in place of events."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmlflow.clusterer import MetricClusterer
from cmlflow.event import Event, FloatArray, IntArray
from cmlflow.export.source import inputs_of
from cmlflow.graphs.neighbours import event_bounds
from cmlflow.prediction import make_readout
from cmlflow.prediction.readout import shared_numbers
from cmlflow.sampling import Points
from cmlflow.sampling.inputs import FEATURES, TRACK_FEATURES
from cmlflow.sampling.points import TRACK

ENERGY, LAYER, KIND = (TRACK_FEATURES.index(name) for name in ("energy", "layer", "kind"))


def predict_points(model: MetricClusterer, x: NDArray[Any], ptr: NDArray[Any]) -> tuple[FloatArray, IntArray]:
    """What a model says of points.

    Parameters
    ----------
    model : MetricClusterer
        Trained.
    x : ndarray of shape (N, F), float32
        Columns of `cmlflow.sampling.event_points`, in any order within an event.
    ptr : ndarray of shape (B + 1,), int64
        Event b owns points ``ptr[b]:ptr[b+1]``.

    Returns
    -------
    embedding : ndarray of shape (N, D), float32
    labels : ndarray of shape (N,), int64
        As from `predict`; points of tracks have the label of their own cluster.

    Raises
    ------
    ValueError
        Wrong shapes, bounds that do not rise from 0 to N, points that make no event; names the event.
    """
    tracks = model.embedder_.takes_tracks
    features = inputs_of(model).columns(tracks)
    if x.ndim != 2 or x.shape[1] != len(features):
        raise ValueError(f"points has shape {x.shape}, expected (n, {len(features)}): {', '.join(features)}")
    if ptr.ndim != 1:
        raise ValueError(f"ptr has shape {ptr.shape}, expected (n_events + 1,)")
    parts = [x[a:b] for a, b in itertools.pairwise(event_bounds(ptr, len(x)))]
    found = list(_with_tracks(model, parts) if tracks else _hits(model, parts))
    none = (np.empty((0, 0), np.float32), np.empty(0, np.int64))
    filled = [pair for pair in found if len(pair[1])]
    if not filled:
        return none
    z, labels = zip(*filled, strict=True)
    return np.concatenate(z), np.concatenate(labels)


def _hits(model: MetricClusterer, parts: list[FloatArray]) -> Iterator[tuple[FloatArray, IntArray]]:
    for b, part in enumerate(parts):
        if (part[:, LAYER] != np.round(part[:, LAYER])).any():
            raise ValueError(f"points: event {b} has layers that are not whole numbers")
    events = (
        Event(p[:, :ENERGY], p[:, ENERGY], p[:, LAYER].astype(np.int64), features=_own_features(model, p))
        for p in parts
    )
    return ((found.z_hits, found.labels) for found in model.iter(events))


def _own_features(model: MetricClusterer, x: FloatArray) -> dict[str, FloatArray]:
    """Features of the events' own, from the columns after those that every model has."""
    features, start = {}, len(FEATURES)
    for name, width in inputs_of(model).widths:
        features[name] = x[:, start] if width == 1 else x[:, start : start + width]
        start += width
    return features


def _with_tracks(model: MetricClusterer, parts: list[FloatArray]) -> Iterator[tuple[FloatArray, IntArray]]:
    embedder: Any = model.embedder_  # of a network, as models with tracks are
    readout = make_readout(model.readout_, embedder.on_sphere, model.thresholds_, model.typical_hits_)
    orders = [np.argsort(part[:, KIND], kind="stable") for part in parts]  # hits, then tracks
    points = [_points(part[order], b) for b, (part, order) in enumerate(zip(parts, orders, strict=True))]
    for embedding, order in zip(embedder.embed_points(points), orders, strict=True):
        n_hits, back = embedding.points.n_hits, np.argsort(order)
        labels = np.empty(0, np.int64)
        if len(order):
            weight = {"sample_weight": embedding.points.weight} if getattr(readout, "uses_energy", False) else {}
            labels = np.asarray(readout.fit_predict(embedding.readout_points(readout), **weight), np.int64)
        labels = np.concatenate(shared_numbers(labels[:n_hits], labels[n_hits:]))
        yield embedding.z[back], labels[back]


def _points(x: FloatArray, b: int) -> Points:
    """Points of one event, hits first. Those of tracks are told apart by momentum, see `track_numbers`."""
    if not np.isfinite(x[:, : len(TRACK_FEATURES)]).all():
        raise ValueError(f"points: event {b} has values that are not finite")
    n_hits = int((x[:, KIND] != TRACK).sum())
    track = track_numbers(x[n_hits:])
    weight = x[:, ENERGY].copy()
    weight[n_hits:] /= np.bincount(track).astype(np.float32)[track]
    unknown = np.full(len(x), -1, np.int64)
    owner = np.concatenate([unknown[:n_hits], track])
    return Points(x, unknown, weight, owner, np.zeros((len(x), 3), np.float32), n_hits, int(track.max(initial=-1)) + 1)


def track_numbers(x: FloatArray) -> IntArray:
    """Which track each point of tracks belongs to: those of one momentum are one track, and has one point in a layer.

    Parameters
    ----------
    x : ndarray of shape (M, 8), float32

    Returns
    -------
    ndarray of shape (M,), int64
        0, 1, ... Where several tracks have one momentum, the n-th points of that momentum in each layer are one track.
    """
    order = np.lexsort((x[:, LAYER], x[:, ENERGY]))
    same = (np.diff(x[order][:, [ENERGY, LAYER]], axis=0) == 0).all(1)
    nth = np.zeros(len(x), np.int64)
    for i in np.flatnonzero(same):
        nth[order[i + 1]] = nth[order[i]] + 1
    pairs = np.stack([x[:, ENERGY].astype(np.float64), nth.astype(np.float64)], 1)
    return np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
