"""Tracks brought together: perfect parts give the truth, energy is conserved, one track is the same both ways."""

from dataclasses import replace

import numpy as np
import pytest

from cmlflow import simulate
from cmlflow.baselines.learned import PointNetConfig, PointNetRegressor
from cmlflow.baselines.learned.inference import MODES, Inference, common, iterative, true_steps
from cmlflow.baselines.learned.pointnet import SPREADS
from cmlflow.event.deposits import particle_shares
from cmlflow.metrics import neutral_shares, track_shares
from cmlflow.metrics.association import association_counts, evaluate_association
from cmlflow.sampling.focus import focus_samples, track_distances


@pytest.fixture(scope="module")
def jets():
    return list(simulate("jets-test", 4, seed=7))


def true_parts(event):
    own, neutral = track_shares(event), neutral_shares(event)
    deposited = np.bincount(event.deposits.hit, minlength=event.n_hits) > 0
    rest = np.where(deposited, 1 - own.sum(axis=0) - neutral, 1.0).clip(0)
    return np.stack([own, np.broadcast_to(neutral, own.shape), np.broadcast_to(rest, own.shape)], axis=1)


def oracle(originals):
    """Perfect parts of the event as it is, found by the positions of its cells and its tracks' momenta."""

    def focus_parts(events, chosen=None):
        out = []
        for event, t in zip(events, chosen, strict=True):
            first = next(o for o in originals if o.number == event.number)
            place = {tuple(p): i for i, p in enumerate(first.position)}
            hit = np.array([place[tuple(p)] for p in event.position], int)
            track = int(np.flatnonzero(first.tracks.momentum == event.tracks.momentum[t])[0])
            energy = true_parts(first)[track][:, hit] * first.energy[hit]
            part = np.divide(energy, event.energy, out=np.ones_like(energy), where=event.energy > 1e-9).clip(0, 1)
            out.append(part[None])
        return out

    return focus_parts


def test_perfect_parts_give_the_truth_all_at_once(jets):
    for event in jets:
        found = common(event, true_parts(event))
        np.testing.assert_allclose(found.charged, track_shares(event), atol=1e-5)
        np.testing.assert_allclose(found.neutral, neutral_shares(event), atol=1e-5)


def test_perfect_parts_give_the_truth_one_after_another(jets):
    found = iterative(jets, oracle(jets), Inference(noise=0, least=0))
    for event, shares in zip(jets, found, strict=True):
        np.testing.assert_allclose(shares.charged, track_shares(event), atol=1e-3)


def said(event, rng, cone=0.4):
    """Random parts of cells in the cones of the tracks."""
    distance, _ = track_distances(event)
    parts = rng.dirichlet(np.ones(4), distance.shape).transpose(0, 2, 1)[:, [0, 2, 3]]
    return np.where((distance <= cone)[:, None], parts, np.nan)


def test_one_track_is_the_same_both_ways():
    for event in simulate("rho-test", 3, seed=2):
        parts = said(event, np.random.default_rng(0))
        parts[:, 0] = 1 - np.nan_to_num(parts[:, 1:]).sum(axis=1)  # no other tracks
        parts[:, 0][np.isnan(parts[:, 1])] = np.nan
        (one,) = iterative([event], lambda events, chosen, p=parts: [p], Inference(noise=0, least=0))
        np.testing.assert_allclose(one.share, common(event, parts).share, atol=1e-5)


def test_energy_is_conserved_at_every_step(jets):
    rng = np.random.default_rng(1)
    energies = []

    def focus_parts(events, chosen):
        energies.append([float(e.energy.sum()) for e in events])
        return [said(e, rng)[[t]] for e, t in zip(events, chosen, strict=True)]

    found = iterative(jets, focus_parts, Inference(noise=1, least=0.05))
    for shares in found:
        total = shares.share.astype(np.float64).sum(axis=0)
        assert total.max() <= 1 + 1e-6
        assert (shares.charged.sum(axis=0) + shares.neutral <= 1 + 1e-6).all()
    assert energies[0] == [pytest.approx(float(e.energy.sum())) for e in jets]
    assert all(min(step) >= 0 for step in energies)


