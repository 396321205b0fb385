import numpy as np
import pytest

from cmlflow.event import Event
from cmlflow.simulation import Shower, ShowerLibrary, detector, overlay, reflect

HGCAL = detector("hgcal")


def random_shower(rng, n_cells, spread=3, pdg_id=11):
    cells = np.unique(rng.integers(-spread, spread + 1, (n_cells, 3)), axis=0)
    rng.shuffle(cells)
    direction = rng.normal(size=3) * [0.05, 0.05, 0] + [0, 0, 1]
    direction = (direction / np.linalg.norm(direction)).astype(np.float32)
    edep = rng.exponential(0.1, len(cells)).astype(np.float32)
    layer = (np.abs(cells[:, 0]) + 1).astype(np.uint8)
    _, first = np.unique(np.column_stack([layer, cells[:, 1:]]), axis=0, return_index=True)
    return Shower(
        pdg_id, float(np.float32(rng.uniform(10, 100))), direction,
        layer[first], cells[first, 1].astype(np.int16), cells[first, 2].astype(np.int16), edep[first],
    )  # fmt: skip


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


def overlay_twin(showers, symmetry, threshold):
    """A dict of cells, each with a dict of particles."""
    cells = {}
    for p, s in enumerate(showers):
        for layer, ix, iy, e in zip(s.layer, s.ix, s.iy, s.edep, strict=True):
            x, y = TURN[symmetry[p]](int(ix), int(iy))
            mip = np.float32(np.float64(e) / 0.08925)
            cells.setdefault((int(layer), x, y), {})[p] = float(mip)
    return {k: v for k, v in sorted(cells.items()) if sum(v.values()) >= threshold}


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("threshold", [0.0, 0.5, 2.0])
def test_agrees_with_twin(seed, threshold):
    rng = np.random.default_rng(seed)
    showers = [random_shower(rng, int(rng.integers(0, 80))) for _ in range(int(rng.integers(1, 6)))]
    symmetry = rng.integers(8, size=len(showers))
    e = overlay(showers, symmetry, threshold=threshold, number=3)
    twin = overlay_twin(showers, symmetry, threshold)
    assert e.n_hits == len(twin)
    assert e.n_particles == len(showers)
    assert e.number == 3
    assert e.detector == "hgcal"
    deposits = [(h, p, energy) for h, shares in enumerate(twin.values()) for p, energy in shares.items()]
    assert [(int(h), int(p)) for h, p in zip(e.deposits.hit, e.deposits.particle, strict=True)] == [
        d[:2] for d in deposits
    ]
    np.testing.assert_array_equal(e.deposits.energy, np.float32([d[2] for d in deposits]))
    for h, ((layer, x, y), shares) in enumerate(twin.items()):
        z = 320.6 + 2.5 * (layer - 1)
        np.testing.assert_allclose(e.position[h], [x, y, z], rtol=1e-6)
        assert e.layer[h] == layer
        np.testing.assert_allclose(e.energy[h], sum(shares.values()), rtol=1e-6)
        best = max(shares.values())
        assert e.particle_id[h] == min(p for p, v in shares.items() if v == best)
        np.testing.assert_allclose(e.purity[h], best / sum(shares.values()), rtol=1e-6)


def test_label_and_purity_follow_from_deposits():
    library = ShowerLibrary.packaged("hgcal-had")
    e = overlay([library[i] for i in range(8)], np.arange(8))
    bare = Event(e.position, e.energy, e.layer, deposits=e.deposits)
    np.testing.assert_array_equal(bare.particle_id, e.particle_id)
    np.testing.assert_allclose(bare.purity, e.purity, rtol=1e-6)


def test_energy_is_conserved():
    library = ShowerLibrary.packaged("hgcal-em")
    showers = [library[i] for i in (0, 5, 9)]
    e = overlay(showers, [1, 4, 6], threshold=0.0)
    total = sum(s.edep.astype(np.float64).sum() for s in showers) / HGCAL.mip_mev
    np.testing.assert_allclose(e.energy.astype(np.float64).sum(), total, rtol=1e-6)
    np.testing.assert_allclose(e.deposits.energy.astype(np.float64).sum(), total, rtol=1e-6)
    cut = overlay(showers, [1, 4, 6])
    assert cut.n_hits < e.n_hits
    kept = e.energy[e.energy >= 0.5]
    np.testing.assert_array_equal(cut.energy, kept)


def test_threshold_acts_on_the_sum():
    one = Shower(11, 10.0, np.float32([0, 0, 1]), np.uint8([4]), np.int16([2]), np.int16([-1]), np.float32([0.03]))
    assert overlay([one]).n_hits == 0
    e = overlay([one, one])
    assert e.n_hits == 1
    assert e.particle_id.tolist() == [0]
    np.testing.assert_allclose(e.purity, 0.5)


def test_particles_without_hits_are_kept():
    rng = np.random.default_rng(0)
    empty = Shower(-211, 12.0, np.float32([0, 0, 1]), np.uint8([]), np.int16([]), np.int16([]), np.float32([]))
    e = overlay([empty, random_shower(rng, 20)])
    assert e.n_particles == 2
    assert e.particles.pdg_id.tolist() == [-211, 11]
    assert set(e.particle_id) == {1}
    assert overlay([empty]).n_hits == 0
    assert overlay([]).n_particles == 0


@pytest.mark.parametrize("symmetry", range(8))
def test_symmetry_moves_hits_with_their_particle(symmetry):
    library = ShowerLibrary.packaged("hgcal-em")
    showers = [library[i] for i in (1, 2)]
    plain, turned = overlay(showers), overlay(showers, [symmetry] * 2)
    x, y = TURN[symmetry](plain.position[:, 0], plain.position[:, 1])
    order = np.lexsort((y, x, plain.layer))
    np.testing.assert_array_equal(turned.position, np.column_stack([x, y, plain.position[:, 2]])[order])
    np.testing.assert_array_equal(turned.energy, plain.energy[order])
    np.testing.assert_array_equal(turned.particle_id, plain.particle_id[order])
    dx, dy = TURN[symmetry](plain.particles.direction[:, 0], plain.particles.direction[:, 1])
    np.testing.assert_array_equal(turned.particles.direction[:, :2], np.column_stack([dx, dy]))
    centre = np.average(turned.position / turned.position[:, 2:], axis=0, weights=turned.energy)
    expected = np.mean(turned.particles.direction / turned.particles.direction[:, 2:], axis=0)
    np.testing.assert_allclose(centre, expected, atol=0.02)


def test_symmetries_are_distinct_and_invertible():
    x, y = np.array([1, 5]), np.array([2, -3])
    images = {tuple(np.concatenate(reflect(x, y, s))) for s in range(8)}
    assert len(images) == 8


def test_wrong_symmetry_is_named():
    library = ShowerLibrary.packaged("hgcal-em")
    with pytest.raises(ValueError, match=r"symmetry is 8, expected 0\.\.7"):
        overlay([library[0]], [8])
    with pytest.raises(ValueError, match="expected one per shower"):
        overlay([library[0]], [0, 1])
