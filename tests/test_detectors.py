import numpy as np
import pytest

from cmlflow.detectors import slab_detector
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


@pytest.mark.parametrize("name", ["slab-hg", "slab-lg", "slab-lg-sum", "slab-base"])
def test_slab_geometry_by_hand(name):
    d = slab_detector(name)
    assert d is detector(name)
    assert (d.n_layers, d.width, d.unit, d.n_base) == (6, 125.0, "GeV", 64)
    np.testing.assert_allclose(d.front, [150, 161.7, 224.1, 248.5, 274.6, 345.94])
    np.testing.assert_allclose(d.thickness, [11.7, 62.4, 23.4, 26.1, 71.34, 31.32])
    np.testing.assert_allclose(d.z, [155.85, 192.9, 235.8, 261.55, 310.27, 361.6])
    # seed 004: 227.5 cm in all, the gap of 1 cm included
    np.testing.assert_allclose(d.front[-1] + d.thickness[-1] - d.front[0], 227.5, atol=0.3)
    np.testing.assert_allclose(d.sampling, [0.1, 0.1, 0.1, 0.5, 0.5, 0.5])


def test_slab_cells_and_noise():
    fine, coarse = slab_detector("slab-hg"), slab_detector("slab-lg")
    assert fine.n_cells.tolist() == [64, 32, 32, 16, 16, 8]
    assert coarse.n_cells.tolist() == [32, 8, 8, 8, 8, 8]
    assert fine.offset.tolist() == [0, 4096, 5120, 6144, 6400, 6656, 6720]
    np.testing.assert_allclose(1000 * fine.noise, [13, 34, 17, 14, 8, 14])
    np.testing.assert_allclose(1000 * coarse.noise, [52, 544, 272, 56, 32, 14])
    np.testing.assert_allclose(
        fine.position([1, 1, 4, 6], [0, 63, 8, 7], [32, 0, 8, 0]),
        [[-61.5234, 0.9766, 155.85], [61.5234, -61.5234, 155.85], [3.9063, 3.9063, 261.55], [54.6875, -54.6875, 361.6]],
        atol=1e-4,
    )


def test_only_slabs_are_slabs():
    with pytest.raises(
        ValueError, match="slab detector 'hgcal' is not known; there are slab-hg, slab-lg, slab-lg-sum, slab-base"
    ):
        slab_detector("hgcal")