def test_nothing_is_lost_where_nothing_is_unassigned(jets):
    rng = np.random.default_rng(2)

    def focus_parts(events, chosen):
        out = []
        for e, t in zip(events, chosen, strict=True):
            parts = said(e, rng)[[t]]
            parts[:, 1:] = np.nan  # a network with one output
            out.append(parts)
        return out

    for shares in iterative(jets, focus_parts):
        np.testing.assert_allclose(shares.share.sum(axis=0), 1, atol=1e-6)


def test_far_tracks_have_little_to_say_of_neutral_energy(jets):
    event = next(e for e in jets if len(e.tracks) > 1)
    distance, _ = track_distances(event)
    parts = np.zeros((len(event.tracks), 3, event.n_hits))
    nearest = distance.argmin(axis=0)
    parts[:, 2] = 1.0
    parts[nearest, 1, np.arange(event.n_hits)] = 1.0
    parts[nearest, 2, np.arange(event.n_hits)] = 0.0
    hit = int(np.argmax(np.sort(distance, axis=0)[1] - distance.min(axis=0)))
    near = common(event, parts, Inference(spread=0.02)).neutral[hit]
    even = common(event, parts, Inference(spread=100.0)).neutral[hit]
    assert near > even
    assert even == pytest.approx(1 / len(event.tracks), rel=1e-3)


def test_settings_are_tuned_on_events_of_several_tracks(jets):
    model = PointNetRegressor(PointNetConfig(width=0.1))
    before = model.config.inference
    assert model.tune(list(simulate("rho-tuning", 2, seed=1))).config.inference == before
    tuned = model.tune(jets).config.inference

    def f1(settings):
        found = [common(e, p, settings) for e, p in zip(jets, model.focus_parts(jets), strict=True)]
        counts = [
            association_counts(s.charged, track_shares(e), e.energy, (e.particle_id >= 0)[None])
            for e, s in zip(jets, found, strict=True)
        ]
        return evaluate_association(counts, bootstrap=0)["weighted_f1"]

    assert f1(tuned) == max(f1(replace(tuned, spread=spread)) for spread in SPREADS)


def test_both_modes_are_calibrated(jets):
    model = PointNetRegressor(PointNetConfig(width=0.1)).calibrate(jets)
    true = sum(float(neutral_shares(e) @ e.energy) for e in jets)
    for mode in MODES:
        found = model.cell_shares(jets, mode)
        got = sum(float(s.neutral @ e.energy) for e, s in zip(jets, found, strict=True))
        assert got == pytest.approx(true, rel=0.1), mode


def test_settings_are_checked():
    with pytest.raises(ValueError, match="spread is 0, expected"):
        Inference(spread=0)
    with pytest.raises(ValueError, match="0 or more and below 1"):
        Inference(least=1)


def test_true_steps_leave_what_later_tracks_and_neutral_particles_left(jets):
    event = next(e for e in jets if len(e.tracks) > 1)
    steps = true_steps(event, Inference(noise=0, least=0))
    order = np.argsort(-event.tracks.momentum, kind="stable")
    assert len(steps) == len(order)
    shares, gone = particle_shares(event), []
    for k, (now, place) in enumerate(steps):
        assert now.tracks.momentum[place] == event.tracks.momentum[order[k]] == now.tracks.momentum.max()
        want = float((event.energy * (1 - shares[gone].sum(axis=0))).sum())
        assert float(now.energy.sum()) == pytest.approx(want, rel=1e-4)
        assert not np.isin(now.deposits.particle, gone).any()
        gone.append(int(event.tracks.particle[order[k]]))


def test_training_on_steps_has_one_sample_for_each_track(jets):
    model = PointNetRegressor(PointNetConfig(width=0.1, steps=True))
    for event in jets:
        clouds = model.clouds(event)
        assert len(clouds) == len(event.tracks)
        assert len(clouds[0]) == len(focus_samples(event, 0.4)[int(event.tracks.momentum.argmax())])
