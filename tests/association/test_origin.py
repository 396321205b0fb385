import numpy as np

from cmlflow.association.origin import calibrated, fit_origin


def sample(seed, n=4000):
    """True parts drawn so that a known calibration of what is said makes their means right."""
    rng = np.random.default_rng(seed)
    said = rng.dirichlet(np.ones(3), n)
    right = calibrated(said, (0.0, 0.8, -0.5, 1.7))
    which = (rng.random(n)[:, None] > np.cumsum(right, axis=1)[:, :2]).sum(axis=1)
    return said, np.eye(3)[which], rng.exponential(1.0, n)


def test_recovers_the_calibration_and_makes_sums_unbiased():
    said, true, energy = sample(0)
    numbers = fit_origin([said[:1000], said[1000:]], [true[:1000], true[1000:]], [energy[:1000], energy[1000:]])
    np.testing.assert_allclose(numbers, (0.0, 0.8, -0.5, 1.7), atol=0.2)
    np.testing.assert_allclose(energy @ calibrated(said, numbers), energy @ true, rtol=1e-3)


def test_identity_and_empty():
    said = np.array([[0.2, 0.3, 0.5]])
    np.testing.assert_allclose(calibrated(said, (0, 0, 0, 1)), said)
    assert calibrated(np.zeros((0, 3)), (0, 0, 0, 1)).shape == (0, 3)
    assert fit_origin([np.zeros((0, 3))], [np.zeros((0, 3))], [[]]) == (0.0, 0.0, 0.0, 1.0)
