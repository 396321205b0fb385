import pickle

import numpy as np
import pytest

import cmlflow
from cmlflow.particles import MASS, masses
from cmlflow.simulation import (
    SLAB_SAMPLES,
    SPLITS,
    Jets,
    RhoGun,
    ShowerLibrary,
    SimulatedEvents,
    SlabSample,
    sample,
    simulate,
    slab_detector,
)
from cmlflow.simulation.decays import invariant_mass, rho_density
from cmlflow.simulation.flow import SHOWERS, _Pool
from cmlflow.simulation.slab import placed

HG = slab_detector("slab-hg")
TRAIN = [name for name, s in SLAB_SAMPLES.items() if s.split == "train"]


def same(a, b):
    return (
        a.number == b.number
        and np.array_equal(a.inputs(), b.inputs())
        and np.array_equal(a.particle_id, b.particle_id)
        and np.array_equal(a.deposits.energy, b.deposits.energy)
        and np.array_equal(a.particles.direction, b.particles.direction)
        and np.array_equal(a.tracks.momentum, b.tracks.momentum)
        and np.array_equal(a.tracks.crossing, b.tracks.crossing, equal_nan=True)
    )


def four_momenta(e):
    energy = e.particles.energy.astype(np.float64)
    size = np.sqrt(energy**2 - masses(e.particles.pdg_id) ** 2)
    return np.column_stack([e.particles.direction * size[:, None], energy])


def drawn(gun, n=2000):
    return [gun.draw(np.random.default_rng([5, i]), "train", None) for i in range(n)]


@pytest.mark.parametrize("name", sorted(SLAB_SAMPLES))
def test_samples_are_sound(name):
    events = cmlflow.simulate(name, 6, seed=3)
    assert [e.number for e in events] == list(range(6))
    assert sample(name).name == name
    for e in events:
        assert e.detector == "slab-hg"
        assert set(e.layer) <= set(range(1, 7))
        assert (e.energy >= 2 * HG.noise[e.layer - 1] * (1 - 1e-6)).all()
        charged = np.isin(np.abs(e.particles.pdg_id), [11, 211, 321, 2212])
        assert charged[e.tracks.particle].all()
        assert e.tracks.crossing.shape == (len(e.tracks), 6, 3)
        np.testing.assert_allclose(e.tracks.entry[:, 2], 150)
        own = e.particles.direction[e.tracks.particle]
        np.testing.assert_array_equal(e.tracks.direction, own)
        assert (e.deposits.particle >= -1).all()
        assert e.deposits.particle.max(initial=-1) < e.n_particles
    assert np.mean([e.n_hits for e in events]) > 8


@pytest.mark.parametrize("name", ["rho", "jets"])
def test_deterministic_and_independent_of_order(name):
    events = SimulatedEvents(name, 4, seed=3)
    backwards = [events[i] for i in reversed(range(4))][::-1]
    assert all(same(a, b) for a, b in zip(backwards, simulate(name, 4, seed=3), strict=True))
    assert same(pickle.loads(pickle.dumps(events))[2], events[2])
    assert not same(simulate(name, 1, seed=4)[0], events[0])
    first = events[0]
    events.set_epoch(1)
    assert not same(first, events[0])
    assert same(SimulatedEvents(name, 4, seed=3, epoch=1)[0], events[0])
    assert len(pickle.dumps(events)) < 3000


def test_rho_kinematics_in_events():
    mass = []
    for e in SimulatedEvents("rho", 40, seed=1):
        assert np.abs(e.particles.pdg_id).tolist() == [211, 22, 22]
        p = four_momenta(e)
        assert 5 <= p[:, 3].sum() <= 50
        mass.append(float(invariant_mass(p.sum(axis=0))))
        # float32: the angle between photons has few digits
        np.testing.assert_allclose(invariant_mass(p[1] + p[2]), MASS[111], rtol=0.02)
        total = p.sum(axis=0)
        assert total[2] / np.linalg.norm(total[:3]) > np.cos(np.radians(5.01))
    assert MASS[111] + MASS[211] < min(mass)
    assert max(mass) < 1.51
    assert 0.7 < np.median(mass) < 0.85


