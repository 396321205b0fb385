"""Shares of cells: what is checked, and what becomes of candidates."""

import numpy as np
import pytest

from cmlflow import Event
from cmlflow.association import Candidates
from cmlflow.association.cell_shares import CellShares, cell_shares, require_tracks, shares_of
from cmlflow.metrics.neutral import neutral_scores, predicted_neutral


def event():
    tracks = [4.0], [[0, 0, 1]], [[0, 0, 150]], [0]
    deposits = [0, 0, 1], [0, 1, 1], [3.0, 1.0, 2.0]
    return Event(np.zeros((2, 3)), [4.0, 2.0], [2, 2], deposits=deposits, tracks=tracks, detector="slab-hg")


def test_rows_are_tracks_and_neutral():
    shares = cell_shares([[0.5, 0.2]], [0.5, 0.9])
    assert shares.track.tolist() == [0, -1]
    np.testing.assert_allclose(shares.share.sum(axis=0), 1)  # 1.1 is scaled
    np.testing.assert_allclose(shares.neutral, [0.5, 0.9 / 1.1], rtol=1e-6)


def test_events_without_tracks_or_hits():
    assert cell_shares(np.zeros((0, 3)), [1, 1, 1]).share.shape == (1, 3)
    assert cell_shares(np.zeros((2, 0)), []).share.shape == (3, 0)


@pytest.mark.parametrize(
    ("share", "track", "message"),
    [
        ([[0.5]], [0], "track is .0., expected .-1."),
        ([[0.5], [0.1]], [-1, 0], "expected .0, -1."),
        ([[1.5], [0.0]], [0, -1], "share of row 0 in hit 0 is 1.5"),
        ([[0.8], [0.8]], [0, -1], "sum of the shares of hit 0 is 1.6"),
        (np.zeros((0, 2)), [], "share has shape"),
    ],
)
def test_errors(share, track, message):
    with pytest.raises(ValueError, match=message):
        CellShares(share, track)


def test_candidates_become_shares():
    momentum = [[0, 0, 4, 4], [0, 0, 1, 1], [0, 0, 1, 1]]
    candidates = Candidates([[0.75, 0.0], [0.25, 0.5], [0.0, 0.25]], [211, 22, 22], momentum, [0, -1, -1])
    shares = shares_of(event(), candidates)
    np.testing.assert_allclose(shares.charged, [[0.75, 0.0]])
    np.testing.assert_allclose(shares.neutral, [0.25, 0.75])


def test_metrics_take_them():
    shares = cell_shares([[0.75, 0.0]], [0.25, 0.5])
    np.testing.assert_allclose(predicted_neutral(event(), shares), [0.25, 0.5])
    # 0.25 · 4 + 0.5 · 2 of 0.25 · 4 + 1 · 2
    assert neutral_scores(event(), shares)["residual"] == pytest.approx(-1 / 3)
    with pytest.raises(ValueError, match="share has shape"):
        predicted_neutral(event(), cell_shares([[0.75]], [0.25]))


def test_unknown_tracks_are_an_error():
    with pytest.raises(ValueError, match="event 7: has no tracks"):
        require_tracks([event(), Event(np.zeros((1, 3)), [1.0], number=7)])
