"""Mass of two photons, its width, and profiles, against numbers worked out by hand."""

import numpy as np
import pytest

from cmlflow.metrics.superresolution import mass_width, photon_pair_mass, radial_profile


def test_mass_of_two_photons():
    theta = 2 * np.arctan(0.01)
    want = np.sqrt(2 * 2.0 * 3.0 * (1 - np.cos(theta)))
    assert photon_pair_mass([[1, 0, 100], [-1, 0, 100]], [2.0, 3.0]) == pytest.approx(want)


def test_mass_from_showers_of_several_cells():
    rng = np.random.default_rng(0)
    axis = np.repeat([[0.02, 0.0], [-0.03, 0.01]], 30, axis=0)
    z = rng.uniform(150, 220, 60)
    x = np.column_stack([(axis + rng.normal(0, 0.001, axis.shape)) * z[:, None] + 5, z])
    e = np.repeat([0.1, 0.05], 30)
    cosine = np.dot([0.02, 0, 1], [-0.03, 0.01, 1]) / np.linalg.norm([0.02, 0, 1]) / np.linalg.norm([-0.03, 0.01, 1])
    want = np.sqrt(2 * 3.0 * 1.5 * (1 - cosine))
    assert photon_pair_mass(x, e, vertex=(5, 5, 0)) == pytest.approx(want, rel=0.02)
    order = rng.permutation(60)
    assert photon_pair_mass(x[order], e[order], (5, 5, 0)) == pytest.approx(photon_pair_mass(x, e, (5, 5, 0)))


def test_one_or_no_cell_has_no_mass():
    assert np.isnan(photon_pair_mass([[0, 0, 100]], [1.0]))
    assert np.isnan(photon_pair_mass([[0, 0, 100], [1, 0, 100]], [1.0, 0.0]))
    assert np.isnan(photon_pair_mass([[0, 0, 100], [0, 0, 120]], [1.0, 1.0]))
    assert np.isnan(photon_pair_mass(np.zeros((0, 3)), []))


def test_width_is_relative_to_the_peak():
    masses = np.concatenate([np.random.default_rng(0).normal(0.1, 0.01, 20_000), [np.nan, np.nan]])
    got = mass_width(masses)
    assert got["peak"] == pytest.approx(0.1, rel=0.02)
    assert got["width"] == pytest.approx(0.1, rel=0.03)
    assert got["missing"] == 2
    assert np.isnan(mass_width([0.1, np.nan])["width"])


def test_profile_by_hand():
    got = radial_profile([[0, 0], [3, 0], [0, 5]], [2.0, 1.0, 0.5], [0, 2, 4])
    np.testing.assert_allclose(got, [2 / (4 * np.pi), 1 / (12 * np.pi)])
    assert np.isnan(radial_profile(np.zeros((1, 2)), [0.0], [0, 1])).all()
