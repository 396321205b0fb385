"""Baselines of the association: by hand, and against a slow twin."""

import math

import numpy as np
import pytest

from cmlflow.baselines.pflow import always, balanced_random, nearest_track
from cmlflow.event import Event
from cmlflow.metrics import association_metrics, track_shares
from cmlflow.sampling.focus import track_distances


def event_of(cells, tracks, particle=None, number=3):
    """Cells at (η, φ) and tracks at (η, φ), all at a transverse distance of 100 cm."""

    def places(angles):
        eta, phi = np.reshape(angles, (-1, 2)).T
        return 100 * np.stack([np.cos(phi), np.sin(phi), np.sinh(eta)], axis=1)

    n = len(tracks)
    own = [-1] * n if particle is None else np.arange(n)
    return Event(
        places(cells),
        np.ones(len(cells)),
        particle_id=particle,
        tracks=(np.ones(n), np.tile([1.0, 0, 0], (n, 1)), places(tracks), own),
        number=number,
    )


def test_nearest_track_by_hand():
    """Two tracks at φ = 0 and 0.4: cells at 0.1, 0.3, 0.9, and one nearest across φ = ±π to a third track."""
    cells = [(0, 0.1), (0, 0.3), (0, 0.9), (0.1, -3.1)]
    event = event_of(cells, [(0, 0), (0, 0.4), (0, 3.1)])
    assert nearest_track(event).tolist() == [[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]]
    assert nearest_track(event, radius=0.2).sum(axis=0).tolist() == [1, 1, 0, 1]
    halfway = event_of([(0, 0.0)], [(0.1, 0), (-0.1, 0)])
    assert nearest_track(halfway).sum() == 1


@pytest.mark.parametrize("seed", range(3))
def test_nearest_track_equals_the_twin(seed):
    rng = np.random.default_rng(seed)
    cells, tracks = rng.uniform(-3, 3, (50, 2)), rng.uniform(-3, 3, (4, 2))
    got = nearest_track(event_of(cells, tracks), radius=1.0)
    for j, (eta, phi) in enumerate(cells):
        near = []
        for a, b in tracks:
            turn = abs(phi - b)
            near.append(math.hypot(eta - a, min(turn, 2 * math.pi - turn)))
        best = near.index(min(near))
        assert got[:, j].tolist() == [float(i == best and near[i] <= 1) for i in range(4)]


def test_nothing_to_be_near_to():
    assert nearest_track(event_of([(0, 0), (0, 1)], [])).shape == (0, 2)
    assert nearest_track(event_of([], [(0, 0)])).shape == (1, 0)
    with pytest.raises(ValueError, match="event 3: has no tracks"):
        nearest_track(Event([], [], number=3))


def test_always():
    event = event_of([(0, 0)] * 3, [(0, 0)] * 2)
    assert always(event, 1).tolist() == [[1, 1, 1]] * 2
    assert always(event, 0).sum() == 0
    assert always(Event([[0, 0, 1]], [1.0]), 1).shape == (0, 1)
    with pytest.raises(ValueError, match=r"value is 2, expected a share in 0..1"):
        always(event, 2)


def test_coin_is_as_frequent_as_the_truth_and_repeats():
    rng = np.random.default_rng(0)
    particle = rng.choice(4, 6000, p=[0.3, 0.3, 0.2, 0.2])
    event = event_of(rng.normal(0, 0.1, (6000, 2)), [(0, 0), (0, 0.1)], particle)
    got = balanced_random(event)
    assert set(np.unique(got)) == {0.0, 1.0}
    assert abs(got.mean() - 0.3) < 0.02
    np.testing.assert_array_equal(got, balanced_random(event))
    assert (got != balanced_random(event, seed=1)).any()
    assert abs(balanced_random(event, 0.8).mean() - 0.8) < 0.02
    mask = np.zeros(got.shape, bool)
    mask[0, particle == 0] = True
    assert balanced_random(event, mask=mask).all()
    scores = association_metrics(got, track_shares(event), event.energy)
    assert scores["precision"] == pytest.approx(0.3, abs=0.02)
    assert scores["f1"] == pytest.approx(0.3, abs=0.02)
    unknown = event_of([(0, 0)], [(0, 0)])
    assert balanced_random(unknown).sum() == 0
    with pytest.raises(ValueError, match=r"rate is 1.5"):
        balanced_random(event, 1.5)


def test_scores_within_the_cone_by_hand():
    """One track; in the cone a cell of its own and one of another particle, far away one more of its own."""
    event = event_of([(0, 0.05), (0, 0.1), (0, 1.0)], [(0, 0)], [0, 1, 0])
    cone = track_distances(event)[0] <= 0.2
    assert cone.tolist() == [[True, True, False]]
    scores = association_metrics(nearest_track(event), track_shares(event), event.energy, cone)
    assert (scores["precision"], scores["recall"], scores["accuracy"]) == (0.5, 1, 0.5)
