import numpy as np
import pytest
import torch

from cmlflow.readouts import Condensation, condensation


@pytest.mark.parametrize("n", [0, 1, 2, 60])
def test_equals_the_twin(greedy_twin, n):
    rng = np.random.default_rng(n)
    x, beta = rng.normal(size=(n, 4)).astype(np.float32), rng.random(n).astype(np.float32)
    for threshold, radius in [(0.1, 0.25), (0.5, 1.0), (0.8, 2.0), (1.0, 1.0)]:
        labels = condensation(x, beta, threshold, radius)
        np.testing.assert_array_equal(labels, greedy_twin(x, beta.astype(float), threshold, radius))


def test_coordinates_are_not_normalised():
    x = np.array([[1.0, 0.0], [5.0, 0.0]])
    np.testing.assert_array_equal(condensation(x, np.array([0.9, 0.8]), 0.1, 1.0), [0, 1])


def test_no_candidate_leaves_one_cluster_at_the_largest_beta():
    x = np.array([[0.0], [3.0], [9.0]])
    beta = np.array([0.01, 0.03, 0.02])
    np.testing.assert_array_equal(condensation(x, beta, 0.1, 1.0), [0, 0, 0])
    np.testing.assert_array_equal(condensation(x, beta, 0.1, 1.0, assign_rest=False), [-1, 0, -1])


def test_earlier_centre_claims_first():
    x = np.array([[0.0], [1.0], [0.6]])
    np.testing.assert_array_equal(condensation(x, np.array([0.9, 0.8, 0.0]), 0.1, 0.7), [0, 1, 0])


def test_class_takes_beta_as_first_column():
    rng = np.random.default_rng(3)
    x, beta = rng.normal(size=(50, 3)), rng.random(50)
    readout = Condensation(threshold=0.4, radius=0.8)
    labels = readout.fit_predict(np.column_stack([beta, x]))
    np.testing.assert_array_equal(labels, condensation(x, beta, 0.4, 0.8))
    settings = [{"threshold": t, "radius": r} for t in (0.2, 0.6) for r in (0.3, 1.0)]
    for setting, swept in zip(settings, readout.sweep(np.column_stack([beta, x]), settings), strict=True):
        np.testing.assert_array_equal(swept, condensation(x, beta, **setting))
    with pytest.raises(ValueError, match="beta, coordinates"):
        readout.fit(beta[:, None])


def test_torch_parity():
    rng = np.random.default_rng(4)
    x, beta = torch.from_numpy(rng.normal(size=(50, 3))), torch.from_numpy(rng.random(50))
    labels = condensation(x, beta, 0.3, 0.7)
    assert isinstance(labels, torch.Tensor)
    np.testing.assert_array_equal(labels.numpy(), condensation(x.numpy(), beta.numpy(), 0.3, 0.7))


def test_errors_name_the_cause():
    with pytest.raises(ValueError, match=r"beta: got shape \(2,\), needs \(3,\)"):
        condensation(np.zeros((3, 2)), np.zeros(2), 0.1, 0.3)
    with pytest.raises(ValueError, match="beta: hit 1"):
        condensation(np.zeros((3, 2)), np.array([0.1, np.inf, 0.2]), 0.1, 0.3)
    with pytest.raises(ValueError, match="radius: got -1"):
        condensation(np.zeros((3, 2)), np.zeros(3), 0.1, -1)
