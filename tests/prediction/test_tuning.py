"""Thresholds of readouts: which setting is chosen, and that figures are those of the metrics."""

import numpy as np
import pytest

from cmlflow.event import Event
from cmlflow.metrics import reconstruction_metrics
from cmlflow.prediction.tuning import distance, plateau, settings_of, tune_readout
from cmlflow.readouts import Clue, Density


def events_of_pairs(n: int, seed: int) -> tuple[list[np.ndarray], list[Event]]:
    """Events of two particles whose points lie about two directions."""
    rng = np.random.default_rng(seed)
    points, events = [], []
    for _ in range(n):
        label = rng.integers(2, size=60)
        points.append(np.eye(4)[label] + 0.1 * rng.normal(size=(60, 4)))
        events.append(Event(rng.normal(size=(60, 3)), rng.exponential(size=60), particle_id=label))
    return points, events


def test_plateau_is_the_mean_over_the_neighbourhood():
    d = np.random.default_rng(0).random((5, 4))
    slow = np.empty_like(d)
    for i in range(5):
        for j in range(4):
            box = [d[min(max(i + a, 0), 4), min(max(j + b, 0), 3)] for a in (-1, 0, 1) for b in (-1, 0, 1)]
            slow[i, j] = np.mean(box)
    np.testing.assert_allclose(plateau(d), slow, rtol=1e-12)


def test_a_setting_beside_a_cliff_is_not_chosen():
    d = np.array([9.0, 0.1, 0.2, 0.2, 0.2, 0.3])
    assert d.argmin() == 1
    assert plateau(d).argmin() == 2


def test_undefined_settings_do_not_spoil_others():
    d = np.array([np.inf, np.inf, 0.5, 0.4, 0.5])
    assert np.isfinite(plateau(d)).all()
    assert plateau(d).argmin() in (3, 4)


def test_table_agrees_with_the_metrics():
    points, events = events_of_pairs(4, seed=1)
    grid = {"k": [4], "threshold": [0.05, 0.3], "radius": [0.2, 0.8]}
    tuning = tune_readout(Density(), points, events, grid=grid)
    assert [{k: row[k] for k in grid} for row in tuning.table] == settings_of(grid)
    for row in tuning.table:
        readout = Density(**{k: row[k] for k in grid})
        m = reconstruction_metrics(events, [readout.fit_predict(x) for x in points])
        for name in ("efficiency", "purity", "ratio"):
            assert row[name] == pytest.approx(m[name], nan_ok=True)
        assert row["distance"] == pytest.approx(distance(m["efficiency"], m["purity"], m["ratio"]))
    assert tuning.best in settings_of(grid)


def test_points_beyond_the_hits_are_clustered_but_not_scored():
    points, events = events_of_pairs(4, seed=2)
    rng = np.random.default_rng(0)
    more = [np.concatenate([x, 5 * np.eye(4)[[2, 0]] + 0.01 * rng.normal(size=(2, 4))]) for x in points]
    weights = [np.append(e.energy, [3.0, 3.0]) for e in events]
    grid = {"link_distance": [0.3, 0.6], "min_density": [0.0, 4.0]}
    tuning = tune_readout(Clue(), more, events, grid=grid, weights=weights)
    for row in tuning.table:
        readout = Clue(**{k: row[k] for k in grid})
        labels = []
        for x, w in zip(more, weights, strict=True):
            found = readout.fit_predict(x, sample_weight=w)[:60]
            labels.append(np.unique(found, return_inverse=True)[1])  # no cluster of the point that is alone
        m = reconstruction_metrics(events, labels)
        for name in ("efficiency", "purity", "ratio"):
            assert row[name] == pytest.approx(m[name], nan_ok=True)


def test_takes_the_name_of_a_readout():
    points, events = events_of_pairs(3, seed=5)
    assert tune_readout("density", points, events).table == tune_readout(Density(), points, events).table
    with pytest.raises(ValueError, match="readout: got 'dense', needs one of ward, condensation"):
        tune_readout("dense", points, events)


def test_says_which_lists_do_not_fit():
    points, events = events_of_pairs(3, seed=5)
    with pytest.raises(ValueError, match="points: got 3 arrays for 2 events, needs one for each event"):
        tune_readout("density", points, events[:2])
    with pytest.raises(ValueError, match="weights: got 1 arrays for 3 events"):
        tune_readout("clue", points, events, weights=[events[0].energy])


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda e: Event(e.position, e.energy), "particle_id is -1 everywhere"),
        (lambda e: Event(e.position, 0 * e.energy, particle_id=e.particle_id), "have an energy of 0"),
        (lambda e: Event(np.empty((0, 3)), []), "none of the 3 events has a hit"),
    ],
)
def test_says_why_nothing_can_be_scored(change, cause):
    points, events = events_of_pairs(3, seed=6)
    events = [change(e) for e in events]
    points = [x[: e.n_hits] for x, e in zip(points, events, strict=True)]
    with pytest.raises(ValueError, match=cause):
        tune_readout("density", points, events)


def test_says_that_the_grid_is_at_fault_where_there_is_truth():
    points, events = events_of_pairs(3, seed=6)
    with pytest.raises(ValueError, match="each of the 1 settings calls all hits of the 3 events noise"):
        tune_readout("hdbscan", points, events, grid={"min_cluster_size": [1000]})
