import dataclasses
import hashlib
import os
from importlib import resources

import numpy as np
import pytest

from cmlflow.simulation import PACKAGED, SPLITS, ShowerLibrary, detector
from cmlflow.simulation.packaging import (
    BANDS,
    COMPOSITION,
    SLAB_CUT_MEV,
    SLAB_PATTERN,
    assign,
    build_packaged,
    build_slab,
)

HGCAL = [name for name in PACKAGED if name.startswith("hgcal")]
SLAB = {"slab-pi": -211, "slab-gamma": 22, "slab-n": 2112}


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


@pytest.mark.parametrize("name", HGCAL)
def test_packaged_is_unchanged(name):
    """The packaged models were trained, tuned and scored on exactly these showers."""
    file = resources.files("cmlflow") / "assets" / "showers" / f"{name}.npz"
    assert hashlib.sha256(file.read_bytes()).hexdigest() == SHA256[name]


@pytest.mark.parametrize("name", HGCAL)
def test_packaged_fills_its_splits(name):
    library = ShowerLibrary.packaged(name)
    for split, wanted in COMPOSITION.items():
        have = [len(library.find(split, energy_range=(a, np.nextafter(b, 0)))) for a, b in BANDS]
        assert all(h <= w for h, w in zip(have, wanted, strict=True))
        assert have == list(wanted) or split == "train"
    assert len(library.find("train", energy_range=(10, 100))) >= 1200


@pytest.mark.parametrize("name", HGCAL)
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


@pytest.mark.parametrize("name", HGCAL)
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


def write_slab(path, library):
    np.savez(
        path, primary=np.column_stack([library.energy, library.entry]), offset=library.offset,
        layer=library.layer - 1, ix=library.ix, iy=library.iy, edep=library.edep,
    )  # fmt: skip


@pytest.mark.parametrize("name", SLAB)
def test_packaged_slab_is_sound(name):
    library = ShowerLibrary.packaged(name)
    assert library.detector == "slab-base"
    assert set(library.pdg_id) == {SLAB[name]}
    assert [SPLITS[k] for k in library.split[:20]] == list(2 * SLAB_PATTERN)
    assert [int((library.split == k).sum()) * 10 for k in range(4)] == [len(library) * k for k in (6, 1, 1, 2)]
    assert library.edep.min() >= SLAB_CUT_MEV * 0.995
    assert library.energy.max() < 60
    assert library.entry.min() >= 0
    assert library.entry.max() <= 15.625
    assert set(library.layer) <= set(range(1, 7))
    shower = np.repeat(np.arange(len(library)), np.diff(library.offset))
    keys = ((shower * 8 + library.layer) * 512 + library.ix + 256) * 512 + library.iy + 256
    assert (np.diff(np.sort(keys)) > 0).all()


@pytest.mark.parametrize(
    ("name", "low", "high"), [("slab-pi", 0.75, 0.9), ("slab-gamma", 0.97, 1.0), ("slab-n", 0.65, 0.85)]
)
def test_packaged_slab_showers_look_like_showers(name, low, high):
    library = ShowerLibrary.packaged(name)
    seen = np.add.reduceat(library.edep, library.offset[:-1]) / 1000 / library.energy
    assert low < np.mean(seen) < high
    edges = np.repeat(library.entry, np.diff(library.offset), axis=0)
    for axis, cell in enumerate((library.ix, library.iy)):
        middle = np.average((cell + 0.5) * 125 / 64 - edges[:, axis], weights=library.edep)
        assert abs(middle) < 0.4


def test_slab_from_g4_and_packing(tmp_path):
    small = ShowerLibrary.packaged("slab-n").take([3, 11, 40])
    write_slab(tmp_path / "g.npz", small)
    back = ShowerLibrary.from_g4(tmp_path / "g.npz", 2112, detector="slab-base")
    assert cells(back, 2) == cells(small, 2)
    np.testing.assert_array_equal(back.entry, small.entry)
    np.testing.assert_array_equal(back[1].entry, small.entry[1])
    small.save(tmp_path / "l.npz")
    packed = build_slab([tmp_path / "g.npz", tmp_path / "l.npz"], 2112, tmp_path / "p.npz")
    again = ShowerLibrary.load(tmp_path / "p.npz")
    assert len(packed) == len(again) == 6
    assert [SPLITS[k] for k in again.split] == list(SLAB_PATTERN[:6])
    for i in range(6):
        assert cells(again, i) == cells(small, i % 3)
    np.testing.assert_array_equal(again.entry, np.tile(small.entry, (2, 1)))
    one = build_slab([tmp_path / "g.npz"], 2112, tmp_path / "q.npz")
    np.testing.assert_array_equal(one.split, packed.split[:3])  # later files change nothing
    with pytest.raises(ValueError, match=r"l\.npz: showers of slab-base by other particles than 22"):
        build_slab([tmp_path / "l.npz"], 22, tmp_path / "q.npz")


def test_slab_libraries_do_not_mix_with_others(tmp_path):
    slab, hgcal = ShowerLibrary.packaged("slab-n").take([0, 1]), ShowerLibrary.packaged("hgcal-em").take([0])
    both = ShowerLibrary.concatenate([slab.take([1]), slab])
    np.testing.assert_array_equal(both.entry, slab.entry[[1, 0, 1]])
    assert both.above(5.0).entry is both.entry
    with pytest.raises(ValueError, match="of one detector"):
        ShowerLibrary.concatenate([slab, hgcal])
    with pytest.raises(ValueError, match="showers of slab-base need entry points"):
        dataclasses.replace(slab, entry=None)
    with pytest.raises(ValueError, match="showers of hgcal have no entry points"):
        dataclasses.replace(hgcal, entry=np.zeros((1, 2), np.float32))
    with pytest.raises(ValueError, match="entry has 1 entries, expected 2"):
        dataclasses.replace(slab, entry=slab.entry[:1])
    write_slab(tmp_path / "g.npz", slab)
    with pytest.raises(ValueError, match=r"g\.npz: primary has shape \(2, 3\), expected \(2, 4\) for hgcal"):
        ShowerLibrary.from_g4(tmp_path / "g.npz", 2112)


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
