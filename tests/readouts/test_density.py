import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cmlflow.readouts import Density, density, density_scores


def scores_twin(z, k, temperature, normalize=True):
    z = np.array(z, float)
    if normalize:
        z = np.array([row / np.linalg.norm(row) if np.linalg.norm(row) else row for row in z]).reshape(z.shape)
    scores = []
    for i in range(len(z)):
        others = sorted(np.sqrt(np.sum((z[i] - z[j]) ** 2)) for j in range(len(z)) if j != i)
        d_k = others[min(k, len(others)) - 1] if others else 0.0
        scores.append(np.exp(-d_k / temperature))
    return np.array(scores), z


@pytest.mark.parametrize("n", [0, 1, 2, 5, 24, 25, 26, 150])
@pytest.mark.parametrize("k", [1, 24])
def test_scores_and_labels_equal_the_twin(greedy_twin, blobs, n, k):
    z = blobs(n, spread=0.2, seed=n)
    scores, unit = scores_twin(z, k, 0.1)
    np.testing.assert_allclose(density_scores(z, k=k), scores, rtol=1e-12)
    for threshold, radius in [(0.01, 0.45), (0.1, 0.9), (0.9, 0.2)]:
        labels = density(z, k=k, threshold=threshold, radius=radius)
        np.testing.assert_array_equal(labels, greedy_twin(unit, scores, threshold, radius))


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 14).flatmap(lambda n: hnp.arrays(np.float32, (n, 2), elements=st.integers(-3, 3).map(float))),
    st.integers(1, 5),
    st.sampled_from([1.0, 1.5, 2.0]),
)
def test_equals_the_twin_where_distances_tie(greedy_twin, z, k, radius):
    scores, x = scores_twin(z, k, 1.0, normalize=False)
    labels = density(z, k=k, temperature=1.0, threshold=0.2, radius=radius, normalize=False)
    np.testing.assert_array_equal(labels, greedy_twin(x, scores, 0.2, radius))


def test_does_not_depend_on_the_order_of_hits(blobs):
    z = blobs(400, spread=0.05)
    order = np.random.default_rng(1).permutation(400)
    for radius in (0.2, 0.6):
        labels = density(z, threshold=0.05, radius=radius)
        assert labels.max() > 0
        np.testing.assert_array_equal(density(z[order], threshold=0.05, radius=radius), labels[order])


def test_torch_in_torch_out(blobs):
    z = blobs(100)
    labels = density(torch.from_numpy(z).requires_grad_())
    assert isinstance(labels, torch.Tensor)
    assert labels.dtype == torch.int64
    np.testing.assert_array_equal(labels.numpy(), density(z))
    assert isinstance(density(z), np.ndarray)
    assert isinstance(density_scores(torch.from_numpy(z)), torch.Tensor)


def test_all_equal_is_one_cluster():
    np.testing.assert_array_equal(density(np.ones((60, 4))), np.zeros(60))
    np.testing.assert_array_equal(density(np.zeros((60, 4))), np.zeros(60))


def test_scale_of_the_embedding_does_not_matter(blobs):
    z = blobs(200)
    np.testing.assert_array_equal(density(z * 1000), density(z))


def test_sweep_equals_single_runs(blobs):
    z = blobs(200, spread=0.1)
    settings = [{"threshold": t, "radius": r, "k": k} for t in (0.05, 0.5) for r in (0.2, 0.5) for k in (5, 24)] + [
        {"normalize": False},
        {"assign_rest": False, "radius": 0.1},
    ]
    for setting, labels in zip(settings, Density().sweep(z, settings), strict=True):
        np.testing.assert_array_equal(labels, Density(**setting).fit_predict(z))
    assert Density().sweep(z, []) == []


def test_errors_name_the_cause(blobs):
    z = blobs(10)
    z[7, 2] = np.nan
    with pytest.raises(ValueError, match="z: hit 7"):
        density(z)
    with pytest.raises(ValueError, match=r"X: hit 7 .*NaN"):
        Density().fit(z)
    with pytest.raises(ValueError, match=r"z: got shape \(10,\)"):
        density(np.ones(10))
    for bad in ({"k": 0}, {"temperature": 0.0}, {"radius": -1.0}):
        with pytest.raises(ValueError, match=f"{next(iter(bad))}: got"):
            density(blobs(10), **bad)
    with pytest.raises(ValueError, match="Density has no parameter 'height'"):
        Density().sweep(blobs(10), [{"height": 3}])
