"""From what the network says of an event's points to embeddings and clusters of its hits and tracks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from torch import nn

from cmlflow.event import Event, FloatArray, IntArray
from cmlflow.metrics.matching import sum_by
from cmlflow.metrics.resolution import hit_weights
from cmlflow.nets.network import usable_device
from cmlflow.readouts import Condensation, build_readout
from cmlflow.sampling import Points, collate_points, event_points


@dataclass(frozen=True, eq=False)
class Output:
    """What the network says of the points of one event.

    Attributes
    ----------
    points : Points
    values : dict of str to ndarray of shape (N, ...), float32
        As the head gives them.
    head : str
        Name of the head; embeddings of ``"supcon"`` are made unit vectors.
    """

    points: Points
    values: dict[str, FloatArray]
    head: str

    @property
    def embedding(self) -> FloatArray:
        """Of all points, shape (N, D), float32: unit vectors, or raw coordinates."""
        if "coordinates" in self.values:
            return self.values["coordinates"]
        z = self.values["embedding"]
        return _unit(z) if self.head == "supcon" else z

    @property
    def hits(self) -> FloatArray:
        """The embedding of the hits, shape (n_hits, D), float32."""
        return self.embedding[: self.points.n_hits]

    @property
    def tracks(self) -> FloatArray:
        """The embedding of the tracks, shape (n_tracks, D), float32: see `EmbeddedEvent`."""
        n_hits, n_tracks = self.points.n_hits, self.points.n_tracks
        z, owner = self.embedding[n_hits:], self.points.track[n_hits:]
        total = np.zeros((n_tracks, z.shape[1]))
        np.add.at(total, owner, z)
        mean = (total / np.bincount(owner, minlength=n_tracks)[:, None]).astype(np.float32)
        return _unit(mean) if self.head == "supcon" else mean

    @property
    def origin(self) -> FloatArray | None:
        """Charged, neutral and nobody's part of every hit, shape (n_hits, 3), float32; None without such a head."""
        if "origin" not in self.values:
            return None
        scores = self.values["origin"][: self.points.n_hits].astype(np.float64)
        parts: FloatArray = softmax(scores, axis=1).astype(np.float32)
        return parts

    def readout_points(self, readout: Any) -> FloatArray:
        """What a readout works on: the embedding, for OC inference with beta as the first column.

        Raises
        ------
        ValueError
            The head gives no beta.
        """
        if not isinstance(readout, Condensation):
            return self.embedding
        if "beta" not in self.values:
            raise ValueError(f"the readout 'condensation' needs beta, which the head {self.head!r} does not give")
        return np.concatenate([self.values["beta"][:, None], self.embedding], 1)


def network_outputs(
    network: nn.Module, events: Iterable[Event], head: str, tracks: bool = False, device: str = "cpu"
) -> Iterator[Output]:
    """Run a network on one event after the other.

    Parameters
    ----------
    network : torch module
        ``network(x, ptr) -> dict of tensors``.
    events : iterable of Event
    head : str
        Name of its head.
    tracks : bool, default=False
        Whether it takes tracks as points.
    device : str, default="cpu"
    """
    network.to(usable_device(device)).eval()
    for event in events:
        points = event_points(event, tracks)
        batch = collate_points([points]).to(device)
        with torch.inference_mode():
            out = network(batch.x, batch.ptr)
        values = {name: value.float().cpu().numpy() for name, value in out.items()}
        yield Output(points, values, head)


def make_readout(which: Any, head: str, thresholds: Mapping[str, Mapping[str, Any]]) -> Any:
    """The readout object; for a name, with its tuned thresholds where there are some.

    What follows an "@" in the name tells apart thresholds of one readout: ``"clue"`` and ``"clue@dense"``.
    Only the supcon embedding lives on the sphere: for the other heads, readouts take lengths as they are.
    """
    if not isinstance(which, str):
        return build_readout(which)
    readout = build_readout(which.partition("@")[0])
    if head != "supcon" and "normalize" in readout.get_params():
        readout.set_params(normalize=False)
    return readout.set_params(**thresholds.get(which, {}))


@dataclass(frozen=True, eq=False)
class Clusters:
    """What was found in one event.

    Attributes
    ----------
    labels : ndarray of shape (n_hits,), int64
        Cluster of every hit, 0..C-1, -1 for noise.
    track_labels : ndarray of shape (n_tracks,), int64
        The same for the tracks.
    parts : ndarray of shape (C, n_hits), float32, or None
        The part of every hit that each cluster has, where hits are shared; None where they are whole.
    """

    labels: IntArray
    track_labels: IntArray
    parts: FloatArray | None = None

    def __len__(self) -> int:
        """Number of clusters with hits; those with tracks alone come after them."""
        return int(self.labels.max(initial=-1)) + 1

    @property
    def shares(self) -> FloatArray:
        """The part of every hit that each cluster has, shape (C, n_hits), float32; sums over clusters are at most 1."""
        if self.parts is not None:
            return self.parts
        whole: FloatArray = (np.arange(len(self))[:, None] == self.labels).astype(np.float32)
        return whole

    def energies(self, event: Event, layer_weights: ArrayLike | None = None) -> NDArray[np.float64]:
        """Energy of each cluster, its part of the hits times their `hit_weights`, and in their unit: shape (C,)."""
        weighted = event.energy * hit_weights(event, layer_weights)
        if self.parts is None:
            return sum_by(self.labels[self.labels >= 0], weighted[self.labels >= 0], len(self))
        energies: NDArray[np.float64] = self.parts @ weighted
        return energies


def find_labels(readout: Any, output: Output) -> tuple[IntArray, IntArray]:
    """Clusters of the hits and of the tracks of one event.

    The readout runs on the points of hits and tracks together, those of tracks with the weight of `Points`. A track
    goes where most of its points go, see `majority`.

    Parameters
    ----------
    readout : readout or scikit-learn clusterer
    output : Output

    Returns
    -------
    labels : ndarray of shape (n_hits,), int64
    track_labels : ndarray of shape (n_tracks,), int64
        See `EmbeddedEvent`.
    """
    points = output.points
    if not len(points):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    weight = {"sample_weight": points.weight} if getattr(readout, "uses_energy", False) else {}
    found = np.asarray(readout.fit_predict(output.readout_points(readout), **weight), np.int64)
    if not points.n_tracks:
        return found, np.empty(0, np.int64)
    n_hits = points.n_hits
    return shared_numbers(found[:n_hits], majority(found[n_hits:], points.track[n_hits:], points.n_tracks))


def majority(labels: IntArray, owner: IntArray, n: int) -> IntArray:
    """The most frequent label of each owner, -1 aside; of equally frequent ones that which comes first.

    The points of a track come from the front of the calorimeter on, so there the point nearest the front decides.

    Parameters
    ----------
    labels, owner : ndarray of shape (M,), int64
    n : int
        Number of owners.

    Returns
    -------
    ndarray of shape (n,), int64
        -1 for owners without any other label.
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


def _unit(z: FloatArray) -> FloatArray:
    out: FloatArray = z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12)
    return out
