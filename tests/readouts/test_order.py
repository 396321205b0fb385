"""Results do not depend on the order of hits, also on a lattice with its equal distances; few hits are no error."""

import numpy as np
import pytest

from cmlflow.readouts import READOUTS, Clue, Condensation, Density, Hdbscan, Ward


def lattice(*sizes):
    return np.stack(np.meshgrid(*[np.arange(float(n)) for n in sizes]), -1).reshape(-1, len(sizes))


CLOUDS = {
    "plane": lattice(8, 8),
    "space": lattice(5, 5, 4),
    "fine": lattice(6, 6, 4) * 0.1 + 0.3,
    "far": lattice(6, 6, 3) + 1000.7,
    "twice": np.repeat(lattice(5, 5), 4, 0),
    "corners": np.random.default_rng(0).integers(0, 2, (150, 16)).astype(float),
    "groups": np.concatenate([lattice(4, 4, 3) + shift for shift in ([0, 0, 0], [20, 0, 0], [0, 30, 0])]),
}
SETTINGS = [
    Density(normalize=False, radius=3.0),
    Density(k=3, temperature=2.0, threshold=0.1, radius=1.5, normalize=False, assign_rest=False),
    Density(k=4),
    Clue(normalize=False, density_radius=1.5, link_distance=2.0),
    Clue(normalize=False, density_radius=1.1, link_distance=1.2, kernel="gaussian"),
    Clue(),
    Ward(normalize=False, height=4.0),
    Ward(height=0.5),
    Hdbscan(normalize=False, min_cluster_size=4),
    Hdbscan(normalize=False, min_cluster_size=3, min_samples=2, allow_single_cluster=False),
    Hdbscan(),
    Condensation(threshold=0.3, radius=1.5),
]


@pytest.mark.parametrize("cloud", CLOUDS)
@pytest.mark.parametrize("readout", SETTINGS, ids=repr)
def test_order_of_hits(cloud, readout, same_partition):
    x, rng = CLOUDS[cloud], np.random.default_rng(1)
    if isinstance(readout, Condensation):
        x = np.column_stack([rng.integers(0, 10, len(x)) / 10, x])
    labels = readout.fit_predict(x)
    for _ in range(4):
        order = rng.permutation(len(x))
        other = readout.fit_predict(x[order])
        np.testing.assert_array_equal(other < 0, labels[order] < 0)
        assert same_partition(other, labels[order])


@pytest.mark.parametrize("readout", [r for r in SETTINGS if not isinstance(r, Condensation)], ids=repr)
def test_identical_points_have_one_label(readout):
    labels = readout.fit_predict(CLOUDS["twice"]).reshape(-1, 4)
    assert (labels == labels[:, :1]).all()


@pytest.mark.parametrize("name", READOUTS)
@pytest.mark.parametrize("n", range(6))
def test_few_hits_are_noise_or_clusters(name, n):
    x = np.random.default_rng(n).normal(size=(n, 3))
    labels = READOUTS[name]().fit_predict(x)
    assert labels.shape == (n,)
    assert set(labels.tolist()) <= set(range(-1, n))
