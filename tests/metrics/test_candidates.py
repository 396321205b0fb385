"""Candidates, charged and neutral apart: against loops over pairs, and on events worked out by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

import cmlflow
from cmlflow.event import Event
from cmlflow.metrics import association_scores, compare_candidates, sigma_eff, true_candidates
from cmlflow.metrics.candidates import KINDS, judged_candidates
from cmlflow.metrics.resolution import bin_of
from cmlflow.particles import neutral_classes


def candidates(share, pdg_id, track, energy=None):
    share = np.array(share, float)
    energy = np.ones(len(share)) if energy is None else np.array(energy)
    momentum = np.column_stack([np.zeros((len(share), 2)), energy, energy]).reshape(-1, 4)
    return SimpleNamespace(share=share, pdg_id=np.array(pdg_id, int), momentum=momentum, track=np.array(track, int))


def small_event():
    """Four cells of 4: of a tracked pion (0), half pion and half photon (1), of the photon, of a neutron (2)."""
    return Event(
        np.zeros((4, 3)), [4.0] * 4,
        deposits=([0, 1, 1, 2, 3], [0, 0, 1, 1, 2], [4.0, 2, 2, 4, 4]),
        particles=([211, 22, 2112], [8.0, 6, 4], np.zeros((3, 3))),
        tracks=([8.0], [[0, 0, 1]], [[0, 0, 0]], [0]),
    )  # fmt: skip


def figures(event, c, **options):
    return compare_candidates(event, {"x": c}, kinds=KINDS, bootstrap=0, **options)["x"]


def test_perfect():
    e = small_event()
    f = figures(e, candidates([[1, 0.5, 0, 0], [0, 0.5, 1, 0], [0, 0, 0, 1]], [211, 22, 2112], [0, -1, -1], [8, 6, 3]))
    for kind in KINDS:
        assert [f[f"{kind}_{n}"] for n in ("efficiency", "purity", "ratio")] == [1, 1, 1]
    assert f["charged_response"] == 1
    assert f["neutral_response"] == pytest.approx((1 + 0.75) / 2)
    assert f["charged_cell_response"] == pytest.approx(6 / 8)
    assert f["photon_cell_response"] == 1


def test_swapped_cells_are_found_by_nobody():
    """The track has the photon's cells and the neutral candidate the pion's: energies match, kinds do not."""
    e = small_event()
    f = figures(e, candidates([[0, 0.5, 1, 0], [1, 0.5, 0, 0], [0, 0, 0, 1]], [211, 22, 22], [0, -1, -1]))
    assert (f["charged_efficiency"], f["charged_purity"], f["charged_ratio"]) == (0, 0, 1)
    # the neutron is found as neutral, but called a photon
    assert (f["neutral_efficiency"], f["neutral_purity"], f["neutral_ratio"]) == (0.5, 0.5, 1)
    assert (f["photon_efficiency"], f["photon_purity"], f["photon_ratio"]) == (0, 0, 2)
    assert (f["neutral_hadron_efficiency"], f["neutral_hadron_ratio"]) == (0, 0)
    assert np.isnan(f["neutral_hadron_purity"])
    assert np.isnan(f["charged_response"])


def test_a_neutral_piece_of_a_charged_shower_is_impure():
    e = small_event()
    f = figures(e, candidates([[0, 0.5, 0, 0], [1, 0, 0, 0], [0, 0.5, 1, 1]], [211, 2112, 22], [0, -1, -1]))
    assert f["charged_efficiency"] == 0  # 2 of 6
    assert f["charged_purity"] == 1
    assert f["neutral_efficiency"] == 1  # one candidate has both
    assert f["neutral_purity"] == 0


def test_tracks_without_cells_and_without_truth_are_not_counted():
    e = small_event()
    tracks = ([8.0, 1.0, 2.0], [[0, 0, 1]] * 3, [[0, 0, 0]] * 3, [0, -1, 0])
    more = Event(e.position, e.energy, deposits=e.deposits, particles=e.particles, tracks=tracks)
    share = [[1, 0.5, 0, 0], [0, 0.5, 1, 0], [0, 0, 0, 0]]
    f = figures(more, candidates(share, [211] * 3, [0, 1, 2]))
    assert (f["charged_efficiency"], f["charged_purity"], f["charged_ratio"]) == (1, 1, 1)
    assert (f["neutral_efficiency"], f["neutral_ratio"]) == (0, 0)


def slow_rows(event, c):
    """For each kind: particles (energy, found, response) and candidates (pure) by loops over all pairs."""
    scores = association_scores(c.share.astype(float), event)
    visible = np.zeros(event.n_particles)
    for h, p, f in zip(event.deposits.hit, event.deposits.particle, event.fractions, strict=True):
        if p >= 0:
            visible[p] += f * float(event.energy[h])
    out = {}
    for kind in KINDS:

        def fits(r, s, kind=kind):
            owners = set(event.tracks.particle.tolist())
            if kind == "charged":
                return c.track[r] >= 0 and s in owners and event.tracks.particle[c.track[r]] == s
            wanted = {"neutral": (22, 2112), "photon": (22,), "neutral_hadron": (2112,)}[kind]
            return (
                c.track[r] < 0 and s not in owners
                and neutral_classes(event.particles.pdg_id[s]) in wanted and neutral_classes(c.pdg_id[r]) in wanted
            )  # fmt: skip

        particles, reco = [], []
        for s in range(event.n_particles):
            charged = s in event.tracks.particle
            own_class = neutral_classes(event.particles.pdg_id[s])
            belongs = {"charged": charged, "neutral": not charged, "photon": not charged and own_class == 22,
                       "neutral_hadron": not charged and own_class == 2112}[kind]  # fmt: skip
            if not belongs or visible[s] == 0:
                continue
            some = [r for r in range(len(c.share)) if fits(r, s)]
            most = max((scores["shared"][r, s] for r in some), default=0.0)
            response = np.nan
            if most > 0:
                best = next(r for r in some if scores["shared"][r, s] == most)
                if scores["r2s"][best, s] < 0.2:
                    response = c.momentum[best, 3] / float(event.particles.energy[s])
            particles.append((float(event.particles.energy[s]), most / visible[s] > 0.7, response))
        for r in range(len(c.share)):
            belongs = {"charged": c.track[r] >= 0, "neutral": c.track[r] < 0,
                       "photon": c.track[r] < 0 and neutral_classes(c.pdg_id[r]) == 22,
                       "neutral_hadron": c.track[r] < 0 and neutral_classes(c.pdg_id[r]) == 2112}[kind]  # fmt: skip
            if belongs and c.share[r].max(initial=0) > 0:
                reco.append(any(fits(r, s) and scores["r2s"][r, s] < 0.2 for s in range(event.n_particles)))
        out[kind] = particles, reco
    return out


@pytest.fixture(scope="module")
def sample():
    """Jets with candidates like the truth: shares disturbed, cells moved, classes confused."""
    events = list(cmlflow.simulate("jets-test", 12, seed=8))
    rng = np.random.default_rng(0)
    found = []
    for e in events:
        c = true_candidates(e)
        share = c.share * rng.uniform(0.5, 1, c.share.shape)
        share[:, rng.random(e.n_hits) < 0.15] = 0
        moved = rng.random(e.n_hits) < 0.15
        share[:, moved] = share[rng.permutation(len(share))][:, moved]
        share /= np.maximum(share.sum(axis=0), 1)
        pdg_id = np.where((c.track < 0) & (rng.random(len(share)) < 0.2), 22, c.pdg_id)
        energy = c.momentum[:, 3] * rng.normal(1, 0.1, len(share))
        found.append(candidates(share, pdg_id, c.track, energy))
    return events, found


def test_figures_equal_the_twin(sample):
    events, found = sample
    table = compare_candidates(events, {"x": found}, kinds=KINDS, bins=[1, 3, 10], bootstrap=0)["x"]
    rows = [slow_rows(e, c) for e, c in zip(events, found, strict=True)]
    for kind in KINDS:
        particles = np.array([p for r in rows for p in r[kind][0]])
        pure = np.array([p for r in rows for p in r[kind][1]])
        assert len(particles)
        assert table[f"{kind}_efficiency"] == pytest.approx(particles[:, 1].mean())
        assert table[f"{kind}_purity"] == pytest.approx(pure.mean())
        assert table[f"{kind}_ratio"] == pytest.approx(len(pure) / len(particles))
        known = particles[np.isfinite(particles[:, 2])]
        assert table[f"{kind}_response"] == pytest.approx(known[:, 2].mean())
        which = bin_of(known[:, 0], [1, 3, 10])
        scaled = [r / known[which == b, 2].mean() for r, b in zip(known[:, 2], which, strict=True)]
        assert table[f"{kind}_resolution"] == pytest.approx(sigma_eff(scaled))
    assert 0.1 < table["charged_efficiency"] < 0.95


def test_by_energy_and_against_another(sample):
    events, found = sample
    perfect = [true_candidates(e) for e in events]
    table = compare_candidates(events, {"x": found, "perfect": perfect}, bins=[0.5, 2, 50], against="x", bootstrap=20)
    assert table["perfect"]["charged_efficiency"] == table["perfect"]["neutral_purity"] == 1
    gain = table.versus["perfect"]["charged_efficiency_difference"]
    assert gain == pytest.approx(1 - table["x"]["charged_efficiency"])
    assert gain.low > 0
    assert table.versus["perfect"]["charged_resolution_ratio"] > 3
    rows = [p for e, c in zip(events, found, strict=True) for p in slow_rows(e, c)["neutral"][0]]
    low = [p[1] for p in rows if 0.5 <= p[0] < 2]
    assert table.by_energy[0]["x"]["neutral_efficiency"] == pytest.approx(np.mean(low))


def test_order_of_candidates_does_not_matter(sample):
    events, found = sample
    turned = [
        SimpleNamespace(share=c.share[::-1], pdg_id=c.pdg_id[::-1], momentum=c.momentum[::-1], track=c.track[::-1])
        for c in found
    ]
    one, two = (compare_candidates(events, {"x": given}, kinds=KINDS, bootstrap=5)["x"] for given in (found, turned))
    for name, value in one.items():
        assert two[name] == pytest.approx(value, rel=1e-9, nan_ok=True), name


def test_no_candidates_and_no_particles():
    e = small_event()
    f = figures(e, candidates(np.zeros((0, 4)), [], []))
    assert (f["charged_efficiency"], f["neutral_efficiency"], f["neutral_ratio"]) == (0, 0, 0)
    assert np.isnan(f["neutral_purity"])
    nothing = Event(np.zeros((0, 3)), [], tracks=([], np.zeros((0, 3)), np.zeros((0, 3)), []))
    assert all(np.isnan(v) for v in figures(nothing, candidates(np.zeros((0, 0)), [], [])).values())


def test_what_does_not_fit_is_named():
    e = small_event()
    good = candidates([[1, 0, 0, 0]], [211], [0])
    with pytest.raises(ValueError, match=r"event 0 \(x\): candidate 0 has track 1, expected -1 or a track in 0..0"):
        figures(e, candidates([[1, 0, 0, 0]], [211], [1]))
    with pytest.raises(ValueError, match=r"share \(1, 3\), pdg_id \(1,\), momentum \(1, 4\) and track \(1,\)"):
        figures(e, candidates([[1, 0, 0]], [211], [0]))
    with pytest.raises(ValueError, match="has no tracks"):
        figures(Event(e.position, e.energy), good)
    with pytest.raises(ValueError, match="kinds has 'muon'"):
        compare_candidates(e, {"x": good}, kinds=["muon"])
    with pytest.raises(ValueError, match="candidates of x for 1 only"):
        compare_candidates([e, e], {"x": [good]})
    assert judged_candidates(e, good, "paper", ["charged"])[0][0].shape == (1, 4)
