import pickle
from collections import Counter

import numpy as np
import pytest

from cmlflow.simulation import SAMPLES, SPLITS, Sample, ShowerLibrary, SimulatedEvents, overlay, sample, simulate


def same(a, b):
    return (
        a.number == b.number
        and np.array_equal(a.inputs(), b.inputs())
        and np.array_equal(a.particle_id, b.particle_id)
        and np.array_equal(a.deposits.energy, b.deposits.energy)
        and np.array_equal(a.particles.direction, b.particles.direction)
    )


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_samples_are_what_they_say(name):
    s = sample(name)
    events = simulate(name, 12, seed=5)
    assert [e.number for e in events] == list(range(12))
    for e in events:
        assert s.n_particles[0] <= e.n_particles <= s.n_particles[1]
        assert ((e.particles.energy >= s.energy_range[0]) & (e.particles.energy <= s.energy_range[1])).all()
        np.testing.assert_allclose(np.linalg.norm(e.particles.direction, axis=1), 1, rtol=1e-6)
        assert (e.particles.direction[:, 2] >= np.cos(np.radians(5.001))).all()
        assert (e.energy >= 0.5).all()
        codes = {"em": 11, "had": -211}
        assert set(e.particles.pdg_id) <= {codes[k] for k in s.kinds}


def test_mixed_has_both_kinds():
    pdg = np.concatenate([e.particles.pdg_id for e in SimulatedEvents("compact-mixed", 60, 1)])
    assert 0.35 < (pdg == 11).mean() < 0.65


def test_energies_are_nearly_uniform():
    energy = np.concatenate([e.particles.energy for e in SimulatedEvents("compact-em", 300, 1)])
    counts = np.histogram(energy, np.linspace(10, 100, 7))[0]
    assert counts.min() > 0.7 * counts.mean()
    assert counts.max() < 1.3 * counts.mean()


def test_deterministic_and_independent_of_order():
    events = SimulatedEvents("compact-em", 6, seed=3)
    backwards = [events[i] for i in reversed(range(6))][::-1]
    assert all(same(a, b) for a, b in zip(backwards, simulate("compact-em", 6, seed=3), strict=True))
    assert same(simulate("compact-em", 2, seed=3)[1], events[1])
    assert same(pickle.loads(pickle.dumps(events))[4], events[4])
    assert same(events[2:5][0], events[2])
    assert same(events[-1], events[5])
    assert not same(simulate("compact-em", 1, seed=4)[0], events[0])


def test_epochs_are_fresh_and_reproducible():
    events = SimulatedEvents("compact-had", 3, seed=3)
    first = events[0]
    events.set_epoch(1)
    assert not same(first, events[0])
    assert same(SimulatedEvents("compact-had", 3, seed=3, epoch=1)[0], events[0])
    events.set_epoch(0)
    assert same(first, events[0])


@pytest.mark.parametrize(
    ("name", "n_hits", "n_particles", "mip"),
    [("compact-em", 2919, 4, 22546.9), ("compact-had-test", 8715, 8, 51815.4)],
)
def test_events_are_what_they_were(name, n_hits, n_particles, mip):
    """Trained models and published figures rest on these events: they must not change from version to version."""
    e = simulate(name, 1, seed=1)[0]
    assert (e.n_hits, e.n_particles) == (n_hits, n_particles)
    np.testing.assert_allclose(e.energy.astype(np.float64).sum(), mip, rtol=1e-5)


def test_pickle_is_small():
    events = SimulatedEvents("compact-em", 3)
    events[0]
    assert len(pickle.dumps(events)) < 2000


@pytest.mark.parametrize("n", [0, 1, 9])
def test_fixed_multiplicity(n):
    assert [e.n_particles for e in simulate("compact-em-test", 3, n_particles=n)] == [n] * 3


def test_no_shower_twice_in_an_event():
    library = ShowerLibrary.packaged("hgcal-em").take(np.arange(12))
    few = Sample("few", ("em",), (12, 12), (1.0, 1000.0), split="test")
    library = library.with_split(np.full(12, SPLITS.index("test")))
    for e in simulate(few, 20, library=library):
        assert max(Counter(e.particles.energy.tolist()).values()) == 1
    more = simulate(few, 1, n_particles=14, library=library)[0]
    assert more.n_particles == 14


def test_own_library_and_split(tmp_path):
    em, had = (ShowerLibrary.packaged(n).select("tuning") for n in ("hgcal-em", "hgcal-had"))
    em.save(tmp_path / "em.npz")
    a = simulate("compact-mixed-tuning", 3, seed=1)
    b = simulate("compact-mixed-tuning", 3, seed=1, library=[tmp_path / "em.npz", had])
    assert all(same(x, y) for x, y in zip(a, b, strict=True))
    with pytest.raises(ValueError, match=r"no train shower of kind em .* between 10 and 100 GeV"):
        simulate("compact-em", 1, library=em)


def test_events_use_showers_of_their_split_only():
    library = ShowerLibrary.packaged("hgcal-em")
    energies = {name: set(library.select(name).energy.tolist()) for name in SPLITS}
    for name in SPLITS:
        suffix = "" if name == "train" else f"-{name}"
        used = {float(v) for e in SimulatedEvents(f"compact-em{suffix}", 20) for v in e.particles.energy}
        assert used <= energies[name]


def test_overlaid_event_equals_sample_event():
    e = simulate("compact-em", 1, seed=2)[0]
    library = ShowerLibrary.packaged("hgcal-em")
    rows = [int(np.flatnonzero(library.energy == v)[0]) for v in e.particles.energy]
    for s, row in enumerate(rows):
        alone = [overlay([library[row]], [k], threshold=0.0) for k in range(8)]
        match = [k for k in range(8) if np.allclose(alone[k].particles.direction[0], e.particles.direction[s])]
        assert len(match) == 1


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match=r"sample 'compact-electron' is not known; there are compact-em, "):
        simulate("compact-electron", 1)
    with pytest.raises(ValueError, match="n_events is -1"):
        simulate("compact-em", -1)
    with pytest.raises(ValueError, match="seed is -3"):
        simulate("compact-em", 1, seed=-3)
    with pytest.raises(ValueError, match="n_particles is -2"):
        simulate("compact-em", 1, n_particles=-2)
    with pytest.raises(ValueError, match="epoch is -1"):
        SimulatedEvents("compact-em", 1).set_epoch(-1)
    with pytest.raises(IndexError, match="event 1 asked for"):
        SimulatedEvents("compact-em", 1)[1]