def test_rho_decays():
    events = drawn(RhoGun())
    total = np.array([p.momentum.sum(axis=0) for p in events])
    pair = np.array([p.momentum[1:].sum(axis=0) for p in events])
    np.testing.assert_allclose(invariant_mass(pair), MASS[111], rtol=1e-6)
    mass = invariant_mass(total)
    fine = np.linspace(MASS[211] + MASS[111], 1.5, 5001)
    below = np.cumsum(rho_density(fine)) / rho_density(fine).sum()
    np.testing.assert_allclose([(mass < m).mean() for m in fine], below, atol=0.04)
    np.testing.assert_allclose(np.log(total[:, 3]).mean(), np.log(250**0.5), atol=0.05)
    assert 0.45 < np.mean([p.pdg_id[0] == 211 for p in events]) < 0.55
    # isotropic in the rest frame: the pion's share of the energy is uniform about its mean
    charged = np.array([p.momentum[0] for p in events])
    q = np.sqrt((mass**2 - (MASS[211] + MASS[111]) ** 2) * (mass**2 - (MASS[211] - MASS[111]) ** 2)) / (2 * mass)
    middle = (mass**2 + MASS[211] ** 2 - MASS[111] ** 2) / (2 * mass)
    beta_gamma = np.linalg.norm(total[:, :3], axis=1) / mass
    cosine = (charged[:, 3] - total[:, 3] / mass * middle) / (beta_gamma * q)
    assert np.abs(cosine).max() < 1 + 1e-6
    counts = np.histogram(cosine, np.linspace(-1, 1, 6))[0] / len(cosine)
    np.testing.assert_allclose(counts, 0.2, atol=0.03)
    share = np.array([p.momentum[1, 3] / p.momentum[1:, 3].sum() for p in events])
    np.testing.assert_allclose(share.mean(), 0.5, atol=0.02)  # of the photons, uniform to first order
    np.testing.assert_allclose(share.var(), 1 / 12, rtol=0.08)


@pytest.mark.parametrize("name", [n for n in TRAIN if n.startswith("pi-gun-")])
def test_pion_gun_is_that_of_the_seed(name):
    gun = SLAB_SAMPLES[name].gun
    low, high = (float(v) for v in name.split("-")[2:])
    assert gun.energy_range == (low, high)
    events = drawn(gun, 500)
    pion = np.array([p.momentum[0] for p in events])
    neutral = np.array([p.momentum[1:].sum(axis=0) for p in events])
    np.testing.assert_allclose(invariant_mass(neutral), MASS[111], rtol=1e-5)
    np.testing.assert_allclose(invariant_mass(pion), MASS[211], rtol=1e-5)
    for p in (pion, neutral):
        assert p[:, 3].min() >= low
        assert p[:, 3].max() <= high
        np.testing.assert_allclose(p[:, 3].mean(), (low + high) / 2, rtol=0.1)
        polar = np.arccos(p[:, 2] / np.linalg.norm(p[:, :3], axis=1))
        assert polar.min() > np.pi / 100 * (1 - 1e-9)
        assert polar.max() < 3 * np.pi / 200 * (1 + 1e-9)
    apart = np.arctan2(pion[:, 1], pion[:, 0]) - np.arctan2(neutral[:, 1], neutral[:, 0])
    apart = np.abs((apart + np.pi) % (2 * np.pi) - np.pi)
    np.testing.assert_allclose(apart, np.pi / 60, rtol=1e-6)
    corners = {tuple(p.vertex) for p in events}
    assert corners == {(x, y, 0.0) for x in (-10, 10) for y in (-10, 10)}
    assert abs(np.corrcoef(pion[:, 3], neutral[:, 3])[0, 1]) < 0.15


def test_energies_are_scaled_to_the_particles():
    bare = SlabSample("bare", RhoGun((10.0, 20.0), 1.0), selection=None, sampling=False)
    response = []
    for e in SimulatedEvents(bare, 60, seed=2):
        left = np.bincount(e.deposits.particle, e.deposits.energy, 3)
        np.testing.assert_allclose(left.sum(), e.energy.sum(dtype=float), rtol=1e-5)
        kinetic = e.particles.energy - masses(e.particles.pdg_id)
        response.append(left / kinetic)
    response = np.array(response)
    photons = response[:, 1:][response[:, 1:] > 0]
    np.testing.assert_allclose(np.median(photons), 0.995, atol=0.01)
    assert 0.7 < np.median(response[:, 0]) < 0.88


def test_showers_are_put_where_the_particles_go():
    """Mean position of what a photon leaves in ECAL2, beside its straight line."""
    bare = SlabSample("bare", RhoGun((20.0, 50.0), 5.0), detector="slab-base", selection=None, sampling=False)
    off = []
    for e in SimulatedEvents(bare, 60, seed=2):
        for p in (1, 2):
            own = (e.deposits.particle == p) & (e.layer[e.deposits.hit] == 2)
            d = e.particles.direction[p]
            hits, weight = e.position[e.deposits.hit[own]], e.deposits.energy[own]
            if e.particles.energy[p] < 2 or np.abs(d[:2] / d[2]).max() > 0.15:
                continue
            middle = np.average(hits, axis=0, weights=weight)
            off.append(middle[:2] - d[:2] / d[2] * (HG.front[1] + 22.0))
    off = np.array(off)
    assert len(off) > 60
    np.testing.assert_allclose(np.median(off, axis=0), 0, atol=0.2)
    assert np.median(np.abs(off)) < 0.4  # cm: cells are moved by whole 1.95 cm, the best shower and symmetry taken


