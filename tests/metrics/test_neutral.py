"""Neutral energy: residuals and barycentres; by hand and against slow twins."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmlflow.event import Event
from cmlflow.metrics import (
    barycentre_distance,
    neutral_residual,
    neutral_scores,
)


def test_residual_by_hand():
    """Energies 4, 2, 2; true neutral 1 + 0 + 2 = 3, predicted 2 + 1 + 0 = 3 at first, then 6."""
    energy, true = [4.0, 2.0, 2.0], [0.25, 0, 1]
    assert neutral_residual([0.5, 0.5, 0], true, energy) == 0
    assert neutral_residual([1, 1, 0], true, energy) == 1
    assert neutral_residual([0, 0, 0], true, energy) == -1
    assert neutral_residual([1, 1, 0], true, energy, mask=[1, 0, 0]) == 3
    assert math.isnan(neutral_residual([1, 1, 0], [0, 0, 0], energy))
    assert math.isnan(neutral_residual([], [], []))
    with pytest.raises(ValueError, match=r"have shapes \(1,\), \(2,\), \(2,\), expected one length"):
        neutral_residual([1], [0, 1], [1, 1])
    with pytest.raises(ValueError, match=r"mask has shape \(1,\)"):
        neutral_residual([1, 1], [0, 1], [1, 1], [True])


def test_barycentres_by_hand():
    """True barycentre at x = 1, predicted at (1, 3): three apart; the cell elsewhere does not count."""
    position = [[0, 0, 5], [2, 0, 5], [1, 6, 5], [99, 0, 7]]
    true, predicted, energy = [1, 1, 0, 1], [0.5, 0.5, 1.0, 1], [2.0, 2.0, 2.0, 50.0]
    assert barycentre_distance(position, predicted, true, energy, mask=[1, 1, 1, 0]) == pytest.approx(3.0)
    assert math.isnan(barycentre_distance(position, [0] * 4, true, energy))
    assert math.isnan(barycentre_distance(position, predicted, true, energy, mask=[0] * 4))
    with pytest.raises(ValueError, match=r"position has shape \(4, 3\), expected \(3, 3\)"):
        barycentre_distance(position, [1] * 3, [1] * 3, [1] * 3)


@given(st.integers(0, 2**31), st.integers(1, 20))
def test_barycentre_equals_the_twin(seed, n):
    rng = np.random.default_rng(seed)
    x, p, t, e = rng.normal(size=(n, 3)), rng.random(n), rng.random(n), rng.random(n) + 0.1
    centres = []
    for part in (p, t):
        total = sum(part[i] * e[i] for i in range(n))
        centres.append([sum(part[i] * e[i] * x[i, k] for i in range(n)) / total for k in range(3)])
    assert barycentre_distance(x, p, t, e) == pytest.approx(math.dist(*centres), abs=1e-12)


def test_scores_of_an_event():
    """One track (particle 0), one neutral (1); a noise cell in which nothing is true."""
    event = Event(
        [[0, 0, 1], [1, 0, 1], [3, 0, 1], [0, 0, 2]],
        [4.0, 2.0, 1.0, 1.0],
        [2, 2, 2, 3],
        deposits=([0, 0, 1], [0, 1, 1], [3.0, 1.0, 2.0]),
        tracks=([5.0], [[0, 0, 1]], [[0, 0, 0]], [0]),
    )
    perfect = neutral_scores(event, [[0.75, 0, 1, 1]])
    assert perfect == pytest.approx({"residual": 0, "barycentre": 0, "energy": 3})
    always0 = neutral_scores(event, np.zeros((1, 4)))
    assert always0["residual"] == pytest.approx((8 - 3) / 3)
    assert always0["barycentre"] == pytest.approx(abs(5 / 7 - 2 / 3))
    assert neutral_scores(event, np.zeros((1, 4)), mask=[0, 1, 0, 0]) == {"residual": 0, "barycentre": 0, "energy": 2}
    assert math.isnan(neutral_scores(event, np.ones((1, 4)), mask=[0, 0, 1, 1])["energy"])
    with pytest.raises(ValueError, match=r"predicted has shape \(4,\), expected \(1, 4\)"):
        neutral_scores(event, np.zeros(4))
