import numpy as np
import pytest

from cmlflow.simulation import detector


def test_hgcal_geometry():
    d = detector("hgcal")
    assert d.n_layers == 50
    np.testing.assert_allclose(d.z[[0, 1, 27, 28, 49]], [320.6, 323.1, 388.1, 393.9, 498.9])
    assert (np.diff(d.z) > 0).all()
    np.testing.assert_allclose(d.layer_weights[[0, 27, 28, 49]], [0.0106, 0.0106, 0.0474, 0.0474])
    assert (d.cell_size, d.mip_mev) == (1.0, 0.08925)


def test_position():
    np.testing.assert_allclose(detector("hgcal").position([1, 29], [-3, 0], [4, 7]), [[-3, 4, 320.6], [0, 7, 393.9]])


def test_unknown_detector_lists_names():
    with pytest.raises(ValueError, match="detector 'hgc' is not known; there are hgcal"):
        detector("hgc")
