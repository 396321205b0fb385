"""Response and effective width against loops, and on numbers worked out by hand."""

import math

import numpy as np
import pytest

from cmlflow.event import Event
from cmlflow.metrics import Preset, calibrated, particle_response, resolution, sigma_eff
from cmlflow.metrics.matching import match
from cmlflow.metrics.resolution import bin_of, hit_weights, resampled_resolution


def slow_sigma_eff(values, fraction=0.683):
    values = sorted(float(v) for v in values)
    held = math.ceil(round(fraction * len(values), 9))
    return min(values[i + held - 1] - values[i] for i in range(len(values) - held + 1)) / 2


def slow_calibrated(response, energy, bins):
    def which(e):
        if e == bins[-1]:
            return len(bins) - 1
        return sum(e >= edge for edge in bins)

    out = []
    for r, e in zip(response, energy, strict=True):
        peers = [q for q, f in zip(response, energy, strict=True) if which(f) == which(e)]
        out.append(r / (sum(peers) / len(peers)))
    return out


@pytest.mark.parametrize("n", [1, 2, 3, 10, 101, 1000])
@pytest.mark.parametrize("fraction", [0.5, 0.683, 1.0])
def test_sigma_eff_agrees_with_loop(n, fraction):
    values = np.random.default_rng(n).normal(size=n).round(2)
    assert sigma_eff(values, fraction) == pytest.approx(slow_sigma_eff(values, fraction), abs=1e-12)


def test_sigma_eff_of_a_gaussian_is_its_standard_deviation():
    assert sigma_eff(np.random.default_rng(0).normal(1.0, 0.05, 100_000)) == pytest.approx(0.05, rel=0.02)


def test_sigma_eff_at_the_edge():
    assert math.isnan(sigma_eff([]))
    assert sigma_eff([3.0]) == 0.0
    assert sigma_eff([2.0, 2.0, 2.0]) == 0.0
    assert math.isnan(sigma_eff([1.0, np.nan]))
    with pytest.raises(ValueError, match="fraction is 0"):
        sigma_eff([1.0], 0)


def test_calibration_and_resolution_agree_with_loops():
    rng = np.random.default_rng(2)
    energy = np.concatenate([rng.uniform(1, 130, 200), [10.0, 50.0, 100.0]])
    response = rng.normal(0.9, 0.1, 203)
    bins = (10.0, 50.0, 100.0)
    slow = slow_calibrated(response, energy, bins)
    np.testing.assert_allclose(calibrated(response, energy, bins), slow, atol=1e-12)
    assert resolution(response, energy, bins) == pytest.approx(slow_sigma_eff(slow), abs=1e-12)


def test_resampled_resolution_is_that_of_the_repeated_sample():
    rng = np.random.default_rng(3)
    energy, response, times = rng.uniform(1, 130, 50), rng.normal(0.9, 0.1, 50), rng.integers(0, 4, 50)
    bins = (10.0, 50.0, 100.0)
    again = resolution(np.repeat(response, times), np.repeat(energy, times), bins)
    assert resampled_resolution(response, bin_of(energy, bins), times) == pytest.approx(again, abs=1e-12)


def test_bins_hold_their_edges():
    assert bin_of([9.9, 10, 49, 50, 100, 101], (10, 50, 100)).tolist() == [0, 1, 1, 2, 2, 3]
    with pytest.raises(ValueError, match="rising edges"):
        bin_of([1.0], (10, 10))


def slow_response(event, labels, weights, purity=0.2):
    m = match(labels, event)
    out, floor = [], []
    for s in range(event.n_particles):
        best = max(range(len(m.shared)), key=lambda r: m.shared[r, s])
        reco = sum(float(event.energy[i]) * weights[i] for i in range(event.n_hits) if labels[i] == best)
        ideal = 0.0
        for k in range(len(event.deposits)):
            i = event.deposits.hit[k]
            if event.deposits.particle[k] == s:
                ideal += float(event.fractions[k]) * float(event.energy[i]) * weights[i]
        true = float(event.particles.energy[s])
        out.append(reco / true if m.r2s[best, s] < purity else math.nan)
        floor.append(ideal / true)
    return out, floor


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("detector", [None, "hgcal"])
def test_response_agrees_with_loops(seed, detector):
    rng = np.random.default_rng(seed)
    n = 90
    hit = np.concatenate([np.arange(n), np.sort(rng.choice(n, 30, replace=False))])
    particle, deposit = rng.integers(0, 3, n + 30), rng.exponential(2.0, n + 30)
    event = Event(
        rng.normal(size=(n, 3)), np.bincount(hit, deposit, n), rng.integers(1, 51, n),
        deposits=(hit, particle, deposit), particles=([11] * 3, rng.uniform(10, 99, 3), np.zeros((3, 3))),
        detector=detector,
    )  # fmt: skip
    labels = np.where(rng.random(n) < 0.15, rng.integers(0, 4, n), event.particle_id)
    weights = [1.0] * n if detector is None else [10.6e-3 if layer <= 28 else 47.4e-3 for layer in event.layer]
    response, floor = particle_response(match(labels, event), event)
    slow, slow_floor = slow_response(event, labels, weights)
    np.testing.assert_allclose(response, slow, atol=1e-9)
    np.testing.assert_allclose(floor, slow_floor, atol=1e-9)
    perfect, hits = particle_response(match(event.particle_id, event), event, Preset(purity=2.0), floor="hits")
    np.testing.assert_allclose(perfect, hits, atol=1e-12)


def test_response_by_hand():
    # Particle 0 (10 GeV) has hits of 3 and 4 in layers 1 and 2; the cluster takes both and half a GeV of another.
    event = Event(
        np.zeros((3, 3)), [3.0, 4.0, 1.0], [1, 2, 2], [0, 0, 1],
        particles=([11, 11], [10.0, np.nan], np.zeros((2, 3))),
    )  # fmt: skip
    response, floor = particle_response(match([0, 0, 0], event), event, layer_weights=[1.0, 0.5])
    np.testing.assert_allclose(response, [(3 + 2 + 0.5) / 10, np.nan])
    np.testing.assert_allclose(floor, [0.5, np.nan])


def test_impure_and_absent_clusters_give_no_response():
    event = Event(np.zeros((2, 3)), [1.0, 1.0], particle_id=[0, 1], particles=([11] * 2, [1.0, 1.0], np.zeros((2, 3))))
    assert np.isnan(particle_response(match([0, 0], event), event)[0]).all()
    response, floor = particle_response(match([-1, -1], event), event)
    assert np.isnan(response).all()
    assert floor.tolist() == [1.0, 1.0]


def test_weights_by_detector():
    event = Event(np.zeros((2, 3)), [1.0, 1.0], [1, 50], detector="hgcal", number=4)
    np.testing.assert_allclose(hit_weights(event), [10.6e-3, 47.4e-3])
    assert hit_weights(Event(np.zeros((1, 3)), [1.0], detector="my own")).tolist() == [1.0]
    with pytest.raises(ValueError, match=r"event 4: hit 1 is in layer 50, expected 1\.\.28"):
        hit_weights(event, np.ones(28))
    with pytest.raises(ValueError, match="'deposits' or 'hits'"):
        particle_response(match([0, 0], event), event, floor="all")
