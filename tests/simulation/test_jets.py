from importlib.util import find_spec

import numpy as np
import pytest

from cmlflow.particles import MASS, masses
from cmlflow.simulation import SPLITS, JetGun, Jets
from cmlflow.simulation.decays import invariant_mass, momentum, unit_vector
from cmlflow.simulation.jets import LEAST_KINETIC, generate_jets, towards, upright
from cmlflow.simulation.packaging import SLAB_PATTERN

HAS_PYTHIA = find_spec("pythia8mc") is not None and find_spec("fastjet") is not None


def four_momenta(pdg_id, p):
    p = p.astype(np.float64)
    return np.column_stack([p, np.sqrt((p**2).sum(axis=1) + masses(pdg_id) ** 2)])


def check(jets, pt_range):
    assert [SPLITS[k] for k in jets.split[:20]] == [SLAB_PATTERN[i % 10] for i in range(min(20, len(jets)))]
    assert set(np.abs(jets.pdg_id)) <= set(MASS)
    p = four_momenta(jets.pdg_id, jets.momentum)
    assert (p[:, 3] - masses(jets.pdg_id)).min() >= LEAST_KINETIC * (1 - 1e-5)
    apart = np.arctan2(np.linalg.norm(p[:, :2], axis=1), p[:, 2])
    assert apart.max() < 0.6  # the radius is 0.4 in rapidity and azimuth; heavy, slow ones may lie further out
    assert np.quantile(apart, 0.99) < 0.42
    total = np.add.reduceat(p, jets.offset[:-1])
    assert (total[:, 2] > 0.4 * pt_range[0]).all()  # soft constituents are left out
    assert (total[:, 2] < pt_range[1] * 1.01).all()
    np.testing.assert_allclose(np.median(total[:, :2] / total[:, 2:3], axis=0), 0, atol=0.02)


def test_packaged_jets_are_sound():
    jets = Jets.packaged()
    assert jets is Jets.packaged()
    assert len(jets) >= 2000
    check(jets, (20.0, 60.0))
    for split in SPLITS:
        assert len(jets.find(split, (5, 15))) > 0.04 * len(jets)
    charged = np.isin(np.abs(jets.pdg_id), [211, 321, 2212, 11])
    assert 0.45 < charged.mean() < 0.65
    assert 0.25 < (jets.pdg_id == 22).mean() < 0.5


@pytest.mark.slow
@pytest.mark.skipif(not HAS_PYTHIA, reason="Pythia 8 or FastJet is not installed")
def test_new_jets():
    jets = generate_jets(30, seed=4, pt_range=(25.0, 50.0))
    assert len(jets) == 30
    check(jets, (25.0, 50.0))
    np.testing.assert_array_equal(
        generate_jets(5, seed=4, pt_range=(25.0, 50.0)).momentum, jets.momentum[: jets.offset[5]]
    )
    with pytest.raises(ValueError, match="seed is 0, expected 1 to 900000000"):
        generate_jets(1, seed=0)


@pytest.mark.skipif(HAS_PYTHIA, reason="Pythia 8 and FastJet are installed")
def test_missing_pythia_says_what_to_install():
    with pytest.raises(ImportError, match=r'pip install "cmlflow\[jets\]"'):
        generate_jets(1)


def test_upright_by_hand():
    # a jet at azimuth 90 degrees and rapidity 0.5: its axis becomes z, the beam y
    p = momentum(unit_vector(np.tanh(0.5), np.pi / 2), 10.0, 0.0)[None]
    np.testing.assert_allclose(upright(p, 0.5, np.pi / 2), [[0, 0, 10 / np.cosh(0.5)]], atol=1e-12)
    beam = np.array([[0, 0, 1.0, 1.0]])
    moved = upright(beam, 0.5, np.pi / 2)
    np.testing.assert_allclose(moved, [[0, np.exp(-0.5), 0]], atol=1e-12)
    both = np.concatenate([p, beam])
    whole = four_momenta(np.array([22, 22]), upright(both, 0.5, np.pi / 2)).sum(axis=0)
    np.testing.assert_allclose(invariant_mass(whole), invariant_mass(both.sum(axis=0)))


def test_towards_is_a_rotation():
    for axis in ([0, 0, 1.0], [0.6, 0, 0.8], [0.1, -0.3, 0.9]):
        unit = np.array(axis) / np.linalg.norm(axis)
        turn = towards(unit)
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
        np.testing.assert_allclose(np.linalg.det(turn), 1)
        np.testing.assert_allclose(turn @ [0, 0, 1], unit)


def three_jets():
    """Jets of two, no and one particles."""
    return Jets(
        np.array([211, 22, 2112]), np.float32([[1, 0, 20], [0, -1, 10], [0, 0, 5]]), np.array([0, 2, 2, 3]),
        np.uint8([0, 0, 3]),
    )  # fmt: skip


def test_gun_turns_a_jet_as_a_whole():
    jets = three_jets()
    gun = JetGun((1, 2), 5.0, jets)
    before = four_momenta(jets.pdg_id[:2], jets.momentum[:2])
    axes, turned = [], []
    for seed in range(300):
        p = gun.draw(np.random.default_rng(seed), "train", None)
        assert p.pdg_id.tolist() == [211, 22]
        np.testing.assert_array_equal(p.vertex, 0)
        np.testing.assert_allclose(p.momentum[:, 3], before[:, 3])
        np.testing.assert_allclose(invariant_mass(p.momentum.sum(axis=0)), invariant_mass(before.sum(axis=0)))
        total = p.momentum[:, :3].sum(axis=0)
        axes.append(total / np.linalg.norm(total))
        turned.append(np.arctan2(p.momentum[0, 1], p.momentum[0, 0]))
    tilt = np.degrees(np.arccos(np.array(axes)[:, 2]))
    assert tilt.max() < 5 + 3  # the jet's particles do not quite add up to its axis
    assert tilt.max() > 4
    assert np.histogram(turned, 4, (-np.pi, np.pi))[0].min() > 45
    alone = gun.draw(np.random.default_rng(0), "test", 1)
    assert alone.pdg_id.tolist() == [2112]
    with pytest.raises(ValueError, match="there is no validation jet with 1 to 2 particles"):
        gun.draw(np.random.default_rng(0), "validation", None)


def test_file(tmp_path):
    jets = three_jets()
    jets.save(tmp_path / "a.npz")
    back = Jets.load(tmp_path / "a.npz")
    for name in ("pdg_id", "momentum", "offset", "split"):
        np.testing.assert_array_equal(getattr(back, name), getattr(jets, name))
    assert back.find("train", (0, 0)).tolist() == [1]
    first = (tmp_path / "a.npz").read_bytes()
    back.save(tmp_path / "a.npz")
    assert (tmp_path / "a.npz").read_bytes() == first
    (tmp_path / "a.npz").write_bytes(first[:-100])
    with pytest.raises(ValueError, match=r"a\.npz: not a file of jets, or damaged"):
        Jets.load(tmp_path / "a.npz")
    with pytest.raises(ValueError, match="2 splits, 4 offsets, 3 codes"):
        Jets(jets.pdg_id, jets.momentum, jets.offset, jets.split[:2])
