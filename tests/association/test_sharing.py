"""Soft shares: the formula against loops, known answers on Gaussian blobs, sums on simulated events."""

import json

import numpy as np
import pytest

import cmlflow
from cmlflow import Event
from cmlflow.association import Sharing, assign_tracks, fit_sharing, share_hits, true_shares
from cmlflow.association.sharing import softmax_by_hit
from cmlflow.association.sharing_fit import cross_entropy, without_remnants

WIDTH = 0.6


def test_softmax_as_in_loops():
    rng = np.random.default_rng(0)
    hit = np.sort(rng.integers(0, 9, 40))
    score = rng.normal(size=40) * 20
    score[3] = -np.inf
    found = softmax_by_hit(score, hit)
    for h in np.unique(hit):
        e = np.exp(score[hit == h] - score[hit == h].max())
        np.testing.assert_allclose(found[hit == h], e / e.sum(), atol=1e-15)
    assert softmax_by_hit(np.zeros(0), np.zeros(0, np.int64)).shape == (0,)


def test_loss_as_in_loops_and_its_derivative():
    rng = np.random.default_rng(1)
    hit, kind = np.repeat(np.arange(6), 4), rng.integers(0, 4, 24)
    x, w = rng.normal(size=(24, 3)), rng.normal(size=(4, 3))
    target = rng.dirichlet(np.ones(4), size=6).reshape(-1)
    energy = rng.uniform(1, 3, 6)
    parts = [(np.flatnonzero(kind == k), x[kind == k]) for k in range(4)]

    def slow(w):
        loss = 0.0
        for h in range(6):
            rows = range(4 * h, 4 * h + 4)
            e = [np.exp(x[r] @ w[kind[r]]) for r in rows]
            loss -= energy[h] * sum(target[r] * np.log(v / sum(e)) for r, v in zip(rows, e, strict=True))
        return loss / energy.sum()

    loss, slope = cross_entropy(parts, hit, target, energy[hit], w)
    assert loss == pytest.approx(slow(w), rel=1e-12)
    for k, f in np.ndindex(4, 3):
        step = np.zeros((4, 3))
        step[k, f] = 1e-5
        assert slope[k, f] == pytest.approx((slow(w + step) - slow(w - step)) / 2e-5, abs=1e-8)


def blobs(seed, n_events):
    """Hits of three tracks, drawn around the tracks' embeddings with one width, and noise far and wide."""
    rng = np.random.default_rng(seed)
    events, owned, zs, zt = [], [], [], []
    for _ in range(n_events):
        anchors = rng.normal(size=(3, 2))
        who = rng.integers(0, 3, 50)
        z = anchors[who] + WIDTH * rng.normal(size=(50, 2))
        direction = np.tile([0.0, 0.0, 1.0], (3, 1))
        e = Event(
            np.zeros((50, 3)), rng.exponential(size=50) + 0.1, particle_id=who,
            tracks=(np.ones(3), direction, direction * 150, np.arange(3)),
        )  # fmt: skip
        events.append(e)
        owned.append(assign_tracks(np.zeros(50, int), np.zeros(3, int), z, anchors))
        zs.append(z)
        zt.append(anchors)
    return events, owned, zs, zt


def reliability(truth, share, energy, edges=(0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)):
    """Energy-weighted mean of share and truth in bins of the share."""
    which = np.digitize(share, edges[1:-1])
    bins = [which == b for b in range(len(edges) - 1) if (which == b).sum() > 100]
    return [(np.average(share[b], weights=energy[b]), np.average(truth[b], weights=energy[b])) for b in bins]


def test_temperature_and_shares_of_gaussian_blobs():
    """Of hits drawn around centres with the width s, the posterior is softmax(-d^2 / 2 s^2)."""
    model = fit_sharing(*blobs(0, 50), simple=True, track_weight=1.0, penalty=0.0)
    charged, _ = model.temperature
    assert charged == pytest.approx(2 * WIDTH**2, rel=0.1)
    events, owned, zs, zt = blobs(1, 50)
    truth, share, energy = [], [], []
    for e, o, z, t in zip(events, owned, zs, zt, strict=True):
        s = share_hits(e, o, z, t, model)
        np.testing.assert_allclose(s.sum(axis=0), 1)
        d2 = ((t[:, None] - z[None]) ** 2).sum(axis=2)
        exact = np.exp(-d2 / (2 * WIDTH**2))
        np.testing.assert_allclose(s[:3], exact / exact.sum(axis=0), atol=0.04)
        truth.append(np.arange(3)[:, None] == e.particle_id)
        share.append(s[:3])
        energy.append(np.broadcast_to(e.energy, (3, 50)))
    bins = reliability(*(np.concatenate(a, axis=1).ravel() for a in (truth, share, energy)))
    assert len(bins) == 6
    for predicted, true in bins:
        assert predicted == pytest.approx(true, abs=0.06)


def embed(events, seed=0, noise=0.35):
    """Embeddings made of the truth: unit vectors of particles, mixed as their shares are, and noise."""
    rng = np.random.default_rng(seed)
    unit = np.random.default_rng(9).normal(size=(60, 4))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    owned, zs, zt = [], [], []
    for e in events:
        z = np.zeros((e.n_hits, 4))
        np.add.at(z, e.deposits.hit, e.fractions[:, None] * unit[e.deposits.particle])
        z += noise * rng.normal(size=z.shape)
        t = unit[e.tracks.particle] + noise * rng.normal(size=(len(e.tracks), 4))
        labels = np.where(e.particle_id < 0, -1, np.minimum(e.particle_id, 1))  # both photons in one cluster
        owned.append(assign_tracks(labels, e.tracks.particle, z, t, e.energy))
        zs.append(z)
        zt.append(t)
    return events, owned, zs, zt


