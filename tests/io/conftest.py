import numpy as np
import pytest

from cmlflow.event import Event


def build_event(seed, n_hits, n_particles, deposits=True, tracks=0, purity=False, number=None, detector=None):
    rng = np.random.default_rng(seed)
    particles = (
        rng.choice([11, -211, 22, 1000010030], n_particles),
        rng.uniform(1, 100, n_particles),
        rng.normal(size=(n_particles, 3)),
    )
    given = {}
    if deposits:
        n = 2 * n_hits if n_hits else 0
        hit = rng.integers(0, max(n_hits, 1), n)
        given["deposits"] = (hit, rng.integers(-1, n_particles, n), rng.uniform(0, 5, n))
    if purity:
        given["purity"] = rng.uniform(0, 1, n_hits)
    if tracks:
        given["tracks"] = (
            rng.uniform(1, 9, tracks),
            rng.normal(size=(tracks, 3)),
            rng.normal(size=(tracks, 3)),
            rng.integers(-1, n_particles, tracks),
        )
        n_layers = int(rng.integers(0, 4))
        if n_layers:
            crossing = rng.normal(size=(tracks, n_layers, 3))
            crossing[rng.random((tracks, n_layers)) < 0.3] = np.nan
            given["tracks"] += (crossing,)
    return Event(
        rng.normal(0, 30, (n_hits, 3)),
        rng.uniform(0, 40, n_hits),
        rng.integers(1, 51, n_hits),
        rng.integers(-1, n_particles, n_hits),
        particles=particles,
        number=number,
        detector=detector,
        **given,
    )


def check_equal(a, b, everything=True):
    for name in ("position", "energy", "layer", "particle_id", "purity"):
        x, y = getattr(a, name), getattr(b, name)
        assert x.dtype == y.dtype
        assert x.shape == y.shape
        np.testing.assert_array_equal(x, y, name)
    assert a.number == b.number
    np.testing.assert_array_equal(a.particles.pdg_id, b.particles.pdg_id)
    np.testing.assert_array_equal(a.particles.energy, b.particles.energy)
    if not everything:
        return
    assert a.detector == b.detector
    assert a.has_deposits == b.has_deposits
    assert a.has_purity == b.has_purity
    np.testing.assert_array_equal(a.particles.direction, b.particles.direction)
    groups = [("deposits", ("hit", "particle", "energy"))]
    assert (a.tracks is None) == (b.tracks is None)
    if a.tracks is not None:
        groups.append(("tracks", ("momentum", "direction", "entry", "particle", "crossing")))
    for group, names in groups:
        for name in names:
            if getattr(getattr(a, group), name) is None:
                assert getattr(getattr(b, group), name) is None
                continue
            x, y = getattr(getattr(a, group), name), getattr(getattr(b, group), name)
            assert x.dtype == y.dtype
            np.testing.assert_array_equal(x, y, f"{group}.{name}")


@pytest.fixture(scope="session")
def make_event():
    return build_event


@pytest.fixture(scope="session")
def assert_equal():
    return check_equal
