from importlib.util import find_spec

import numpy as np
import pytest

from cmlflow.simulation import SPLITS, ShowerLibrary
from cmlflow.simulation.geant4 import PARTICLES, entry_point, primary, simulate_showers, split_numbers

HAS_GEANT4 = find_spec("geant4_pybind") is not None
RANGE = (5.0, 10.0)


def finished(path, n, particle="pi-", seed=3, detector="hgcal"):
    """A library with the primaries of a run and one cell per shower."""
    drawn = [primary(seed, i, RANGE) for i in range(n)]
    direction, entry = np.float32([d[1] for d in drawn]).reshape(-1, 3), None
    if detector != "hgcal":
        direction[:] = 0, 0, 1
        entry = np.float32([entry_point(seed, i) for i in range(n)])
    ShowerLibrary(
        np.float32([d[0] for d in drawn]), direction,
        np.full(n, PARTICLES[particle]), split_numbers(n, None), np.arange(n + 1),
        np.full(n, 5, np.uint8), np.full(n, 2, np.int16), np.full(n, -4, np.int16), np.full(n, 0.2, np.float32),
        detector, entry,
    ).save(path)  # fmt: skip


def test_primaries_fill_cone_and_range():
    drawn = [primary(1, i, (10.0, 100.0)) for i in range(2000)]
    energy = np.array([d[0] for d in drawn])
    direction = np.array([d[1] for d in drawn])
    assert energy.min() >= 10
    assert energy.max() <= 100
    np.testing.assert_allclose(np.log(energy).mean(), np.log(1000**0.5), atol=0.05)
    np.testing.assert_allclose(np.linalg.norm(direction, axis=1), 1)
    np.testing.assert_allclose(direction[:, :2].mean(axis=0), 0, atol=0.005)
    cosine = direction[:, 2]
    low = np.cos(np.radians(5))
    assert cosine.min() >= low
    np.testing.assert_allclose(cosine.mean(), (1 + low) / 2, atol=1e-4)
    assert len({d[2] for d in drawn}) == 2000


def test_split_pattern():
    numbers = split_numbers(45, None)
    assert [SPLITS[k] for k in numbers[:5]] == ["validation", "tuning", "test", "test", "train"]
    assert [int((numbers[:40] == k).sum()) for k in range(4)] == [32, 2, 2, 4]
    assert set(split_numbers(3, "test")) == {SPLITS.index("test")}
    np.testing.assert_array_equal(split_numbers(7, None), numbers[:7])


def test_complete_library_needs_no_geant4(tmp_path):
    finished(tmp_path / "a.npz", 5)
    before = (tmp_path / "a.npz").read_bytes()
    library = simulate_showers("pi-", 5, tmp_path / "a.npz", seed=3, energy_range=RANGE)
    assert len(library) == 5
    assert (tmp_path / "a.npz").read_bytes() == before


def test_entry_points_fill_their_square():
    points = np.array([entry_point(1, i) for i in range(2000)])
    assert points.min() > 0
    assert points.max() < 15.625
    np.testing.assert_allclose(points.mean(axis=0), 15.625 / 2, atol=0.4)
    assert abs(np.corrcoef(points.T)[0, 1]) < 0.1


def test_complete_slab_library_needs_no_geant4(tmp_path):
    finished(tmp_path / "a.npz", 5, detector="slab-base")
    library = simulate_showers("pi-", 5, tmp_path / "a.npz", seed=3, energy_range=RANGE, detector="slab-base")
    assert library.detector == "slab-base"
    with pytest.raises(ValueError, match=r"a\.npz: showers of slab-base, not of hgcal"):
        simulate_showers("pi-", 5, tmp_path / "a.npz", seed=3, energy_range=RANGE)
    library.entry[2] += 1
    library.save(tmp_path / "b.npz")
    with pytest.raises(ValueError, match=r"b\.npz: shower 2 .* is not that of this run"):
        simulate_showers("pi-", 5, tmp_path / "b.npz", seed=3, energy_range=RANGE, detector="slab-base")