def sums(sample, model):
    """Predicted and true energy of tracks, neutral and nobody, over a sample; and all shares of tracks."""
    total, pairs = np.zeros((2, 3)), []
    for e, o, z, t in zip(*sample, strict=True):
        s, true = share_hits(e, o, z, t, model), true_shares(e, o)
        if not model.remnants:
            true = without_remnants(true)
        known = true.sum(axis=0) > 0
        k = o.n_tracks
        for row, (c, n, x) in enumerate(((s[:k], s[k:-1], s[-1:]), (true[:k], true[k:-1], true[-1:]))):
            total[row] += [float((a[:, known] @ e.energy[known]).sum()) for a in (c, n, x)]
        pairs.append((true[:k, known].ravel(), s[:k, known].ravel(), np.tile(e.energy[known], k)))
    return total, [np.concatenate(a) for a in zip(*pairs, strict=True)]


@pytest.fixture(scope="module")
def rho():
    return [list(cmlflow.simulate(name, n_events=150, seed=4)) for name in ("rho-tuning", "rho-test")]


@pytest.mark.parametrize("simple", [True, False])
def test_energies_are_unbiased(rho, simple):
    tuning, test = embed(rho[0], 1), embed(rho[1], 2)
    model = fit_sharing(*tuning, simple=simple, steps=150)
    (predicted, true), _ = sums(tuning, model)
    np.testing.assert_allclose(predicted, true, rtol=0.02)
    (predicted, true), shares = sums(test, model)
    np.testing.assert_allclose(predicted[:2], true[:2], rtol=0.1)
    for p, t in reliability(*shares):
        assert p == pytest.approx(t, abs=0.12)


def test_state_and_giving_up(rho):
    sample = embed(rho[0][:30], 1)
    model = fit_sharing(*sample, steps=40)
    again = Sharing.from_dict(json.loads(json.dumps(model.to_dict())))
    assert again == model
    for e, o, z, t in zip(*sample, strict=True):
        k = o.n_tracks
        s = share_hits(e, o, z, t, model)
        strong = share_hits(e, o, z, t, model, least=1.0)
        np.testing.assert_allclose(strong.sum(axis=0), 1)
        weak = s[k:-1] @ e.energy < 1.0
        assert (strong[k:-1][weak] == 0).all()
        order = np.random.default_rng(0).permutation(e.n_hits)
        other = Event(
            e.position[order], e.energy[order], e.layer[order], tracks=e.tracks, particles=e.particles,
        )  # fmt: skip
        turned = type(o)(o.owner[order], o.track)
        np.testing.assert_allclose(share_hits(other, turned, z[order], t, model), s[:, order], atol=1e-9)
    with pytest.raises(ValueError, match="only a simple model has temperatures"):
        model.temperature  # noqa: B018


def test_degenerate():
    model = fit_sharing(*blobs(0, 5), simple=True)
    empty = Event(np.zeros((0, 3)), [], tracks=([1.0], [[0, 0, 1.0]], [[0, 0, 150.0]], [-1]))
    none = assign_tracks([], [-1], np.zeros((0, 2)), np.zeros((1, 2)))
    assert share_hits(empty, none, np.zeros((0, 2)), np.zeros((1, 2)), model).shape == (3, 0)
    lone = Event([[0, 0, 200.0]], [1.0])
    own = assign_tracks([-1], [], [[0.0, 0.0]], np.zeros((0, 2)))
    np.testing.assert_allclose(share_hits(lone, own, [[0.0, 0.0]], np.zeros((0, 2)), model), [[1.0]])
    with pytest.raises(ValueError, match="expected events with truth"):
        fit_sharing([lone], [own], [[[0.0, 0.0]]], [np.zeros((0, 2))])
    with pytest.raises(ValueError, match="expected events with truth"):
        fit_sharing([], [], [], [])


def test_with_origins_the_parts_are_the_networks_and_softmax_shares_within_them():
    from cmlflow.association.features import ORIGIN_OF
    from cmlflow.association.origin import calibrated
    from cmlflow.event.deposits import origins

    events, owned, z, z_tracks = blobs(0, 30)
    said = [np.clip(origins(e), 0.02, 1) / np.clip(origins(e), 0.02, 1).sum(axis=1, keepdims=True) for e in events]
    model = fit_sharing(events, owned, z, z_tracks, said, steps=40)
    assert Sharing.from_dict(model.to_dict()) == model
    for e, o, points, t, s in zip(events, owned, z, z_tracks, said, strict=True):
        share, parts = share_hits(e, o, points, t, model, origin=s), calibrated(s, model.origin)
        np.testing.assert_allclose(share.sum(axis=0), 1)
        pairs = model.pairs(e, o, points, t)
        score = model.scores(pairs)
        for hit in range(0, e.n_hits, 5):
            mine = np.flatnonzero(pairs.hit == hit)
            there = sorted(set(ORIGIN_OF[pairs.kind[mine]].tolist()))
            norm = sum(parts[hit, c] for c in there)
            for c in there:
                rows = [p for p in mine if ORIGIN_OF[pairs.kind[p]] == c]
                weight = np.exp([score[p] for p in rows])
                for p, w in zip(rows, weight / weight.sum(), strict=True):
                    expected = w * parts[hit, c] / norm
                    answer = pairs.answer[p]
                    row = answer if answer < len(o) else len(o) + o.owner[hit] if answer == len(o) else -1
                    np.testing.assert_allclose(share[row, hit], expected, atol=1e-9)
    with pytest.raises(ValueError, match="origin: not given"):
        share_hits(events[0], owned[0], z[0], z_tracks[0], model)
