import numpy as np
import pytest
from scipy.special import gammainc

from cmlflow.particles import masses
from cmlflow.simulation import Primaries, Selection, Shower, ShowerLibrary, overlay_slab, slab_detector
from cmlflow.simulation.decays import momentum, unit_vector
from cmlflow.simulation.slab import deposits_in_cells, placed, shower_depth

HG, LG, BASE = (slab_detector(f"slab-{n}") for n in ("hg", "lg", "base"))
TURN = {
    0: lambda x, y: (x, y),
    1: lambda x, y: (-x, y),
    2: lambda x, y: (x, -y),
    3: lambda x, y: (-x, -y),
    4: lambda x, y: (y, x),
    5: lambda x, y: (y, -x),
    6: lambda x, y: (-y, x),
    7: lambda x, y: (-y, -x),
}


def random_shower(rng, n_cells=40, spread=6, pdg_id=-211):
    cells = np.unique(
        np.column_stack([rng.integers(1, 7, n_cells), rng.integers(-spread, spread, (n_cells, 2))]), axis=0
    )
    return Shower(
        pdg_id, float(np.float32(rng.uniform(1, 20))), np.float32([0, 0, 1]),
        cells[:, 0].astype(np.uint8), cells[:, 1].astype(np.int16), cells[:, 2].astype(np.int16),
        rng.exponential(100, len(cells)).astype(np.float32), rng.uniform(0, 15.625, 2).astype(np.float32),
    )  # fmt: skip


def random_primaries(rng, n, vertex=(0.0, 0.0, 0.0), polar=0.2, codes=(211, 22, 2112)):
    pdg_id = rng.choice(codes, n)
    energy = rng.uniform(1, 20, n)
    direction = unit_vector(np.cos(rng.uniform(0, polar, n)), rng.uniform(0, 7, n))
    return Primaries(pdg_id, momentum(direction, energy + masses(pdg_id), masses(pdg_id)), np.array(vertex))


def straight(x, y, pdg_id=22, energy=2.0):
    """One particle parallel to the axis through a point."""
    p = momentum(np.array([[0, 0, 1.0]]), energy + masses([pdg_id]), masses([pdg_id]))
    return Primaries(np.array([pdg_id]), p, np.array([x, y, 0.0]))


