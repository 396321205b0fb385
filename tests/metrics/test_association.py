"""Cell-to-track association: a case by hand, a slow twin, the bootstrap, and what is refused."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmlflow.event import Event
from cmlflow.metrics import (
    association_counts,
    association_metrics,
    compare_association,
    evaluate_association,
    neutral_shares,
    track_shares,
)
from cmlflow.metrics.intervals import resamples


def tracked(n_hits, deposits, track_particles, n_particles):
    n = len(track_particles)
    return Event(
        np.zeros((n_hits, 3)),
        np.ones(n_hits),
        deposits=deposits,
        particles=([0] * n_particles, [1.0] * n_particles, np.zeros((n_particles, 3))),
        tracks=(np.ones(n), np.tile([0, 0, 1], (n, 1)), np.tile([0, 0, 9], (n, 1)), track_particles),
        number=6,
    )


def slowly(predicted, share, energy, mask, threshold, soft):
    out = [[0.0] * 4, [0.0] * 4]
    for p, t, e, m in zip(predicted, share, energy, mask, strict=True):
        if not m or math.isnan(t):
            continue
        if not soft:
            p, t = float(p > threshold), float(t > threshold)
        for row, w in zip(out, (1.0, float(e)), strict=True):
            row[0] += w * min(p, t)
            row[1] += w * max(p - t, 0)
            row[2] += w * max(t - p, 0)
            row[3] += w * (1 - max(p, t))
    return out


def rates(tp, fp, fn, tn):
    def over(a, b):
        return a / b if b else math.nan

    p, r = over(tp, tp + fp), over(tp, tp + fn)
    f1 = over(2 * tp, 2 * tp + fp + fn)
    if p + r > 0:  # the harmonic mean, where both are defined
        assert f1 == pytest.approx(2 * p * r / (p + r))
    return {"accuracy": over(tp + tn, tp + fp + fn + tn), "precision": p, "recall": r, "f1": f1}


def test_a_case_by_hand():
    """Five cells: found, false, missed, rightly left, masked; energies 4, 1, 2, 3 and 100."""
    got = association_metrics([0.9, 0.6, 0.2, 0.1, 1], [0.8, 0.5, 0.7, 0, 0], [4, 1, 2, 3, 100], [1, 1, 1, 1, 0])
    want = {"accuracy": 1 / 2, "precision": 1 / 2, "recall": 1 / 2, "f1": 1 / 2, "weighted_accuracy": 0.7,
            "weighted_precision": 0.8, "weighted_recall": 4 / 6, "weighted_f1": 8 / 11}  # fmt: skip
    assert got == pytest.approx(want)


def test_soft_shares_by_hand():
    """Half of a cell of 4 is predicted where three quarters are true; a cell of 2 the other way round."""
    counts = association_counts([0.5, 1.0], [0.75, 0.5], [4.0, 2.0], soft=True)
    np.testing.assert_allclose(counts, [[1.0, 0.5, 0.25, 0.25], [3.0, 1.0, 1.0, 1.0]])
    assert association_metrics([0.5, 1.0], [0.75, 0.5], [4.0, 2.0], soft=True)["weighted_precision"] == 0.75


def test_always_one_and_always_zero():
    share, energy = np.array([0.9, 0.1, 0.2, 0.6]), np.array([3.0, 1, 1, 1])
    one, zero = (association_metrics(np.full(4, v), share, energy) for v in (1.0, 0.0))
    assert (one["precision"], one["recall"], one["weighted_precision"]) == (0.5, 1, pytest.approx(4 / 6))
    assert (zero["accuracy"], zero["recall"], zero["f1"], zero["weighted_f1"]) == (0.5, 0, 0, 0)
    assert math.isnan(zero["precision"])
    perfect = association_metrics(share, share, energy, soft=True)
    assert (perfect["f1"], perfect["weighted_f1"], perfect["accuracy"]) == (1, 1, 1)


@given(st.integers(0, 2**31), st.integers(0, 30), st.booleans(), st.sampled_from([0.5, 0.2]))
def test_equals_the_twin(seed, n, soft, threshold):
    rng = np.random.default_rng(seed)
    p, t, e, m = rng.random(n), rng.random(n), rng.exponential(size=n), rng.random(n) < 0.8
    t[rng.random(n) < 0.1] = np.nan
    p[rng.random(n) < 0.2] = 0.5
    counts = association_counts(p, t, e, m, threshold=threshold, soft=soft)
    twin = slowly(p, t, e, m, threshold, soft)
    np.testing.assert_allclose(counts, twin, atol=1e-12)
    got = association_metrics(p, t, e, m, threshold=threshold, soft=soft)
    want = rates(*twin[0]) | {f"weighted_{name}": x for name, x in rates(*twin[1]).items()}
    assert got == pytest.approx(want, nan_ok=True)


def test_tracks_and_cells_at_once_and_tensors():
    import torch

    rng = np.random.default_rng(0)
    p, t, e = rng.random((3, 20)), rng.random((3, 20)), rng.random(20)
    t[1] = np.nan
    m = rng.random((3, 20)) < 0.5
    total = sum(association_counts(p[i], t[i], e, m[i]) for i in range(3))
    np.testing.assert_allclose(association_counts(p, t, e, m), total)
    tensors = (torch.from_numpy(a) for a in (p, t, e, m))
    np.testing.assert_allclose(association_counts(*tensors), total)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5], [0.5, 0.1], [1.0]), r"predicted has shape \(1,\), but share \(2,\)"),
        (([0.5, 1.5], [0.5, 0.1], [1.0, 1]), r"predicted of cell \(1,\) is 1.5, expected 0..1"),
        (([0.5, np.nan], [0.5, 0.1], [1.0, 1]), r"predicted of cell \(1,\) is nan"),
        (([0.5, 0.5], [0.5, -0.1], [1.0, 1]), r"share of cell \(1,\) is -0.1"),
        (([[0.5, 0.5]], [[0.5, 0.1]], [-1.0, 1]), r"energy of cell \(0, 0\) is -1.0, expected 0 or above"),
        (([0.5, 0.5], [0.5, 0.1], [1.0, 1, 1]), "energy or mask do not fit the shape"),
    ],
)
def test_what_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        association_counts(*arguments)


def test_evaluation_sums_counts_and_draws_events():
    rng = np.random.default_rng(1)
    counts = [association_counts(rng.random(9), rng.random(9), rng.random(9)) for _ in range(14)]
    event = np.repeat(np.arange(7) * 3, 2)
    table = evaluate_association(counts, event, bootstrap=60, confidence=0.9, seed=4)
    by_event = np.array([counts[2 * i] + counts[2 * i + 1] for i in range(7)])
    w = resamples(7, 60, seed=4)
    for weighted, prefix in ((0, ""), (1, "weighted_")):
        replicas = [rates(*sum(n * c for n, c in zip(times, by_event, strict=True))[weighted]) for times in w]
        value = rates(*by_event.sum(axis=0)[weighted])
        for name in value:
            limits = np.quantile([r[name] for r in replicas], [0.05, 0.95])
            np.testing.assert_allclose(list(table[prefix + name]), [value[name], *limits], atol=1e-12)
    assert math.isnan(evaluate_association([])["f1"])
    with pytest.raises(ValueError, match="there are 14 counts, but 2 events"):
        evaluate_association(counts, [1, 2])


def test_shares_of_tracks_and_of_neutrals_by_hand():
    """Particles 0 and 1 have tracks (0 two of them), 2 has none; cell 2 is noise, cell 3 partly unknown."""
    deposits = ([0, 0, 0, 1, 3, 3], [0, 1, 2, 2, -1, 2], [2.0, 1.0, 1.0, 5.0, 3.0, 1.0])
    event = tracked(4, deposits, [1, 0, -1, 0], 3)
    shares = track_shares(event)
    np.testing.assert_array_equal(shares, [[0.25, 0, 0, 0], [0.5, 0, 0, 0], [np.nan] * 4, [0.5, 0, 0, 0]])
    assert neutral_shares(event).tolist() == [0.25, 1, 0, 0.25]
    assert track_shares(tracked(4, deposits, [], 3)).shape == (0, 4)
    assert neutral_shares(tracked(4, deposits, [], 3)).tolist() == [1, 1, 0, 0.25]
    assert neutral_shares(tracked(0, ([], [], []), [0], 1)).shape == (0,)
    with pytest.raises(ValueError, match="event 3: has no tracks"):
        track_shares(Event([], [], number=3))


def test_systems_against_each_other():
    rng = np.random.default_rng(0)
    good, bad = rng.integers(0, 20, (2, 30, 2, 4)).astype(float)
    good[..., 0] += 20
    event = np.repeat(np.arange(10), 3)
    table = compare_association({"good": good, "bad": bad}, event, against="bad", bootstrap=50, seed=2)
    alone = {n: evaluate_association(c, event, bootstrap=50, seed=2) for n, c in (("good", good), ("bad", bad))}
    for name, own in alone.items():
        for figure, value in own.items():
            np.testing.assert_allclose(list(table[name][figure]), list(value), rtol=1e-12)
    drawn = [[sum(c[event == e].sum(0) * n for e, n in enumerate(w)) for c in (good, bad)]
             for w in resamples(10, 50, seed=2)]  # fmt: skip
    f1 = [[2 * c[1, 0] / (2 * c[1, 0] + c[1, 1] + c[1, 2]) for c in pair] for pair in drawn]
    limits = np.quantile([a - b for a, b in f1], [0.025, 0.975])
    gain = table.versus["good"]["weighted_f1_difference"]
    np.testing.assert_allclose([gain.low, gain.high], limits, rtol=1e-12)
    assert gain == pytest.approx(alone["good"]["weighted_f1"] - alone["bad"]["weighted_f1"])
    with pytest.raises(ValueError, match="there are 29 counts of bad, but 30"):
        compare_association({"good": good, "bad": bad[1:]})
    assert np.isnan(compare_association({"a": []})["a"]["f1"])
