import hashlib
import os
from importlib import resources

import numpy as np
import pytest

from cmlflow.simulation import PACKAGED, SPLITS, ShowerLibrary, detector
from cmlflow.simulation.packaging import BANDS, COMPOSITION, assign, build_packaged


@pytest.fixture
def small():
    return ShowerLibrary.packaged("hgcal-had").take([3, 11, 200, 40])


def write_g4(path, library):
    np.savez(
        path, primary=np.column_stack([library.energy, library.direction]), offset=library.offset,
        layer=library.layer, ix=library.ix, iy=library.iy, edep=library.edep,
    )  # fmt: skip


def cells(library, i):
    s = library[i]
    return sorted(zip(s.layer.tolist(), s.ix.tolist(), s.iy.tolist(), s.edep.tolist(), strict=True))


SHA256 = {
    "hgcal-em": "65c451d0c71c061b4c47688414abb9d4e0477af1e5aadf522bd127d6724e587b",
    "hgcal-had": "803a13ff634564caf2d8f167db7eea6503d1961d459ffc5df93b4160e199325b",
}


@pytest.mark.parametrize("name", PACKAGED)
def test_packaged_is_unchanged(name):
    """The packaged models were trained, tuned and scored on exactly these showers."""
    file = resources.files("cmlflow") / "assets" / "showers" / f"{name}.npz"
    assert hashlib.sha256(file.read_bytes()).hexdigest() == SHA256[name]


@pytest.mark.parametrize("name", PACKAGED)
def test_packaged_fills_its_splits(name):
    library = ShowerLibrary.packaged(name)
    for split, wanted in COMPOSITION.items():
        have = [len(library.find(split, energy_range=(a, np.nextafter(b, 0)))) for a, b in BANDS]
        assert all(h <= w for h, w in zip(have, wanted, strict=True))
        assert have == list(wanted) or split == "train"
    assert len(library.find("train", energy_range=(10, 100))) >= 1200


@pytest.mark.parametrize("name", PACKAGED)
def test_packaged_is_sound(name):
    library = ShowerLibrary.packaged(name)
    assert library is ShowerLibrary.packaged(name)
    assert library.split.max() < len(SPLITS)
    np.testing.assert_allclose(np.linalg.norm(library.direction, axis=1), 1, rtol=1e-5)
    assert (library.direction[:, 2] >= np.cos(np.radians(5.001))).all()
    assert (np.diff(library.offset) > 0).all()
    assert library.edep.min() >= 0.049 * detector("hgcal").mip_mev
    shower = np.repeat(np.arange(len(library)), np.diff(library.offset))
    keys = ((shower * 64 + library.layer) * 1024 + library.ix + 512) * 1024 + library.iy + 512
    assert (np.diff(np.sort(keys)) > 0).all()


@pytest.mark.parametrize("name", PACKAGED)
def test_splits_share_no_shower(name):
    library = ShowerLibrary.packaged(name)
    prints = [{library[int(i)].edep.tobytes() for i in library.find(s)} for s in SPLITS]
    assert sum(map(len, prints)) == len(set().union(*prints)) == len(library)


@pytest.mark.parametrize("name", PACKAGED)
def test_packaged_showers_look_like_showers(name):
    library = ShowerLibrary.packaged(name)
    d = detector("hgcal")
    seen = np.add.reduceat(library.edep / d.mip_mev * d.layer_weights[library.layer - 1], library.offset[:-1])
    response = seen / library.energy
    assert 0.85 < np.mean(response) < 1.0
    high = library.energy > 50
    assert np.std(response[high]) < (0.06 if name == "hgcal-em" else 0.25)


