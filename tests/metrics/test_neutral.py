"""Neutral energy: residuals and barycentres; by hand and against slow twins."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cmlflow
from cmlflow.event import Event
from cmlflow.metrics import (
    barycentre_distance,
    compare_neutral,
    neutral_residual,
    neutral_scores,
    track_shares,
    true_candidates,
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


def test_candidates_leave_what_is_nobodys():
    """Shares of tracks leave the rest neutral; of candidates the neutral ones alone are."""
    event = Event(
        [[0, 0, 1], [1, 0, 1]], [4.0, 2.0], [2, 2], deposits=([0, 0, 1], [0, 1, 1], [3.0, 1.0, 2.0]),
        tracks=([5.0], [[0, 0, 1]], [[0, 0, 0]], [0]),
    )  # fmt: skip
    c = SimpleNamespace(
        share=[[0.75, 0], [0.25, 0.5]], pdg_id=[211, 22], momentum=np.zeros((2, 4)), track=np.array([0, -1])
    )
    assert neutral_scores(event, c)["residual"] == pytest.approx((1 + 1 - 3) / 3)
    assert neutral_scores(event, [[0.75, 0]])["residual"] == 0
    assert neutral_scores(event, true_candidates(event))["residual"] == 0


def test_systems_beside_each_other():
    events = list(cmlflow.simulate("rho-test", 25, seed=4))
    rng = np.random.default_rng(1)
    true = [track_shares(e) for e in events]
    near, far = (
        [np.clip(t + rng.normal(0, width, t.shape), 0, 1) for t in true] for width in (0.03, 0.3)
    )  # fmt: skip
    none = [np.ones_like(t) for t in true]
    table = compare_neutral(
        events, {"near": near, "far": far, "none": none}, against="far", bins=[0, 5, 50], bootstrap=20
    )
    rows = [neutral_scores(e, p) for e, p in zip(events, near, strict=True)]
    others = [neutral_scores(e, p) for e, p in zip(events, far, strict=True)]
    known = [r["residual"] for r in rows if not math.isnan(r["residual"])]
    assert table["near"]["median"] == pytest.approx(np.median(known))
    both = [r["barycentre"] for r, o in zip(rows, others, strict=True)
            if not math.isnan(r["barycentre"] + o["barycentre"])]  # fmt: skip
    assert table["near"]["barycentre_mean"] == pytest.approx(np.mean(both))
    assert table.versus["near"]["sigma_eff_ratio"] > 1.5
    assert table.versus["near"]["barycentre_mean_ratio"].low > 1
    assert table["none"]["bias"] == -1
    assert table["none"]["core_sigma"] == 0
    assert math.isnan(table["none"]["barycentre_mean"])
    low = [r["residual"] for r in rows if 0 <= r["energy"] < 5]
    assert table.by_energy[0]["near"]["median"] == pytest.approx(np.median(low))
    assert compare_neutral(events[0], {"a": near[0]})["a"]["median"] == pytest.approx(rows[0]["residual"])
    assert compare_neutral([], {}).figures == {}
