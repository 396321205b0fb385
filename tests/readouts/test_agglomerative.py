import numpy as np
import pytest
import torch
from sklearn.cluster import AgglomerativeClustering

from cmlflow.readouts import Ward, ward, ward_linkage


def twin(z, height):
    """Merge the two clusters of least Ward height until none is below `height`."""
    z = np.array([row / np.linalg.norm(row) for row in np.array(z, float)])
    clusters = [[i] for i in range(len(z))]
    while len(clusters) > 1:
        best = (np.inf, 0, 0)
        for i in range(len(clusters)):
            for j in range(i):
                a, b = len(clusters[i]), len(clusters[j])
                gap = np.linalg.norm(z[clusters[i]].mean(0) - z[clusters[j]].mean(0))
                best = min(best, (np.sqrt(2 * a * b / (a + b)) * gap, i, j))
        if best[0] >= height:
            break
        clusters[best[2]] += clusters.pop(best[1])
    labels = np.empty(len(z), np.int64)
    for number, cluster in enumerate(sorted(clusters, key=min)):
        labels[cluster] = number
    return labels


@pytest.mark.parametrize("n", [1, 2, 3, 40])
@pytest.mark.parametrize("height", [0.0, 0.3, 1.0, 3.0, 100.0])
def test_equals_the_twin(blobs, n, height):
    z = blobs(n, dim=4, spread=0.15, seed=n)
    np.testing.assert_array_equal(ward(z, height), twin(z, height))


@pytest.mark.parametrize("height", [0.5, 2.0, 8.0, 20.0])
def test_equals_scikit_learn(blobs, same_partition, height):
    z = blobs(600, spread=0.2)
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    rival = AgglomerativeClustering(n_clusters=None, distance_threshold=height, linkage="ward")
    assert same_partition(ward(z, height), rival.fit_predict(unit.astype(float)))


def test_a_merge_at_the_height_is_not_made():
    z = np.array([[1.0, 0.0], [-1.0, 0.0]])
    rival = AgglomerativeClustering(n_clusters=None, distance_threshold=2.0, linkage="ward")
    assert len(set(rival.fit_predict(z))) == 2
    np.testing.assert_array_equal(ward(z, 2.0), [0, 1])
    np.testing.assert_array_equal(ward(z, 2.0 + 1e-9), [0, 0])


def test_edge_cases():
    assert ward(np.zeros((0, 3)), 1.0).shape == (0,)
    np.testing.assert_array_equal(ward(np.ones((1, 3)), 1.0), [0])
    np.testing.assert_array_equal(ward(np.ones((30, 3)), 1e-6), np.zeros(30))
    np.testing.assert_array_equal(ward(np.zeros((30, 3)), 1e-6), np.zeros(30))
    np.testing.assert_array_equal(ward(np.array([[1.0], [2.0]]), 0.5), [0, 0])
    np.testing.assert_array_equal(ward(np.array([[1.0], [2.0]]), 0.5, normalize=False), [0, 1])


def test_order_of_hits_changes_names_only(blobs, same_partition):
    z = blobs(300, spread=0.15)
    order = np.random.default_rng(0).permutation(300)
    labels = ward(z, 2.0)
    assert labels.max() > 0
    assert same_partition(ward(z[order], 2.0), labels[order])


def test_torch_parity(blobs):
    z = blobs(200)
    labels = ward(torch.from_numpy(z).requires_grad_(), 4.0)
    assert isinstance(labels, torch.Tensor)
    np.testing.assert_array_equal(labels.numpy(), ward(z, 4.0))


def test_sweep_equals_single_runs(blobs):
    z = blobs(200, spread=0.15)
    settings = [{"height": h, "normalize": n} for n in (True, False) for h in (0.5, 2.0, 8.0)]
    for setting, labels in zip(settings, Ward().sweep(z, settings), strict=True):
        np.testing.assert_array_equal(labels, ward(z, **setting))


def test_linkage_heights_are_centroid_distances(blobs):
    tree = ward_linkage(blobs(100))
    assert tree.shape == (99, 4)
    assert np.all(np.diff(tree[:, 2]) >= 0)
    assert tree[-1, 3] == 100


def test_errors_name_the_cause():
    with pytest.raises(ValueError, match="height: got -1"):
        ward(np.ones((3, 2)), -1)
    with pytest.raises(ValueError, match="height: got nan"):
        ward(np.ones((3, 2)), np.nan)
    with pytest.raises(ValueError, match="z: hit 2"):
        ward(np.array([[1.0], [2.0], [np.inf]]), 1.0)