def test_pool_picks_the_best_of_the_nearest():
    rng = np.random.default_rng(0)
    s = SLAB_SAMPLES["rho-test"]
    pool = _Pool(s, "slab-pi", None, HG)
    for _ in range(2):
        energy, points = rng.uniform(1, 30), rng.uniform(-20, 20, (6, 2))
        at, turn = pool.pick(energy, points, set())
        near = sorted(pool.shower, key=lambda i: abs(np.log(pool.library.energy[i] / energy)))[:8]
        best = {}
        for i in near:
            shower = pool.library[int(i)]
            for k in range(8):
                entry, cost, total = placed(shower, k)[1], 0.0, 0.0
                for layer in range(1, 7):
                    e = float(shower.edep[shower.layer == layer].sum(dtype=float))
                    off = (points[layer - 1] - np.array(entry)) / HG.cell_size
                    cost += e * ((off - np.floor(off + 0.5)) ** 2).sum()
                    total += e
                best[int(i), k] = cost / total
        np.testing.assert_allclose(best[at, turn], min(best.values()), rtol=1e-9)
        again, _ = pool.pick(energy, points, {("slab-pi", at)})
        assert again != at


def test_events_use_showers_of_their_split_only():
    for split in SPLITS:
        s = SLAB_SAMPLES["jets" if split == "train" else f"jets-{split}"]
        for name in SHOWERS:
            pool = _Pool(s, name, None, HG)
            assert len(pool.shower) >= 20
            assert set(pool.library.split[pool.shower]) == {SPLITS.index(split)}


def test_jets_keep_their_particles():
    jets = Jets.packaged()
    for e in SimulatedEvents("jets", 10, seed=1):
        assert 5 <= e.n_particles <= 15
        size = np.sort(np.linalg.norm(four_momenta(e)[:, :3], axis=1))
        match = [
            i
            for i in jets.find("train", (e.n_particles, e.n_particles))
            if np.allclose(
                np.sort(np.linalg.norm(jets.momentum[jets.offset[i] : jets.offset[i + 1]], axis=1)), size, rtol=1e-4
            )
        ]
        assert len(match) == 1
    assert [e.n_particles for e in simulate("jets-test", 3, n_particles=7)] == [7] * 3


def test_own_library():
    packaged = [ShowerLibrary.packaged(n) for n in SHOWERS]
    a = simulate("rho-tuning", 2, seed=1)
    b = simulate("rho-tuning", 2, seed=1, library=[p.select("tuning") for p in packaged])
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x.position, y.position)
        np.testing.assert_array_equal(x.energy, y.energy)
    with pytest.raises(ValueError, match="sample rho: the library has no train shower of pdg_id 211, -211"):
        simulate("rho", 1, library=packaged[1])
    with pytest.raises(ValueError, match="sample rho: showers of hgcal, expected those of slab-base"):
        simulate("rho", 1, library=ShowerLibrary.packaged("hgcal-em"))


def test_files_keep_everything(tmp_path):
    events = simulate("rho", 3, seed=8)
    cmlflow.write(events, tmp_path / "a.parquet")
    for a, b in zip(events, cmlflow.read(tmp_path / "a.parquet"), strict=True):
        assert same(a, b)
        np.testing.assert_array_equal(a.deposits.particle, b.deposits.particle)
        assert b.detector == "slab-hg"


def test_errors():
    with pytest.raises(ValueError, match="n_particles is 5, but an event of this sample always has 3"):
        simulate("rho", 1, n_particles=5)
    with pytest.raises(ValueError, match="n_particles is 2, but an event of a pion gun always has 3"):
        simulate("pi-gun-2-5", 1, n_particles=2)
    with pytest.raises(ValueError, match="there is no train jet with 0 to 0 particles"):
        simulate("jets", 1, n_particles=0)
    with pytest.raises(ValueError, match=r"sample 'omega' is not known; there are compact-em, .*, rho, .*, jets-test"):
        simulate("omega", 1)


def test_rhos_are_one_to_three():
    events = list(simulate("rhos", 40, seed=2))
    assert {len(e.particles) for e in events} == {3, 6, 9}
    assert all((np.abs(e.particles.pdg_id) == 211).sum() * 3 == len(e.particles) for e in events)
    assert {len(e.particles) for e in simulate("rhos", 3, seed=2, n_particles=6)} == {6}
    with pytest.raises(ValueError, match="always has 3 or 6 or 9"):
        simulate("rhos", 1, n_particles=4)[0]


def test_pi_guns_are_of_all_four_ranges():
    events = drawn(SLAB_SAMPLES["pi-guns"].gun, 300)
    energy = np.array([[p.momentum[0, 3], p.momentum[1:, 3].sum()] for p in events])
    found = np.searchsorted((2, 5, 10, 15, 20), energy) - 1
    np.testing.assert_array_equal(found[:, 0], found[:, 1])
    assert np.bincount(found[:, 0], minlength=4).min() > 50
