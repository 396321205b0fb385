"""From embeddings to labels of hits and tracks."""

from collections import Counter

import numpy as np
import pytest
import torch
from sklearn.cluster import DBSCAN

from cmlflow import Event
from cmlflow.methods import METHODS, build_embedder
from cmlflow.nets.network import NetworkConfig
from cmlflow.prediction import Embedding, make_readout, read_out
from cmlflow.prediction.readout import majority, shared_numbers
from cmlflow.readouts import Clue, Condensation
from cmlflow.sampling import event_points


def event_with_tracks(n_hits=6, particle=(0, 1), n_layers=3):
    """Two tracks, at x = 0 and x = 40, with hits about them."""
    side = np.arange(n_hits) % 2
    crossing = np.stack([[[40.0 * t, 0, 100 + 10 * layer] for layer in range(n_layers)] for t in (0, 1)])
    tracks = ([4.0, 6.0], [[0, 0, 1]] * 2, crossing[:, 0], particle, crossing)
    particles = ([211] * 2, [4.0, 6.0], [[0, 0, 1]] * 2)
    position = np.column_stack([40.0 * side, np.arange(n_hits), np.full(n_hits, 105)]).reshape(-1, 3)
    return Event(position, np.ones(n_hits), np.ones(n_hits), side, tracks=tracks, particles=particles)


def embedding(event, z, on_sphere=False, beta=None):
    return Embedding(event_points(event, tracks=True), np.asarray(z, np.float32), on_sphere, beta)


def found(readout, *arguments):
    prediction = read_out(readout, embedding(*arguments))
    return prediction.labels, prediction.track_labels


@pytest.mark.parametrize("seed", range(20))
def test_majority_equals_counting(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 6))
    owner = np.sort(rng.integers(0, n, rng.integers(0, 25)))
    labels = rng.integers(-1, 3, len(owner))
    slow = []
    for t in range(n):
        own = [int(v) for v in labels[owner == t] if v >= 0]
        slow.append(max(own, key=lambda v: (Counter(own)[v], -own.index(v))) if own else -1)
    np.testing.assert_array_equal(majority(labels, owner, n), slow)


def test_ties_go_to_the_point_nearest_the_front():
    owner = np.array([0, 0, 0, 0, 1, 1, 2])
    assert majority(np.array([5, 2, 2, 5, -1, 7, -1]), owner, 4).tolist() == [5, 7, -1, -1]


@pytest.mark.parametrize("seed", range(10))
def test_hits_and_tracks_share_numbers_without_gaps(seed):
    rng = np.random.default_rng(seed)
    before = rng.integers(-1, 12, rng.integers(0, 9)), rng.integers(-1, 12, rng.integers(0, 5))
    after = shared_numbers(*before)
    pairs = set(zip(np.concatenate(before).tolist(), np.concatenate(after).tolist(), strict=True))
    assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)
    assert all((a == -1) == (b == -1) for a, b in pairs)
    assert {b for _, b in pairs} - {-1} == set(range(len(pairs) - (-1 in {a for a, _ in pairs})))
    n_with_hits = after[0].max(initial=-1) + 1
    assert set(after[0].tolist()) - {-1} == set(range(n_with_hits))


def test_clusters_of_hits_and_tracks():
    event = event_with_tracks()
    z = np.array([[0], [9], [0], [9], [0], [30], [0], [0], [50], [9], [9], [50]])
    labels, tracks = found(DBSCAN(eps=1, min_samples=2), event, z)
    assert labels.tolist() == [0, 1, 0, 1, 0, -1]
    assert tracks.tolist() == [0, 1]
    z[:6] = np.arange(6)[:, None] * 100  # no hit is like another, nor like a track
    labels, tracks = found(DBSCAN(eps=1, min_samples=2), event, z)
    assert labels.tolist() == [0, -1, -1, -1, -1, -1]
    assert tracks.tolist() == [0, 1]