def overlay_twin(primaries, showers, symmetry, detector):
    """A dict (layer, ix, iy) -> {particle: GeV}, cell by cell."""
    b = 125 / 64
    out = {}
    for p, (s, turn) in enumerate(zip(showers, symmetry, strict=True)):
        kinetic = primaries.momentum[p, 3] - masses(primaries.pdg_id)[p]
        d = primaries.momentum[p, :3] / np.linalg.norm(primaries.momentum[p, :3])
        depth = shower_depth(int(primaries.pdg_id[p]), kinetic, detector)
        entry = TURN[turn](float(s.entry[0]), float(s.entry[1]))
        for layer, ix, iy, e in zip(s.layer, s.ix, s.iy, s.edep, strict=True):
            k = int(layer) - 1
            z = detector.front[k] + depth[k]
            middle = TURN[turn]((int(ix) + 0.5) * b, (int(iy) + 0.5) * b)
            at = []
            for axis in range(2):
                wanted = primaries.vertex[axis] + d[axis] / d[2] * (z - primaries.vertex[2])
                at.append(middle[axis] + b * np.floor((wanted - entry[axis]) / b + 0.5))
            if max(abs(at[0]), abs(at[1])) > 62.5:
                continue
            side = 125 / detector.n_cells[k]
            cell = (k + 1, int((at[0] + 62.5) // side), int((at[1] + 62.5) // side))
            shares = out.setdefault(cell, {})
            shares[p] = shares.get(p, 0.0) + float(e) / 1000 * kinetic / s.energy
    return out


@pytest.mark.parametrize("detector", [HG, LG, BASE], ids=lambda d: d.name)
@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_twin(detector, seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 5))
    primaries = random_primaries(rng, n, vertex=(7.0, -3.0, 0.0), polar=0.35)
    showers, symmetry = [random_shower(rng) for _ in range(n)], rng.integers(8, size=n).tolist()
    twin = overlay_twin(primaries, showers, symmetry, detector)
    e = overlay_slab(primaries, showers, symmetry, detector, rng, sampling=False, noise=False, selection=None, number=4)
    assert (e.number, e.detector, e.n_particles) == (4, detector.name, n)
    keys = sorted(twin)
    assert e.n_hits == len(keys)
    np.testing.assert_array_equal(e.layer, [k[0] for k in keys])
    for h, (layer, ix, iy) in enumerate(keys):
        shares = twin[layer, ix, iy]
        side = 125 / detector.n_cells[layer - 1]
        wanted = [(ix + 0.5) * side - 62.5, (iy + 0.5) * side - 62.5, detector.z[layer - 1]]
        np.testing.assert_allclose(e.position[h], wanted, rtol=1e-6, atol=1e-5)
        np.testing.assert_allclose(e.energy[h], sum(shares.values()), rtol=1e-6)
        assert e.particle_id[h] == max(shares, key=shares.get)
        mine = e.deposits.hit == h
        assert e.deposits.particle[mine].tolist() == sorted(shares)
        np.testing.assert_allclose(e.deposits.energy[mine], [shares[p] for p in sorted(shares)], rtol=1e-6)


@pytest.mark.parametrize("turn", range(8))
def test_cells_keep_their_place_beside_the_entry_point(turn):
    s = random_shower(np.random.default_rng(3))
    (x, y), entry = placed(s, turn)
    for i in range(len(s.ix)):
        a = np.array([s.ix[i] + 0.5, s.iy[i] + 0.5]) * BASE.cell_size - s.entry
        b = np.array([x[i] + 0.5, y[i] + 0.5]) * BASE.cell_size - np.array(entry)
        np.testing.assert_allclose(b, TURN[turn](*a), rtol=1e-6, atol=1e-5)


def test_one_cell_by_hand():
    # entry 1 cm from the edge of base cell (4, 0); the particle is wanted in base cell (-11, 8) of the centre
    s = Shower(
        22, 4.0, np.float32([0, 0, 1]), np.uint8([1, 2, 6]), np.int16([4, 5, 4]), np.int16([0, 0, 0]),
        np.float32([100, 200, 400]), np.float32([4 * BASE.cell_size + 1, 1]),
    )  # fmt: skip
    x, y = -11 * BASE.cell_size + 1.3, 8 * BASE.cell_size + 0.8
    e = overlay_slab(straight(x, y), [s], [0], HG, np.random.default_rng(), sampling=False, noise=False, selection=None)
    # base cells (-11 + 32, 8 + 32) = (21, 40); ECAL2 (22, 40) of cells of 2; HCAL3 (21, 40) of cells of 8
    np.testing.assert_array_equal(e.layer, [1, 2, 6])
    np.testing.assert_allclose(e.energy, [0.05, 0.1, 0.2], rtol=1e-6)  # half of a shower of 4 GeV
    wanted = HG.position([1, 2, 6], [21, 11, 2], [40, 20, 5])
    np.testing.assert_array_equal(e.position, wanted)
    assert e.particles.energy.tolist() == [2.0]


def test_energy_is_that_of_the_showers():
    rng = np.random.default_rng(0)
    library = ShowerLibrary.packaged("slab-pi")
    showers = [library[i] for i in (3, 4, 5)]
    primaries = random_primaries(rng, 3, polar=0.02, codes=(211,))
    want = sum(
        s.edep.sum(dtype=np.float64) / 1000 * t / s.energy for s, t in zip(showers, primaries.kinetic, strict=True)
    )
    fine, coarse, base = (deposits_in_cells(primaries, showers, [0, 3, 5], d).sum() for d in (HG, LG, BASE))
    np.testing.assert_allclose([fine, coarse], base, rtol=1e-12)  # coarser cells are sums
    assert 0.98 * want < base <= want * (1 + 1e-9)  # the rest is beside the detector
    e = overlay_slab(primaries, showers, [0, 3, 5], HG, rng, selection=None, noise=False)
    np.testing.assert_allclose(e.energy.sum(dtype=float), e.deposits.energy.sum(dtype=float), rtol=1e-5)
    np.testing.assert_allclose(np.bincount(e.deposits.hit, e.deposits.energy), e.energy, rtol=1e-5)


def test_sampling_keeps_the_mean_and_has_the_resolution():
    one = Shower(
        22, 5.0, np.float32([0, 0, 1]), np.uint8([2, 2, 4]), np.int16([0, 4, 0]), np.int16([0, 0, 0]),
        np.float32([3000, 1000, 1000]), np.float32([1, 1]),
    )  # fmt: skip
    rng = np.random.default_rng(1)
    p = straight(0, 0, energy=5.0)
    events = [overlay_slab(p, [one], [0], HG, rng, noise=False, selection=None) for _ in range(1500)]
    front = np.array([e.energy[e.layer == 2].sum() for e in events])
    back = np.array([e.energy[e.layer == 4].sum() for e in events])
    np.testing.assert_allclose(front.mean(), 4.0, rtol=0.01)
    np.testing.assert_allclose(front.std() / 4.0, 0.1 / np.sqrt(4.0), rtol=0.06)  # 10 % / sqrt(E), both cells together
    np.testing.assert_allclose(back.mean(), 1.0, rtol=0.04)
    np.testing.assert_allclose(back.std(), 0.5, rtol=0.08)
    assert min(e.energy.min() for e in events) > 0


def test_fine_and_coarse_cells_see_the_same_event():
    rng = np.random.default_rng(8)
    primaries, showers = random_primaries(rng, 3), [random_shower(rng) for _ in range(3)]
    fine, coarse = (
        overlay_slab(primaries, showers, [0, 5, 7], d, np.random.default_rng(1), selection=None) for d in (HG, LG)
    )
    np.testing.assert_array_equal(fine.tracks.momentum, coarse.tracks.momentum)
    seen = [deposits_in_cells(primaries, showers, [0, 5, 7], d, np.random.default_rng(1)) for d in (HG, LG)]
    for k in range(6):
        n, m = HG.n_cells[k], LG.n_cells[k]
        layers = [s[:, d.offset[k] : d.offset[k + 1]] for s, d in zip(seen, (HG, LG), strict=True)]
        sums = layers[0].reshape(3, m, n // m, m, n // m).sum(axis=(2, 4))
        np.testing.assert_allclose(sums.reshape(3, -1), layers[1], atol=1e-12)


def test_noise_is_counted_apart():
    rng = np.random.default_rng(2)
    p, s = straight(3, 4, energy=4.0), random_shower(rng, 10, 2)
    e = overlay_slab(p, [s], [0], HG, rng, selection=None, sampling=False)
    assert 3200 < e.n_hits < 3500  # half of the 6720 cells have positive noise
    d = e.deposits
    known = d.particle >= 0
    np.testing.assert_allclose(d.energy[known].sum(), deposits_in_cells(p, [s], [0], HG).sum(), rtol=0.2)
    total = np.bincount(d.hit, d.energy, e.n_hits)
    positive = np.isin(np.arange(e.n_hits), d.hit[~known])
    np.testing.assert_allclose(total[positive], e.energy[positive], rtol=1e-5)
    assert (total[~positive] > e.energy[~positive]).all()
    for layer, noise in enumerate(HG.noise, 1):
        only = (e.layer == layer) & (e.particle_id == -1) & (e.purity == 0)
        np.testing.assert_allclose((e.energy[only] ** 2).mean() ** 0.5, noise, rtol=0.25 if layer == 6 else 0.12)
    share = np.bincount(d.hit[known], d.energy[known], e.n_hits)
    noise = np.bincount(d.hit[~known], d.energy[~known], e.n_hits)
    np.testing.assert_array_equal(e.particle_id, np.where(share >= noise, 0, -1))


def test_selection_keeps_deposits_of_kept_cells_only():
    rng = np.random.default_rng(5)
    p, s = random_primaries(rng, 2), [random_shower(rng), random_shower(rng)]
    args = (p, s, [0, 1], HG)
    whole = overlay_slab(*args, np.random.default_rng(9), selection=None)
    kept = overlay_slab(*args, np.random.default_rng(9), selection=Selection())
    assert kept.n_hits < whole.n_hits
    place = {tuple(row): i for i, row in enumerate(whole.inputs().tolist())}
    where = np.array([place[tuple(row)] for row in kept.inputs().tolist()])
    np.testing.assert_array_equal(kept.particle_id, whole.particle_id[where])
    np.testing.assert_array_equal(kept.purity, whole.purity[where])
    assert (kept.energy >= 2 * HG.noise[kept.layer - 1] * (1 - 1e-6)).all()
    np.testing.assert_array_equal(kept.tracks.momentum, whole.tracks.momentum)


def test_tracks():
    codes = np.array([211, 22, -211, -11, 2112, 2212, 211])
    direction = np.array(
        [[0, 0, 1], [0, 0, 1], [0.1, 0, 1], [0, -0.2, 1], [0, 0, 1], [0.9, 0, 1], [0, 0, -1]], dtype=float
    )
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    p = Primaries(codes, momentum(direction, 10.0 + masses(codes), masses(codes)), np.array([1.0, 2.0, 0.0]))
    size = np.linalg.norm(p.momentum[:, :3], axis=1)
    smeared = []
    for seed in range(400):
        e = overlay_slab(p, [None] * 7, [0] * 7, HG, np.random.default_rng(seed))
        t = e.tracks
        smeared.append(t.momentum)
        assert t.particle.tolist() == [0, 2, 3]  # charged, forward, within the front face
    pull = (np.array(smeared) - size[[0, 2, 3]]) / (5e-4 * size[[0, 2, 3]] ** 2)
    np.testing.assert_allclose(pull.mean(axis=0), 0, atol=0.2)
    np.testing.assert_allclose(pull.std(axis=0), 1, atol=0.12)
    np.testing.assert_allclose(t.direction, direction[[0, 2, 3]], rtol=1e-6)
    np.testing.assert_allclose(t.entry, [[1, 2, 150], [16, 2, 150], [1, -28, 150]], rtol=1e-5)
    assert t.crossing.shape == (3, 6, 3)
    np.testing.assert_allclose(t.crossing[0], [[1, 2, z] for z in HG.front], rtol=1e-6)
    np.testing.assert_allclose(t.crossing[1, :, 0], 1 + 0.1 * HG.front, rtol=1e-5)
    np.testing.assert_allclose(t.crossing[2, :5, 1], 2 - 0.2 * HG.front[:5], rtol=1e-5)
    assert np.isnan(t.crossing[2, 5]).all()  # at 345.94 cm it is 67 cm below the axis
    assert p.enters(HG).tolist() == [True, True, True, True, True, False, False]


def test_depth_of_photons_follows_their_showers():
    library = ShowerLibrary.packaged("slab-gamma")
    for low, high in ((1, 5), (10, 60)):
        some = library.select(energy_range=(low, high))
        share = np.bincount(some.layer, some.edep, 7)[1:] / some.edep.sum()
        energy = np.exp(np.log(some.energy).mean())
        a = 1 + 0.5 * (np.log(energy / 0.015) + 0.5)
        profile = np.diff(gammainc(a, 0.5 * np.array([0, 3, 19, 25])))
        np.testing.assert_allclose(profile, share[:3], atol=0.05)
    near, far = (shower_depth(22, e, HG) for e in (0.5, 50.0))
    assert (near[:3] <= far[:3]).all()
    assert (far[:3] < HG.thickness[:3]).all()
    assert 25 < far[1] < 30  # the mean is 3.9 (ln(50 / 0.015) + 2.5) = 41.4 cm behind the front, ECAL1 has 11.7 cm
    np.testing.assert_array_equal(far[3:], HG.thickness[3:] / 2)
    np.testing.assert_array_equal(shower_depth(211, 5.0, HG), HG.thickness / 2)
    assert (shower_depth(11, 5.0, HG)[:2] < shower_depth(22, 5.0, HG)[:2]).all()


def test_nothing_and_nobody():
    empty = Primaries(np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(3))
    e = overlay_slab(empty, [], [], HG, np.random.default_rng(0), noise=False, selection=None)
    assert (e.n_hits, e.n_particles, len(e.tracks)) == (0, 0, 0)
    noise = overlay_slab(empty, [], [], HG, np.random.default_rng(0), selection=None)
    assert set(noise.particle_id) == {-1}
    far = overlay_slab(straight(80, 0), [None], [0], HG, np.random.default_rng(0), noise=False, selection=None)
    assert (far.n_hits, far.n_particles) == (0, 1)


def test_errors():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="1 particles, but 0 showers and 1 symmetries"):
        overlay_slab(straight(0, 0), [], [0], HG, rng)
    for wrong in ({"noise": False}, {"detector": BASE}):
        given = {"detector": HG} | wrong
        with pytest.raises(ValueError, match="pass selection=None where there is none"):
            overlay_slab(straight(0, 0), [None], [0], rng=rng, **given)