@pytest.mark.parametrize("other", [{"seed": 4}, {"particle": "pi+"}, {"energy_range": (5.0, 11.0)}])
def test_output_of_another_run_is_refused(tmp_path, other):
    finished(tmp_path / "a.npz", 2)
    job = {"particle": "pi-", "seed": 3, "energy_range": RANGE, **other}
    with pytest.raises(ValueError, match=r"a\.npz: shower 0 .* is not that of this run"):
        simulate_showers(n_showers=4, output=tmp_path / "a.npz", **job)


def test_arguments_are_checked(tmp_path):
    with pytest.raises(ValueError, match="particle 'electron' is not known; there are e-, "):
        simulate_showers("electron", 1, tmp_path / "a.npz")
    with pytest.raises(ValueError, match=r"energy_range is \(9, 3\)"):
        simulate_showers("e-", 1, tmp_path / "a.npz", energy_range=(9, 3))
    with pytest.raises(ValueError, match="n_showers is -1"):
        simulate_showers("e-", -1, tmp_path / "a.npz")
    with pytest.raises(ValueError, match="detector 'slab-hg' cannot be simulated; there are hgcal, slab-base"):
        simulate_showers("e-", 1, tmp_path / "a.npz", detector="slab-hg")
    with pytest.raises(ValueError, match="split 'all' is not known"):
        simulate_showers("e-", 1, tmp_path / "a.npz", split="all")


def test_missing_geant4_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("cmlflow.simulation.geant4.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "cmlflow\[geant4\]"'):
        simulate_showers("e-", 1, tmp_path / "a.npz")


@pytest.mark.skipif(HAS_GEANT4, reason="geant4-pybind is installed")
def test_failing_run_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("cmlflow.simulation.geant4.find_spec", lambda name: True)
    with pytest.raises(RuntimeError, match=r"(?s)Geant4 ended with code 1: .*geant4_pybind"):
        simulate_showers("e-", 1, tmp_path / "a.npz")
    assert not (tmp_path / "a.npz").exists()


@pytest.mark.slow
@pytest.mark.skipif(not HAS_GEANT4, reason="geant4-pybind is not installed")
def test_interrupted_run_ends_as_an_uninterrupted_one(tmp_path):
    calls = []
    whole = simulate_showers("e-", 3, tmp_path / "a.npz", seed=5, energy_range=(1.0, 2.0), save_every=2)
    simulate_showers("e-", 1, tmp_path / "b.npz", seed=5, energy_range=(1.0, 2.0))
    simulate_showers(
        "e-", 3, tmp_path / "b.npz", seed=5, energy_range=(1.0, 2.0), save_every=1,
        progress=lambda done, wanted: calls.append((done, wanted)),
    )  # fmt: skip
    assert calls == [(2, 3), (3, 3)]
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert len(whole) == 3
    assert (np.diff(whole.offset) > 5).all()


@pytest.mark.slow
@pytest.mark.skipif(not HAS_GEANT4, reason="geant4-pybind is not installed")
def test_photons_in_the_slab(tmp_path):
    library = simulate_showers("gamma", 4, tmp_path / "a.npz", seed=5, energy_range=(1.0, 2.0), detector="slab-base")
    seen = np.add.reduceat(library.edep, library.offset[:-1]) / 1000 / library.energy
    np.testing.assert_allclose(seen, 1, atol=0.02)
    share = np.bincount(library.layer, library.edep, 7) / library.edep.sum()
    assert share[2] > 0.7
    np.testing.assert_array_equal(library.entry[3], np.float32(entry_point(5, 3)))
    across = (library.ix + 0.5) * 125 / 64 - np.repeat(library.entry[:, 0], np.diff(library.offset))
    assert abs(np.average(across, weights=library.edep)) < 1.5
