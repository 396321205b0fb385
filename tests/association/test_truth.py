"""True shares, against loops over deposits."""

import numpy as np
import pytest

from cmlflow import Event
from cmlflow.association import Ownership, assign_tracks, match_particles, true_shares


def event(deposits, n_hits, track_particles, n_particles):
    rng = np.random.default_rng(1)
    t = len(track_particles)
    hit, particle, energy = (np.array(c) for c in zip(*deposits, strict=True)) if deposits else ([], [], [])
    return Event(
        rng.normal(size=(n_hits, 3)),
        rng.uniform(0.5, 2, n_hits),
        deposits=(hit, particle, energy),
        particles=(np.full(n_particles, 22), np.ones(n_particles), np.tile([0, 0, 1.0], (n_particles, 1))),
        tracks=(np.ones(t), np.tile([0, 0, 1.0], (t, 1)), np.zeros((t, 3)), track_particles),
    )


def slow(e, owned):
    tracked = list(e.tracks.particle)
    fraction = np.zeros((e.n_particles + 1, e.n_hits))  # last: unknown
    for h, p, en in zip(e.deposits.hit, e.deposits.particle, e.deposits.energy, strict=True):
        fraction[p, h] += float(en)
    total = fraction.sum(axis=0)
    fraction = np.divide(fraction, total, out=np.zeros_like(fraction), where=total > 0)
    n, t = len(owned), len(tracked)

    def inside(p, c):
        return sum(fraction[p, h] * float(e.energy[h]) for h in range(e.n_hits) if owned.owner[h] == c)

    match = []
    for c in range(n):
        if c < t:
            match.append(tracked[c])
        else:
            allowed = [(inside(p, c), -p) for p in range(e.n_particles) if p not in tracked]
            best = max(allowed, default=(0, 1))
            match.append(-best[1] if best[0] > 0 else -1)
    out = np.zeros((n + 2, e.n_hits))
    for p in range(e.n_particles):
        mine = [c for c in range(n) if match[c] == p]
        main = max(mine, key=lambda c: (inside(p, c), -c)) if mine else None
        for h in range(e.n_hits):
            o = owned.owner[h]
            if o >= 0 and match[o] == p:
                row = o
            elif main is not None:
                row = main
            elif o >= t:
                row = o
            else:
                row = n if o >= 0 else n + 1
            out[row, h] += fraction[p, h]
    out[n + 1] += fraction[-1]
    return match, out


@pytest.mark.parametrize("seed", range(12))
def test_as_in_loops(seed):
    rng = np.random.default_rng(seed)
    n_hits, n_particles = int(rng.integers(1, 25)), int(rng.integers(1, 7))
    charged = rng.permutation(n_particles)[: int(rng.integers(0, n_particles + 1))]
    deposits = [
        (h, p, float(rng.exponential())) for h in range(n_hits) for p in range(-1, n_particles) if rng.random() < 0.4
    ]
    e = event(deposits, n_hits, charged, n_particles)
    z = rng.normal(size=(n_hits, 2))
    owned = assign_tracks(
        rng.integers(-1, 5, n_hits), rng.integers(-1, 4, len(charged)), z, rng.normal(size=(len(charged), 2))
    )
    match, share = slow(e, owned)
    np.testing.assert_array_equal(match_particles(e, owned), match)
    found = true_shares(e, owned)
    np.testing.assert_allclose(found, share, atol=1e-9)
    np.testing.assert_allclose(found.sum(axis=0), np.bincount(e.deposits.hit, minlength=n_hits) > 0, atol=1e-9)


def test_each_rule_by_hand():
    """Track of particle 0; neutral candidate 1 holds photons 1 (most) and 2; photon 3 hides below the track."""
    deposits = [(0, 0, 2.0), (0, 3, 2.0), (1, 1, 3.0), (1, 2, 1.0), (2, 0, 1.0), (3, 3, 1.0), (3, -1, 1.0), (1, 0, 4.0)]
    e = event(deposits, 4, [0], 4)
    owned = Ownership(np.array([0, 1, 1, -1]), np.array([0, -1]))
    expected = np.array(
        [
            [0.5, 0.5, 1.0, 0.0],  # the track's particle, also where a neutral candidate has the hit
            [0.0, 0.5, 0.0, 0.0],  # both photons of the merged cluster
            [0.5, 0.0, 0.0, 0.0],  # photon 3 below the track
            [0.0, 0.0, 0.0, 1.0],  # noise, and photon 3 where nobody has the hit
        ]
    )
    np.testing.assert_allclose(true_shares(e, owned), expected)


def test_no_candidates_and_no_hits():
    e = event([(0, 0, 1.0)], 1, [], 1)
    owned = Ownership(np.array([-1]), np.zeros(0, np.int64))
    np.testing.assert_array_equal(true_shares(e, owned), [[0.0], [1.0]])
    empty = event([], 0, [], 0)
    assert true_shares(empty, Ownership(np.zeros(0, np.int64), np.zeros(0, np.int64))).shape == (2, 0)
