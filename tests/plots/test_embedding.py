import numpy as np
import pytest

from cmlflow import Event
from cmlflow.metrics import embedding_metrics
from cmlflow.metrics.embedding import pair_distances
from cmlflow.plots.embedding import embedding_figure, principal_components


def event_of(n, p, seed=0):
    rng = np.random.default_rng(seed)
    return Event(rng.normal(size=(n, 3)), rng.exponential(size=n), particle_id=rng.integers(0, p, n) if n else [])


def test_components_are_those_of_the_singular_values():
    z = np.random.default_rng(1).normal(size=(50, 5)) * [1, 5, 1, 3, 1]
    point, share = principal_components(z)
    u, s, _ = np.linalg.svd(z - z.mean(0), full_matrices=False)
    np.testing.assert_allclose(np.abs(point), np.abs(u[:, :2] * s[:2]), atol=1e-9)
    np.testing.assert_allclose(share, s[:2] ** 2 / (s**2).sum())


@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (4, 1), (3, 2)])
def test_components_of_few_points(shape):
    point, _ = principal_components(np.ones(shape))
    np.testing.assert_array_equal(point, np.zeros((shape[0], 2)))


def test_pair_distances_are_those_of_the_metrics():
    event = event_of(300, 3)
    z = np.random.default_rng(2).normal(size=(300, 4)) + 4 * np.eye(4)[event.particle_id]
    same, different = pair_distances(z, event.particle_id, event.energy)
    m = embedding_metrics(z, event.particle_id, event.energy)
    assert np.quantile(same, 0.99) == pytest.approx(m["d_intra"])
    assert np.median(different) == pytest.approx(m["d_inter"])


def test_all_pairs_of_a_small_event():
    z = np.array([[1.0, 0], [0, 2.0], [-3.0, 0]])
    same, different = pair_distances(z, [0, 1, 0], [1, 1, 1])
    assert same.tolist() == [2]
    assert different.tolist() == [1, 1]


def test_figure_shows_every_hit_and_marks_the_margin():
    event = event_of(200, 3)
    z = np.random.default_rng(2).normal(size=(200, 4)) + 4 * np.eye(4)[event.particle_id]
    figure = embedding_figure(event, {"SupCon": z, "OC": z * 3})
    assert len(figure.axes) == 4
    left, right = figure.axes[:2]
    assert sum(len(c.get_offsets()) for c in left.collections) == 200
    assert "principal component 1" in left.get_xlabel()
    m = embedding_metrics(z, event.particle_id, event.energy)
    assert f"{m['margin']:+.2f}" in right.get_title()
    lines = sorted(line.get_xdata()[0] for line in right.lines)
    assert lines == pytest.approx(sorted([m["d_intra"], m["d_inter"]]))
    figure.savefig("/dev/null", format="svg")


@pytest.mark.parametrize(("n", "p"), [(0, 0), (1, 1), (5, 1)])
def test_figure_of_small_events(n, p):
    embedding_figure(event_of(n, p), {"a": np.ones((n, 3))}).savefig("/dev/null", format="svg")


def test_unknown_hits_are_shown_and_wrong_lengths_named():
    event = Event(np.zeros((3, 3)), np.ones(3))
    figure = embedding_figure(event, {"a": np.eye(3)})
    assert figure.axes[0].collections[0].get_label() == "unknown"
    with pytest.raises(ValueError, match="embedding a has 2 rows, but the event has 3 hits"):
        embedding_figure(event, {"a": np.eye(3)[:2]})
