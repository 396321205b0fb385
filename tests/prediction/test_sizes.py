"""Readouts and grids that fit the particles of a sample."""

import numpy as np
import pytest

from cmlflow import Event, MetricClusterer
from cmlflow.checks import CheckWarning
from cmlflow.prediction import make_readout, tune_readout
from cmlflow.prediction.sizes import few_hits, fitted_grid
from cmlflow.readouts import READOUTS, Clue, Density, Hdbscan, Ward


def small_particles(n=12, seed=0, hits=3, unit=1.0):
    """Particles of a few hits, within 1 of a place, 30 apart."""
    rng = np.random.default_rng(seed)
    events = []
    for _ in range(n):
        particle = np.repeat(np.arange(8), hits)
        place = np.array([[x, y, 0] for x in range(4) for y in range(2)]) * 30.0
        position = (place[particle] + rng.normal(size=(len(particle), 3)) * 0.5) * unit
        events.append(Event(position, rng.exponential(size=len(particle)), particle_id=particle))
    return events


def test_neighbours_and_smallest_clusters_follow_the_hits_of_a_particle():
    assert few_hits(Density(), 3) == {"k": 1}
    assert few_hits(Density(), 30) == {"k": 10}
    assert few_hits(Density(), 72) == few_hits(Density(), None) == {}
    assert few_hits(Hdbscan(), 3) == {"min_cluster_size": 2}
    assert few_hits(Clue(), 3) == {}


def test_tuned_settings_are_not_changed_by_the_hits_of_a_particle():
    assert make_readout("density", True, {}, 3.0).k == 1
    assert make_readout("density", True, {"density": {"radius": 0.3}}, 3.0).k == 24


@pytest.mark.parametrize("name", sorted(set(READOUTS) - {"condensation"}))
@pytest.mark.parametrize("unit", [0.001, 1.0, 1000.0])
def test_any_readout_can_be_tuned_on_positions_in_any_unit(name, unit):
    events = small_particles(4, unit=unit)
    readout = READOUTS[name](normalize=False)
    found = tune_readout(readout, [e.position for e in events], events)
    row = next(r for r in found.table if all(r[k] == v for k, v in found.best.items()))
    assert row["efficiency"] > 0.9
    assert row["purity"] > 0.9
    assert row["ratio"] == pytest.approx(1, abs=0.1)


def test_grids_of_large_particles_and_usual_distances_are_the_readouts_own():
    rng = np.random.default_rng(0)
    particle = np.arange(400) % 2
    x = np.eye(4)[particle] + 0.02 * rng.normal(size=(400, 4))
    events = [Event(rng.normal(size=(400, 3)), np.ones(400), particle_id=particle)]
    for readout in (Density(), Density(normalize=False), Clue(), Clue(normalize=False), Hdbscan(), Ward()):
        assert fitted_grid(readout, [x], events) == readout.tuning_grid()


def test_auto_keeps_the_best_readout_and_prints_the_table(capsys):
    events = small_particles(16)
    model = MetricClusterer(max_epochs=3, batch_size=4, learning_rate=3e-3).fit(events[:10])
    assert model.readout == "auto"
    assert model.readout_ == "density"
    found = model.tune(events[10:])
    assert set(found) == {"density", "clue", "ward", "hdbscan"}
    assert found[model.readout].distance == min(t.distance for t in found.values())
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 4
    (kept,) = [line.split()[1] for line in printed if line.startswith("*")]
    assert kept == model.readout == model.readout_


def test_warns_where_nothing_is_told_apart():
    events = small_particles(6)
    model = MetricClusterer(readout="density", max_epochs=1, batch_size=4).fit(events)
    with pytest.warns(CheckWarning, match="the best setting of density finds about one cluster in an event"):
        model.tune(events, grid={"radius": [5.0]})
