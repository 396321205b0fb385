"""Where the particles of an event come from."""

import numpy as np
import pytest

import cmlflow
from cmlflow.event import vertex_of


def test_default_is_from_the_tracks_in_the_slab_and_the_origin_elsewhere():
    (slab,) = cmlflow.simulate("pi-guns", 1, seed=3)
    np.testing.assert_array_equal(vertex_of(slab), vertex_of(slab, "tracks"))
    assert np.abs(vertex_of(slab)[:2]).max() > 0.1
    (hgcal,) = cmlflow.simulate("compact-em", 1, seed=1, n_particles=1)
    np.testing.assert_array_equal(vertex_of(hgcal), np.zeros(3))
    np.testing.assert_array_equal(vertex_of(hgcal, (1, 2, 3)), [1, 2, 3])
    with pytest.raises(ValueError, match="vertex is 'beam'"):
        vertex_of(hgcal, "beam")
