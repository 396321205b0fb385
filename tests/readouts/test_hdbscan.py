import hdbscan as package
import numpy as np
import pytest
import torch
from sklearn.cluster import HDBSCAN

from cmlflow.readouts import Hdbscan, hdbscan


def test_finds_separate_groups(blobs, same_partition):
    z = blobs(300, spread=0.03)
    unit = (z / np.linalg.norm(z, axis=1, keepdims=True)).astype(float)
    labels = hdbscan(z, min_cluster_size=10)
    assert labels.max() == 4
    reference = HDBSCAN(min_cluster_size=10, copy=True).fit_predict(unit)
    clustered = (labels >= 0) & (reference >= 0)
    assert clustered.mean() > 0.9
    assert same_partition(labels[clustered], reference[clustered])


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_passes_every_setting_on(blobs, same_partition):
    z = blobs(300, spread=0.1).astype(float)
    given = {"min_cluster_size": 6, "min_samples": 3, "cluster_selection_epsilon": 0.3, "allow_single_cluster": True}
    assert same_partition(hdbscan(z, normalize=False, **given), package.HDBSCAN(**given).fit_predict(z))


@pytest.mark.parametrize("n", [20, 60, 200])
@pytest.mark.parametrize("dim", [2, 3, 16])
def test_one_particle_is_one_cluster_and_two_are_two(n, dim):
    for seed in range(5):
        x = np.random.default_rng(seed).normal(size=(n, dim))
        assert not hdbscan(x, normalize=False).any()
        both = hdbscan(np.concatenate([x, x + 20]), normalize=False)
        assert len(set(both[both >= 0])) == 2


def test_refuses_another_word_for_a_single_cluster():
    with pytest.raises(ValueError, match="allow_single_cluster: got 'yes', needs True, False or 'auto'"):
        hdbscan(np.ones((9, 2)), allow_single_cluster="yes")


def test_noise_can_join_the_nearest_cluster(blobs):
    z = blobs(300, dim=6, spread=0.2)
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    labels, full = hdbscan(z), hdbscan(z, assign_noise=True)
    noise = labels < 0
    assert 0 < noise.sum() < 300
    np.testing.assert_array_equal(full[~noise], labels[~noise])
    for i in np.flatnonzero(noise):
        gaps = np.linalg.norm(unit[~noise].astype(float) - unit[i], axis=1)
        assert full[i] == labels[~noise][np.argmin(gaps)]


@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_small_events_are_noise(n):
    z = np.random.default_rng(0).normal(size=(n, 4))
    np.testing.assert_array_equal(hdbscan(z, min_cluster_size=8), np.full(n, -1))
    np.testing.assert_array_equal(hdbscan(z, min_cluster_size=8, assign_noise=True), np.zeros(n))


@pytest.mark.parametrize("n", [2, 3, 8, 40])
def test_all_equal(n):
    labels = hdbscan(np.ones((n, 4)), min_cluster_size=2, allow_single_cluster=True)
    assert labels.shape == (n,)
    assert set(labels) <= {-1, 0}


def test_torch_parity(blobs):
    z = blobs(100)
    labels = hdbscan(torch.from_numpy(z))
    assert isinstance(labels, torch.Tensor)
    np.testing.assert_array_equal(labels.numpy(), hdbscan(z))


def test_sweep_equals_single_runs(blobs):
    z = blobs(200, spread=0.1)
    settings = [{"min_cluster_size": s, "assign_noise": a} for s in (5, 20) for a in (True, False)]
    for setting, labels in zip(settings, Hdbscan().sweep(z, settings), strict=True):
        np.testing.assert_array_equal(labels, hdbscan(z, **setting))


def test_errors_name_the_cause():
    with pytest.raises(ValueError, match="z: hit 1 has"):
        hdbscan(np.array([[1.0, 2.0], [np.nan, 2.0]]))
    with pytest.raises(ValueError, match="min_cluster_size: got 1"):
        hdbscan(np.ones((3, 2)), min_cluster_size=1)
    with pytest.raises(ValueError, match="min_samples: got 0"):
        hdbscan(np.ones((3, 2)), min_samples=0)
