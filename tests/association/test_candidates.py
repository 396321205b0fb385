"""Candidates are checked when they are made."""

import numpy as np
import pytest

from cmlflow.association import Candidates


def good(**change):
    values = {
        "share": [[0.9, 0.2, 0.0], [0.0, 0.7, 0.0], [0.0, 0.0, 0.0]],
        "pdg_id": [211, 22, -211],
        "momentum": [[0, 0, 5, 5.0], [0, 1, 1, 2], [1, 0, 0, 1]],
        "track": [1, -1, 0],
    }
    return Candidates(**(values | change))


def test_what_it_holds():
    c = good()
    assert len(c) == 3
    assert c.n_hits == 3
    assert c.share.dtype == np.float32
    assert c.momentum.dtype == np.float64
    assert c.pdg_id.dtype == c.track.dtype == c.labels.dtype == np.int64
    np.testing.assert_array_equal(c.labels, [0, 1, -1])
    np.testing.assert_array_equal(c.charged, [True, False, True])
    np.testing.assert_array_equal(c.neutral, [False, True, False])
    np.testing.assert_allclose(c.total, [1, 1, 6, 8])
    np.testing.assert_allclose(c.energy_in([1.0, 10.0, 100.0]), [2.9, 7.0, 0.0], rtol=1e-6)
    assert repr(c) == "<Candidates: 2 charged, 1 neutral, 3 hits>"


def test_labels_are_the_largest_share():
    share = np.random.default_rng(0).dirichlet(np.ones(5), size=40).T[:4]
    c = Candidates(share, [22] * 4, np.zeros((4, 4)), [-1] * 4)
    for hit in range(40):
        assert c.labels[hit] == max(range(4), key=lambda k: share[k, hit])


def test_to_arrays_and_back():
    c = good()
    d = Candidates.from_arrays(c.to_arrays())
    for name, value in c.to_arrays().items():
        np.testing.assert_array_equal(getattr(d, name), value)
    with pytest.raises(ValueError, match="candidates without momentum, track; there are share, pdg_id"):
        Candidates.from_arrays({"share": c.share, "pdg_id": c.pdg_id})


@pytest.mark.parametrize("n_hits", [0, 4])
def test_none_and_no_hits(n_hits):
    c = Candidates(np.zeros((0, n_hits)), [], np.zeros((0, 4)), [])
    assert len(c) == 0
    np.testing.assert_array_equal(c.labels, np.full(n_hits, -1))
    np.testing.assert_array_equal(c.total, np.zeros(4))
    one = Candidates(np.zeros((1, n_hits)), [211], [[0, 0, 1, 1]], [0])
    np.testing.assert_array_equal(one.labels, np.full(n_hits, -1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"share": np.zeros((2, 3))}, r"share has shape \(2, 3\), expected \(3, n_hits\)"),
        ({"share": [[0, 0, 0], [0, 1.5, 0], [0, 0, 0]]}, "share of candidate 1 in hit 1 is 1.5"),
        ({"share": [[0, 0, 0], [0, np.nan, 0], [0, 0, 0]]}, "share of candidate 1 in hit 1 is nan"),
        ({"share": [[0, 0, 0.6], [0, 0, 0.6], [0, 0, 0]]}, "sum of the shares of hit 2 is 1.2"),
        ({"pdg_id": [211, 13, 211]}, "pdg_id of candidate 1 is 13"),
        ({"pdg_id": [211, 22]}, "track has 3 entries, expected 2"),
        ({"pdg_id": [211, 22.5, 211]}, "pdg_id has entries that are not integers"),
        ({"momentum": np.zeros((3, 3))}, r"momentum has shape \(3, 3\), expected \(3, 4\)"),
        ({"momentum": [[0, 0, np.inf, 0]] * 3}, "momentum of candidate 0, component 2, is inf"),
        ({"track": [1, 2, 0]}, "track of candidate 1 is 2, expected a track for charged"),
        ({"track": [-1, -1, 0]}, "track of candidate 0 is -1, expected a track for charged"),
        ({"track": [1, -2, 0]}, "track of candidate 1 is -2"),
        ({"track": [1, -1, 1]}, "track 1 belongs to several candidates"),
    ],
)
def test_errors_name_the_entry(change, message):
    with pytest.raises(ValueError, match=message):
        good(**change)
