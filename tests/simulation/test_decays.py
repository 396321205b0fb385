import numpy as np
import pytest

from cmlflow.particles import MASS
from cmlflow.simulation.decays import (
    RHO_LARGEST,
    boost,
    invariant_mass,
    momentum,
    rho_density,
    rho_mass,
    two_body,
    unit_vector,
)


def boost_twin(p, frame):
    """The 4 x 4 matrix of a Lorentz transformation, element by element."""
    m = np.sqrt(frame[3] ** 2 - frame[0] ** 2 - frame[1] ** 2 - frame[2] ** 2)
    b = [frame[i] / frame[3] for i in range(3)]
    g = frame[3] / m
    b2 = sum(x * x for x in b)
    matrix = [[g] + [g * x for x in b]]
    matrix += [[g * b[i]] + [(g - 1) * b[i] * b[j] / b2 + (1 if i == j else 0) for j in range(3)] for i in range(3)]
    q = [p[3], p[0], p[1], p[2]]
    out = [sum(matrix[i][j] * q[j] for j in range(4)) for i in range(4)]
    return [out[1], out[2], out[3], out[0]]


@pytest.mark.parametrize("seed", range(5))
def test_boost_agrees_with_twin_and_keeps_the_mass(seed):
    rng = np.random.default_rng(seed)
    p = momentum(unit_vector(rng.uniform(-1, 1), rng.uniform(0, 6)), rng.uniform(1, 5), 0.5)
    frame = momentum(unit_vector(rng.uniform(-1, 1), rng.uniform(0, 6)), rng.uniform(2, 50), 0.8)
    np.testing.assert_allclose(boost(p, frame), boost_twin(p, frame), rtol=1e-11)
    np.testing.assert_allclose(invariant_mass(boost(p, frame)), 0.5, rtol=1e-9)
    np.testing.assert_allclose(boost(np.array([0, 0, 0, 0.8]), frame), frame, rtol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_decays_conserve_four_momentum_and_give_the_masses(seed):
    rng = np.random.default_rng(seed)
    parent = momentum(unit_vector(0.99, 1.0), rng.uniform(2, 60), 0.9)
    a, b = two_body(parent, MASS[211], MASS[111], rng.uniform(-1, 1), rng.uniform(0, 6))
    np.testing.assert_allclose(a + b, parent, rtol=1e-13)
    np.testing.assert_allclose([invariant_mass(a), invariant_mass(b)], [MASS[211], MASS[111]], rtol=1e-6)
    one, two = two_body(b, 0.0, 0.0, rng.uniform(-1, 1), rng.uniform(0, 6))
    np.testing.assert_allclose(invariant_mass(one + two), MASS[111], rtol=1e-6)
    np.testing.assert_allclose(one[3] + two[3], b[3])


def test_decay_at_rest_by_hand():
    a, b = two_body(np.array([0, 0, 0, 1.0]), 0.0, 0.6, 0.0, np.pi / 2)
    np.testing.assert_allclose(a, [0, 0.32, 0, 0.32], atol=1e-15)  # (1 - 0.36) / 2
    np.testing.assert_allclose(b, [0, -0.32, 0, 0.68], atol=1e-15)
    with pytest.raises(ValueError, match=r"0\.2 GeV cannot decay into 0\.1 and 0\.3 GeV"):
        two_body(np.array([0, 0, 0, 0.2]), 0.1, 0.3, 0.0, 0.0)


def test_rho_line_shape():
    m = rho_mass(np.random.default_rng(0).random(200_000))
    threshold = MASS[211] + MASS[111]
    assert m.min() > threshold
    assert m.max() < RHO_LARGEST
    edges = np.linspace(0.4, 1.2, 17)
    have = np.histogram(m, edges)[0] / len(m)
    fine = np.linspace(threshold, RHO_LARGEST, 20_001)
    want = np.histogram(fine, edges, weights=rho_density(fine))[0] / rho_density(fine).sum()
    np.testing.assert_allclose(have, want, atol=0.004)
    top = fine[rho_density(fine).argmax()]
    assert 0.75 < top < 0.78
    half = fine[rho_density(fine) > rho_density(top) / 2]
    assert 0.13 < half[-1] - half[0] < 0.17
