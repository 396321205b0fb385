"""The shelf: scikit-learn's own checks, names, grids, and clusterers from outside."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.cluster import DBSCAN
from sklearn.utils.estimator_checks import parametrize_with_checks

from cmlflow.readouts import (
    READOUTS,
    Clue,
    Condensation,
    Density,
    Hdbscan,
    Readout,
    Ward,
    build_readout,
    sweep,
)

EMPTY = {"check_estimators_empty_data_messages": "an event without hits is no error, its labels are an empty array"}
EXPECTED = {
    Condensation: {"check_clustering": "the first column is beta, a score, and not a coordinate"},
    Clue: {"check_all_zero_sample_weights_error": "hits without energy are clustered by their coordinates"},
}


@parametrize_with_checks(
    [
        Ward(height=3.0, normalize=False),
        Density(k=3, temperature=1.0, threshold=0.1, radius=1.5, normalize=False),
        Condensation(radius=1.0),
        Clue(density_radius=0.7, link_distance=1.5, normalize=False),
        Hdbscan(normalize=False),
    ],
    expected_failed_checks=lambda readout: {**EMPTY, **EXPECTED.get(type(readout), {})},
)
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", READOUTS)
def test_names_build_readouts_that_cluster_any_event(name):
    readout = build_readout(name)
    assert isinstance(readout, Readout)
    assert readout.fit_predict(np.zeros((0, 17), np.float32)).shape == (0,)
    z = np.random.default_rng(0).random((30, 17)).astype(np.float32)
    labels = readout.fit_predict(z)
    assert labels.dtype == np.int64
    assert labels is readout.labels_
    np.testing.assert_array_equal(readout.fit_predict(torch.from_numpy(z)), labels)
    assert readout.fit_predict(z[:1]).shape == (1,)


@pytest.mark.parametrize("name", READOUTS)
def test_grid_holds_settings_of_the_readout(name):
    readout = build_readout(name)
    grid = readout.tuning_grid()
    assert grid
    assert set(grid) <= set(readout.get_params())
    for values in grid.values():
        assert len(values) > 1
        assert values == sorted(set(values))


def test_wrong_names_list_the_right_ones():
    with pytest.raises(ValueError, match="'wrad', needs one of ward, condensation, density, clue, hdbscan"):
        build_readout("wrad")
    with pytest.raises(ValueError, match="fit_predict"):
        build_readout(3)
    with pytest.raises(ValueError, match="Invalid parameter 'radius'"):
        build_readout("ward", radius=1.0)


def test_any_scikit_learn_clusterer_fits():
    mine = DBSCAN(eps=0.3)
    assert build_readout(mine) is mine
    changed = build_readout(mine, eps=0.5)
    assert (changed.eps, mine.eps) == (0.5, 0.3)
    z = np.random.default_rng(0).random((40, 2))
    settings = [{"eps": 0.1}, {"eps": 0.9}]
    for setting, labels in zip(settings, sweep(mine, z, settings), strict=True):
        np.testing.assert_array_equal(labels, DBSCAN(**setting).fit_predict(z))


def test_sweep_function_uses_the_readouts_own():
    z = np.random.default_rng(0).random((40, 4))
    energy = np.arange(40.0)
    (labels,) = sweep(Clue(), z, [{"link_distance": 0.2}], sample_weight=energy)
    np.testing.assert_array_equal(labels, Clue(link_distance=0.2).fit_predict(z, sample_weight=energy))


def test_hdbscan_package_is_loaded_on_use():
    code = "import sys, cmlflow.readouts; assert 'hdbscan' not in sys.modules and 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