def test_points_of_tracks_weigh_their_share_of_the_momentum():
    event = event_with_tracks()
    z = np.array([[0.0]] * 6 + [[3.0]] * 3 + [[6.0]] * 3)
    density = {"hits": 1 + 0.5 * 5, 0: 4 / 3 + 0.5 * 8 / 3, 1: 2 + 0.5 * 4}  # 4 and 6 GeV, in 3 points each
    for least in (2.6, 2.7, 3.4, 3.6, 3.9, 4.1):
        readout = Clue(density_radius=0.5, link_distance=1.0, min_density=least, outlier_distance=1.0, normalize=False)
        labels, tracks = found(readout, event, z)
        reached = {"hits": labels[0] >= 0, 0: tracks[0] >= 0, 1: tracks[1] >= 0}
        assert reached == {name: value >= least for name, value in density.items()}


def test_the_embedding_of_a_track_is_the_mean_over_its_points():
    event = event_with_tracks()
    z = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
    raw = embedding(event, z)
    unit = embedding(event, z / np.linalg.norm(z, axis=1, keepdims=True), on_sphere=True)
    for t in (0, 1):
        own = z[6 + 3 * t : 9 + 3 * t]
        np.testing.assert_allclose(raw.tracks[t], own.mean(0), rtol=1e-5)
        mean = (own / np.linalg.norm(own, axis=1, keepdims=True)).mean(0)
        np.testing.assert_allclose(unit.tracks[t], mean / np.linalg.norm(mean), rtol=1e-5)
    np.testing.assert_array_equal(raw.hits, z[:6])
    assert raw.tracks.dtype == unit.tracks.dtype == np.float32


@pytest.mark.parametrize("head", ["supcon", "oc", "prototype"])
def test_embeddings_of_a_network(head):
    events = [event_with_tracks(), event_with_tracks(0), Event([[0, 0, 100]], [1.0]), Event(np.empty((0, 3)), [])]
    embedder = build_embedder(head, {"dim": 4, "network": NetworkConfig(k=4), "tracks": True})
    together = list(embedder.embed(events))
    for event, z in zip(events, together, strict=True):
        assert z.hits.shape == (event.n_hits, 4)
        assert z.tracks.shape == (0 if event.tracks is None else 2, 4)
        (alone,) = embedder.embed([event])
        np.testing.assert_allclose(alone.z, z.z, atol=1e-6)  # one row alone is multiplied by another kernel
        with torch.inference_mode():
            x = torch.from_numpy(event_points(event, tracks=True).x)
            expected = embedder.network(x)["coordinates" if head == "oc" else "embedding"].numpy()
        if METHODS[head].on_sphere:
            expected /= np.maximum(np.linalg.norm(expected, axis=1, keepdims=True), 1e-12)
        np.testing.assert_allclose(z.z, expected, atol=1e-6)
        prediction = read_out(make_readout("clue", z.on_sphere, {}), z)
        assert (len(prediction.labels), len(prediction.track_labels)) == (event.n_hits, len(z.tracks))


def test_condensation_reads_beta_before_coordinates():
    event = event_with_tracks()
    z, beta = np.arange(24, dtype=np.float32).reshape(12, 2), np.arange(12, dtype=np.float32) / 12
    one = embedding(event, z, beta=beta)
    np.testing.assert_array_equal(one.readout_points(Condensation()), np.column_stack([beta, z]))
    assert one.readout_points(Clue()) is one.z


def test_thresholds_of_a_readout():
    thresholds = {"clue": {"link_distance": 0.3}, "clue@dense": {"link_distance": 0.2}}
    assert make_readout("clue", True, thresholds).get_params()["link_distance"] == 0.3
    other = make_readout("clue@dense", False, thresholds).get_params()
    assert (other["link_distance"], other["normalize"]) == (0.2, False)
    mine = Clue(link_distance=0.9)
    assert make_readout(mine, False, thresholds) is mine
