import numpy as np
import pytest

from cmlflow import overlay
from cmlflow.event import Event
from cmlflow.event.overlay import rotated, together


def single(seed, n=6, tracks=True, **changes):
    """Hits on a small grid, so that those of different events coincide; deposits of the particle and of none."""
    rng = np.random.default_rng(seed)
    cells = rng.choice(12, n, replace=False)
    given = {
        "position": np.column_stack([1 + cells % 4, cells // 4, np.full(n, 300)]),
        "energy": rng.uniform(1, 2, n),
        "layer": 1 + cells % 2,
        "deposits": (np.repeat(np.arange(n - 1), 2), np.tile([0, -1], n - 1), rng.uniform(0, 1, 2 * n - 2)),
        "particles": ([11 + seed], [5.0 + seed], [[0, 0.6, 0.8]], [1000 + seed]),
        "features": {"time": np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n)), "fit": rng.normal(size=(n, 2))},
        "tracks": ([5.0], [[0, 0.6, 0.8]], [[1, 2, 290]], [0], [[[1, 2, 3]]]) if tracks else None,
        "detector": "mine",
    }
    return Event(**given | changes)


def test_together_equals_the_twin():
    events = [single(i) for i in range(3)]
    cells = {}
    for p, e in enumerate(events):
        for i in range(e.n_hits):
            cell = cells.setdefault((int(e.layer[i]), *e.position[i].tolist()), {"energy": 0.0, "d": {}, "hits": []})
            cell["energy"] += float(e.energy[i])
            cell["hits"].append((e, i))
            own = [
                (q, float(x))
                for h, q, x in zip(e.deposits.hit, e.deposits.particle, e.deposits.energy, strict=True)
                if h == i
            ]
            for q, x in own or [(-1, float(e.energy[i]))]:
                q = p if q == 0 else -1
                cell["d"][q] = cell["d"].get(q, 0.0) + x
    both = together(events, number=8)
    assert [(int(k), *x.tolist()) for k, x in zip(both.layer, both.position, strict=True)] == list(cells)
    np.testing.assert_allclose(both.energy, [c["energy"] for c in cells.values()], rtol=1e-6)
    d = both.deposits
    wanted = [(i, q, x) for i, c in enumerate(cells.values()) for q, x in sorted(c["d"].items())]
    assert list(zip(d.hit.tolist(), d.particle.tolist(), strict=True)) == [w[:2] for w in wanted]
    np.testing.assert_allclose(d.energy, [w[2] for w in wanted], rtol=1e-6)
    for name in ("time", "fit"):
        for i, c in enumerate(cells.values()):
            known = [
                (e.features[name][j], e.energy[j]) for e, j in c["hits"] if not np.isnan(e.features[name][j]).any()
            ]
            mean = sum(v * w for v, w in known) / sum(w for _, w in known) if known else np.nan
            np.testing.assert_allclose(both.features[name][i], mean, rtol=1e-5)
    assert both.particles.pdg_id.tolist() == [11, 12, 13]
    assert both.tracks.particle.tolist() == [0, 1, 2]
    assert both.tracks.crossing.shape == (3, 1, 3)
    assert (both.number, both.detector) == (8, "mine")
    apart = together(events, merge=False)
    assert apart.n_hits == 18
    np.testing.assert_allclose(apart.energy.sum(), both.energy.sum(), rtol=1e-6)
    assert together(events[:1]).particle_id.tolist() == events[0].particle_id.tolist()
    empty = Event([], [], detector="mine", features={"time": [], "fit": np.empty((0, 2))})
    assert together([empty, empty]).n_hits == 0


def test_overlay_is_lazy_and_repeatable():
    events = [single(i) for i in range(5)]
    made = overlay(events, (2, 4), n_events=30, seed=3)
    assert len(made) == 30
    counts = [e.n_particles for e in made]
    assert set(counts) == {2, 3, 4}
    assert made[7] == overlay(events, (2, 4), n_events=8, seed=3)[7]
    assert made[7] != overlay(events, (2, 4), n_events=8, seed=4)[7]
    assert [e.number for e in made[3:5]] == [3, 4]
    for e in made:
        assert len(set(e.particles.pdg_id.tolist())) == e.n_particles  # different ones
        assert set(e.particle_id.tolist()) <= {-1, *range(e.n_particles)}
    assert [e.n_particles for e in overlay(iter(events), 7)] == [7] * 5  # more than there are


def test_rotation_about_the_beam():
    e = single(1)
    turned = rotated(e, 0.7)
    for a, b in ((e.position, turned.position), (e.tracks.entry, turned.tracks.entry)):
        np.testing.assert_allclose(np.hypot(*a.T[:2]), np.hypot(*b.T[:2]), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(np.exp(0.7j) * (a[:, 0] + 1j * a[:, 1]), b[:, 0] + 1j * b[:, 1], atol=1e-5)
        np.testing.assert_array_equal(a[:, 2], b[:, 2])
    np.testing.assert_array_equal(turned.features["time"], e.features["time"])
    assert overlay([e], 3, rotate=True)[0].n_hits == 18  # nothing coincides


def test_what_is_refused():
    with pytest.raises(ValueError, match="there are no events to lay over each other"):
        overlay([], 2)
    for n in (0, (3, 2)):
        with pytest.raises(ValueError, match="expected a number of 1 or more"):
            overlay([single(1)], n)
    with pytest.raises(ValueError, match="has detector 'other' and features time, fit, but event has 'mine'"):
        together([single(1), single(2, detector="other")])
    with pytest.raises(ValueError, match=r"features \(none\), but event has 'mine' and time, fit"):
        together([single(1), single(2, features=None)])
    with pytest.raises(IndexError, match="event 2 asked for, but there are 2"):
        overlay([single(1), single(2)], 2)[2]