def test_round_trip(small, tmp_path):
    rng = np.random.default_rng(0)
    exact = ShowerLibrary(
        small.energy, small.direction, small.pdg_id, small.split, small.offset, small.layer, small.ix, small.iy,
        (small.edep * rng.uniform(0.9, 1.1, len(small.edep))).astype(np.float32),
    )  # fmt: skip
    path = tmp_path / "a.npz"
    exact.save(path)
    back = ShowerLibrary.load(path)
    for name in ("energy", "direction", "pdg_id", "split", "offset"):
        np.testing.assert_array_equal(getattr(back, name), getattr(exact, name))
    for i in range(len(exact)):
        a, b = np.array(cells(exact, i)), np.array(cells(back, i))
        np.testing.assert_array_equal(a[:, :3], b[:, :3])
        np.testing.assert_allclose(a[:, 3], b[:, 3], rtol=0.00502)
    first = path.read_bytes()
    back.save(path)
    assert path.read_bytes() == first
    assert os.listdir(tmp_path) == ["a.npz"]


def test_failed_save_leaves_the_old_file(small, tmp_path):
    path = tmp_path / "a.npz"
    small.save(path)
    before = path.read_bytes()
    small.edep[0] = 1e30
    with pytest.raises(ValueError, match="more than the format can hold"):
        small.save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.npz"]


def test_empty_library_round_trip(small, tmp_path):
    small.take([]).save(tmp_path / "a.npz")
    assert len(ShowerLibrary.load(tmp_path / "a.npz")) == 0


def test_damaged_file_is_named(small, tmp_path):
    path = tmp_path / "a.npz"
    small.save(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match=r"a\.npz: not a shower library, or damaged"):
        ShowerLibrary.load(path)
    with pytest.raises(FileNotFoundError):
        ShowerLibrary.load(tmp_path / "none.npz")


def test_take_select_concatenate(small):
    assert cells(small.take([2, 0]), 1) == cells(small, 0)
    both = ShowerLibrary.concatenate([small.take([3]), small.take([1, 2])])
    assert [cells(both, i) for i in range(3)] == [cells(small, i) for i in (3, 1, 2)]
    library = ShowerLibrary.packaged("hgcal-em")
    part = library.select("tuning", [11], (20.0, 60.0))
    wanted = [i for i in range(len(library)) if SPLITS[library.split[i]] == "tuning" and 20 <= library.energy[i] <= 60]
    assert part.energy.tolist() == library.energy[wanted].tolist()
    assert len(library.select(pdg_ids=[-211])) == 0


def test_above_drops_faint_cells(small):
    cut = small.above(0.05)
    for i in range(len(small)):
        assert cells(cut, i) == [c for c in cells(small, i) if np.float32(c[3]) >= 0.05]


def test_from_g4_and_packing(small, tmp_path):
    write_g4(tmp_path / "g.npz", small)
    back = ShowerLibrary.from_g4(tmp_path / "g.npz", -211, "test")
    assert back.pdg_id.tolist() == [-211] * 4
    assert set(back.split) == {SPLITS.index("test")}
    assert cells(back, 2) == cells(small, 2)
    packed = build_packaged([tmp_path / "g.npz"], -211, tmp_path / "p.npz")
    assert len(packed) == len(ShowerLibrary.load(tmp_path / "p.npz")) == 4


def test_later_showers_move_none():
    energy = np.exp(np.random.default_rng(0).uniform(np.log(10), np.log(600), 3000))
    whole = assign(energy, COMPOSITION)
    np.testing.assert_array_equal(assign(energy[:700], COMPOSITION), whole[:700])
    for k, split in enumerate(SPLITS):
        counts = [int((whole[(energy >= a) & (energy < b)] == k).sum()) for a, b in BANDS]
        assert all(c <= w for c, w in zip(counts, COMPOSITION[split], strict=True))


def test_errors(small):
    with pytest.raises(ValueError, match="'hgcal' is not known; there are hgcal-em, hgcal-had"):
        ShowerLibrary.packaged("hgcal")
    with pytest.raises(ValueError, match="split 'training' is not known; there are train, validation, tuning, test"):
        small.find("training")
    with pytest.raises(ValueError, match=r"layers 1\.\.51"):
        ShowerLibrary(
            small.energy[:1], small.direction[:1], small.pdg_id[:1], small.split[:1], np.array([0, 2]),
            np.uint8([1, 51]), small.ix[:2], small.iy[:2], small.edep[:2],
        )  # fmt: skip
    with pytest.raises(IndexError, match="shower 4 asked for"):
        small[4]
