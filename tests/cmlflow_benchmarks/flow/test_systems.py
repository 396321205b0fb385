"""Choices on validation events, and candidates of systems without learning, against loops."""

import numpy as np
import pytest

import cmlflow
from cmlflow.association import fit_energy_scale, four_momenta
from cmlflow.baselines.pflow import nearest_track, parametric_candidates
from cmlflow.event import Event
from cmlflow.metrics import track_shares
from cmlflow.metrics.truth import true_candidates
from cmlflow.sampling.focus import track_distances
from cmlflow_benchmarks.flow.systems import (
    Systems,
    calibrated_truth,
    chosen_radius,
    hit_counts,
    positive_rate,
    track_part,
    with_momenta,
    with_remnants,
)
from cmlflow_benchmarks.flow.testing import finite, share_reliability


@pytest.fixture(scope="module")
def jets():
    return list(cmlflow.simulate("jets-tuning", 12, seed=2))


@pytest.fixture(scope="module")
def scale(jets):
    return fit_energy_scale(jets)


def test_the_radius_has_the_largest_f1(jets):
    radii, scores = (0.2, 0.6, 1.5), []
    for radius in radii:
        tp = fp = fn = 0.0
        for e in jets:
            distance, true = track_distances(e)[0], track_shares(e)
            for h in range(e.n_hits):
                if e.particle_id[h] < 0:
                    continue
                near = int(np.argmin(distance[:, h])) if len(e.tracks) else -1
                for t in range(len(e.tracks)):
                    p = t == near and distance[t, h] <= radius
                    tp += e.energy[h] * (p and true[t, h] > 0.5)
                    fp += e.energy[h] * (p and true[t, h] <= 0.5)
                    fn += e.energy[h] * (not p and true[t, h] > 0.5)
        scores.append(2 * tp / (2 * tp + fp + fn))
    best, table = chosen_radius(jets, radii)
    assert best == radii[int(np.argmax(scores))]
    np.testing.assert_allclose(list(table.values()), scores, atol=1e-4)
    assert chosen_radius([], radii) == (0.2, {})


def test_the_rate_of_positives_leaves_noise_out(jets):
    pairs = [
        track_shares(e)[t, h] > 0.5
        for e in jets
        for t in range(len(e.tracks))
        for h in range(e.n_hits)
        if e.particle_id[h] >= 0
    ]
    assert positive_rate(jets) == pytest.approx(np.mean(pairs), abs=1e-4)
    assert positive_rate([]) == 0.0


def test_hits_of_noise_do_not_count():
    event = Event([[0, 0, 160], [1, 0, 160], [2, 0, 160]], [1.0, 0.5, 2.0], [1, 1, 1], particle_id=[0, -1, 0],
                  tracks=([5.0], [[0, 0, 1]], [[0, 0, 150]], [0]), detector="slab-hg")  # fmt: skip
    np.testing.assert_allclose(hit_counts(event, np.array([[0.6, 1.0, 0.0]])), [[1, 0, 1, 0], [1, 0, 2, 0]])
    np.testing.assert_allclose(
        hit_counts(event, np.array([[0.6, 1.0, 0.0]]), soft=True)[1], [0.6, 0.0, 0.4 + 2.0, 0.0], rtol=1e-6
    )


def test_what_tracks_leave_is_neutral(jets, scale):
    for e in jets[:4]:
        found = parametric_candidates(e)
        share, track = with_remnants(e, found.share[found.track >= 0])
        np.testing.assert_allclose(share, found.share)  # the same rule
        assert track.tolist() == found.track.tolist()
        near = nearest_track(e, radius=0.7)
        candidates = with_momenta(e, *with_remnants(e, near), scale, (0.0, 0.0, 0.0))
        np.testing.assert_allclose(candidates.share.sum(axis=0), 1.0, rtol=1e-6)
        np.testing.assert_allclose(track_part(e, candidates), near)


def test_truth_has_the_energies_that_the_scale_gives_its_cells(jets, scale):
    for e in jets[:4]:
        truth = calibrated_truth(e, scale, (0.0, 0.0, 0.0))
        plain = true_candidates(e)
        np.testing.assert_allclose(truth.share, plain.share)
        wanted = four_momenta(e, truth.share, truth.track, scale)[1]
        np.testing.assert_allclose(truth.momentum[:, 3], wanted[:, 3], rtol=1e-4)


def test_true_shares_lie_on_the_diagonal(jets):
    systems = Systems(candidates={"truth": [true_candidates(e) for e in jets]})
    systems.shares = {"truth": [track_part(e, c) for e, c in zip(jets, systems.candidates["truth"], strict=True)]}
    rows = share_reliability(jets, systems, "truth")
    there = rows[:, 3] > 0
    np.testing.assert_allclose(rows[there, 0], rows[there, 1], atol=1e-5)
    total = sum(float(track_shares(e).clip(0).__gt__(0) @ e.energy @ np.ones(len(e.tracks))) for e in jets)
    assert rows[:, 3].sum() > total  # and what is neutral
    assert share_reliability([], Systems(shares={"truth": []}), "truth").shape == (10, 4)


def test_ratios_to_a_width_of_zero_are_unknown():
    inf, nan = float("inf"), float("nan")
    assert finite({"a": [inf, -1.5, nan], "b": {"c": 2}, "d": [[-inf]]}) == {
        "a": [None, -1.5, None],
        "b": {"c": 2},
        "d": [[None]],
    }
