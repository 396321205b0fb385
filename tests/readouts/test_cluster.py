"""Clusterers of scikit-learn on events of any size."""

import numpy as np
import pytest
from sklearn.cluster import DBSCAN, HDBSCAN, OPTICS, AgglomerativeClustering, KMeans, MeanShift

from cmlflow.readouts import Clue, Ward, cluster, sweep


@pytest.mark.parametrize(
    "readout",
    [
        AgglomerativeClustering(n_clusters=None, distance_threshold=0.5),
        HDBSCAN(copy=True),
        OPTICS(),
        DBSCAN(),
        KMeans(3, n_init=1, random_state=0),
        MeanShift(bandwidth=1.0),
    ],
    ids=lambda r: type(r).__name__,
)
@pytest.mark.parametrize("n", range(8))
def test_few_hits_are_no_error(readout, n):
    x = np.random.default_rng(n).normal(size=(n, 3))
    labels = cluster(readout, x)
    assert labels.shape == (n,)
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(sweep(readout, x, [{}])[0], labels)


def test_a_single_hit_is_noise_only_where_there_is_noise():
    one = np.zeros((1, 2))
    assert cluster(OPTICS(), one).tolist() == [-1]
    assert cluster(AgglomerativeClustering(n_clusters=None, distance_threshold=1.0), one).tolist() == [0]


def test_errors_of_large_events_and_of_own_readouts_stay():
    with pytest.raises(ValueError, match="Input X contains NaN"):
        cluster(DBSCAN(), np.full((20, 2), np.nan))
    with pytest.raises(ValueError, match="needs finite numbers"):
        cluster(Ward(), np.full((1, 2), np.nan))


def test_energies_reach_readouts_that_use_them():
    x, energy = np.array([[0.0], [0.4], [0.8]]), np.array([1.0, 1.0, 9.0])
    clue = Clue(density_radius=0.1, link_distance=0.5, normalize=False)
    np.testing.assert_array_equal(cluster(clue, x, energy), clue.fit_predict(x, sample_weight=energy))
