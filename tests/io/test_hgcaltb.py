import errno
import os
import tempfile
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from hypothesis import given, settings
from hypothesis import strategies as st

import cmlflow.io.hgcaltb as module
import cmlflow.io.hgcaltb_writer as writer
from cmlflow.evaluation import evaluate
from cmlflow.event import Event
from cmlflow.io import FormatError, read, read_labels, write
from cmlflow.io.hgcaltb import HgcaltbEvents
from cmlflow.io.steps import local_showers, merge_steps

MIP = 0.08925
external = pytest.mark.skipif("CMLFLOW_EXTERNAL_DATA" not in os.environ, reason="CMLFLOW_EXTERNAL_DATA is not set")


def steps_of(rng, n_steps, n_showers, base=0, spread=4.0):
    """Random Geant4 steps of one event, several in most cells; the last shower leaves none where there are three."""
    used = max(1, n_showers - (n_showers == 3))
    return {
        "hit_x": rng.normal(0, spread, n_steps),
        "hit_y": rng.normal(0, spread, n_steps),
        "hit_layer": (layer := rng.integers(1, 5, n_steps)),
        "hit_z": 320 + 2.5 * layer + rng.uniform(-0.015, 0.015, n_steps),
        "hit_Edep": rng.exponential(0.03, n_steps),
        "hit_showerid": base + rng.integers(0, used, n_steps),
        "PrimaryEnergies": rng.uniform(10e3, 90e3, n_showers),
        "PrimaryPDGIDs": rng.choice([11, -211], n_showers),
    }


def store(path, events, drop=()):
    """Write events as raw branches, one counter per branch as other programs may do."""
    names = [n for n in events[0] if n not in drop]
    with uproot.recreate(path) as file:
        file.mktree("HGCALTBout", {n: f"var * {np.asarray(events[0][n]).dtype}" for n in names})
        file["HGCALTBout"].extend({n: ak.Array([np.asarray(e[n]) for e in events]) for n in names})


@pytest.fixture
def running():
    """Six events whose shower numbers run on through the file; showers 0..P-1 of each."""
    rng = np.random.default_rng(5)
    out, base = [], 0
    for n in (1, 3, 2, 4, 3, 1):
        out.append(steps_of(rng, 150 * n, n, base))
        base += n
    return out


def merged_slowly(e, base, threshold):
    """Twin of the reader: one dictionary entry per cell and shower."""
    cells = {}
    for x, y, layer, energy, shower in zip(
        *(e[f"hit_{n}"] for n in ("x", "y", "layer", "Edep", "showerid")), strict=True
    ):
        shares = cells.setdefault((int(layer), round(float(x)), round(float(y))), {})
        shares[int(shower) - base] = shares.get(int(shower) - base, 0.0) + float(energy) / MIP
    return {cell: shares for cell, shares in sorted(cells.items()) if sum(shares.values()) >= threshold}


@pytest.mark.parametrize("threshold", [None, 0.0, 2.0])
def test_raw_steps_equal_the_twin(tmp_path, running, threshold):
    store(tmp_path / "a.root", running)
    events = read(tmp_path / "a.root", threshold=threshold, step_size=2)
    base = 0
    assert len(events) == 6
    for i, (raw, event) in enumerate(zip(running, events, strict=True)):
        twin = merged_slowly(raw, base, 0.5 if threshold is None else threshold)
        base += len(raw["PrimaryEnergies"])
        assert event.number == i
        assert [(la, x, y) for la, x, y in zip(event.layer, *event.position.T[:2], strict=True)] == list(twin)
        np.testing.assert_allclose(event.energy, [sum(s.values()) for s in twin.values()], rtol=1e-6)
        want = [(hit, shower, s) for hit, shares in enumerate(twin.values()) for shower, s in sorted(shares.items())]
        d = event.deposits
        assert list(zip(d.hit, d.particle, strict=True)) == [w[:2] for w in want]
        np.testing.assert_allclose(d.energy, [w[2] for w in want], rtol=1e-6)
        np.testing.assert_array_equal(event.particle_id, [max(s, key=s.get) for s in twin.values()])
        np.testing.assert_allclose(event.position[:, 2], 320 + 2.5 * event.layer, atol=0.01)
        np.testing.assert_allclose(event.particles.energy, raw["PrimaryEnergies"] / 1000, rtol=1e-6)
        np.testing.assert_array_equal(event.particles.pdg_id, raw["PrimaryPDGIDs"])


def test_energy_is_conserved_before_the_cut(tmp_path, running):
    store(tmp_path / "a.root", running)
    base = 0
    for raw, event in zip(running, read(tmp_path / "a.root", threshold=0), strict=True):
        mip = raw["hit_Edep"] / MIP
        np.testing.assert_allclose(event.energy.sum(dtype=np.float64), mip.sum(), rtol=1e-7)
        for shower in range(len(raw["PrimaryEnergies"])):
            own = event.deposits.particle == shower
            left = event.deposits.energy[own].sum(dtype=np.float64)
            np.testing.assert_allclose(left, mip[raw["hit_showerid"] == base + shower].sum(), rtol=1e-7)
        base += len(raw["PrimaryEnergies"])


def test_merging_does_not_depend_on_the_order_of_steps():
    rng = np.random.default_rng(1)
    e = steps_of(rng, 300, 2)
    columns = [e[f"hit_{n}"] for n in ("x", "y", "layer", "Edep", "showerid")]
    turn = rng.permutation(300)
    a, b = merge_steps(*columns), merge_steps(*(c[turn] for c in columns))
    np.testing.assert_array_equal(a.deposit_shower, b.deposit_shower)
    np.testing.assert_array_equal(a.deposit_cell, b.deposit_cell)
    np.testing.assert_allclose(a.energy, b.energy, rtol=1e-12)
    np.testing.assert_allclose(a.energy.sum(), e["hit_Edep"].sum(), rtol=1e-13)
    empty = merge_steps(*([] for _ in columns))
    assert len(empty.energy) == len(empty.deposit_cell) == 0
    assert empty.energy.dtype == np.float64


def test_track_numbers_tell_a_reversed_order(tmp_path, running):
    """Geant4 tracks the last primary first: shower 0 of n belongs to track n."""
    base = 0
    for e in running:
        n = len(e["PrimaryEnergies"])
        shower = e["hit_showerid"] - base
        e["hit_trackid"] = np.where(np.arange(len(shower)) % 5 == 0, n - shower, 1000 + np.arange(len(shower)))
        base += n
    store(tmp_path / "a.root", running)
    for raw, event in zip(running, read(tmp_path / "a.root"), strict=True):
        np.testing.assert_allclose(event.particles.energy, raw["PrimaryEnergies"][::-1] / 1000, rtol=1e-6)
    for raw, event in zip(running, read(tmp_path / "a.root", primary_order="same"), strict=True):
        np.testing.assert_allclose(event.particles.energy, raw["PrimaryEnergies"] / 1000, rtol=1e-6)


@pytest.mark.parametrize(
    ("numbers", "base", "n", "numbering", "want", "matched"),
    [
        ([4, 5, 5], 4, 3, "running", [0, 1, 1], True),
        ([4, 6, -1], 4, 3, "running", [0, 2, -1], True),
        ([0, 2, 2], 4, 3, "local", [0, 2, 2], True),
        ([70, 90, 70], 4, 2, "running", [0, 1, 0], True),
        ([70, 90, 70], 4, 3, "running", [0, 1, 0], False),
        ([70, 90, 70], 0, 0, "local", [0, 1, 0], False),
        ([], 0, 2, "local", [], True),
    ],
)
def test_local_showers(numbers, base, n, numbering, want, matched):
    got, same = local_showers(np.array(numbers, np.int64), base, n, numbering)
    assert got.tolist() == want
    assert same == matched


def test_layers_of_detectors_that_begin_again(tmp_path):
    e = steps_of(np.random.default_rng(2), 200, 1)
    e["hit_detector"] = np.arange(200) % 3
    e["hit_z"] = e["hit_z"] + 100 * e["hit_detector"]
    store(tmp_path / "a.root", [e])
    event = read(tmp_path / "a.root", threshold=0)[0]
    assert set(event.layer) == set(range(1, 13))
    z = [np.unique(event.position[event.layer == la, 2]) for la in range(1, 13)]
    assert all(len(u) == 1 for u in z)
    assert np.all(np.diff(np.concatenate(z)) > 0)


shapes = st.tuples(
    st.integers(0, 2**31), st.integers(0, 6), st.integers(1, 4), st.booleans(), st.just(0), st.booleans(),
    st.none() | st.integers(0, 2**40),
)  # fmt: skip


@pytest.mark.parametrize(("detector", "mev"), [("hgcal", MIP), (None, MIP), ("mine", MIP), ("slab-hg", 1000.0)])
def test_energies_are_mev_in_the_file_and_what_they_were_after(tmp_path, detector, mev):
    energy = np.array([2.5, 0.25], np.float32)
    event = Event([[0, 0, 320], [1, 0, 320]], energy, [1, 1], [0, 0], detector=detector)
    write([event], tmp_path / "a.root")
    with uproot.open(tmp_path / "a.root") as file:
        np.testing.assert_allclose(file["HGCALTBout"]["hit_Edep"].array()[0], energy * mev, rtol=1e-6)
    (back,) = read(tmp_path / "a.root", format="hgcaltb")
    np.testing.assert_array_equal(back.energy, energy)
    (renamed,) = HgcaltbEvents(tmp_path / "a.root", detector="another")
    np.testing.assert_array_equal(renamed.energy, energy)


def test_rntuple(tmp_path, running):
    """What uproot writes of a plain dict, from version 5.7 on."""
    path = tmp_path / "a.root"
    names = [n for n in running[0] if not n.startswith("Primary")]
    with uproot.recreate(path) as file:
        file.mkrntuple("HGCALTBout", {n: ak.Array([np.asarray(e[n]) for e in running]) for n in names})
    events = read(path)
    assert [e.n_particles for e in events] == [len(np.unique(e["hit_showerid"])) for e in running]
    store(tmp_path / "b.root", running, drop=("PrimaryEnergies", "PrimaryPDGIDs"))
    for a, b in zip(events, read(tmp_path / "b.root"), strict=True):
        np.testing.assert_array_equal(a.energy, b.energy)


def test_hits_outside_of_the_layers_of_the_hgcal_are_of_no_known_detector(tmp_path):
    write([Event([[0, 0, 320]], [2.0], [0], [0])], tmp_path / "a.root")
    with uproot.open(tmp_path / "a.root") as source:
        columns = {
            n: source["HGCALTBout"][n].array()
            for n in ("hit_x", "hit_y", "hit_z", "hit_Edep", "hit_layer", "hit_showerid")
        }
        columns["hit_purity"] = source["HGCALTBout"]["hit_purity"].array()
    with uproot.recreate(tmp_path / "b.root") as file:
        file.mktree("HGCALTBout", {n: f"var * {ak.to_numpy(ak.flatten(a)).dtype}" for n, a in columns.items()})
        file["HGCALTBout"].extend(columns)
    (event,) = read(tmp_path / "b.root")
    assert event.detector is None
    assert evaluate([event], [np.zeros(1, np.int64)]).efficiency.value == 1


def test_a_file_has_one_unit(tmp_path):
    events = [Event([[0, 0, 320]], [1.0], [1], [0], detector=name) for name in ("hgcal", "slab-hg")]
    with pytest.raises(ValueError, match=r"several detectors \('hgcal', 'slab-hg'\), not all in MIP"):
        write(events, tmp_path / "a.root")
    assert not list(tmp_path.iterdir())


@given(st.lists(shapes, max_size=5))
@settings(max_examples=10, deadline=None)
def test_merged_round_trip(make_event, assert_equal, drawn):
    events = [make_event(*shape) for shape in drawn]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.root"
        write(iter(events), path)
        back = read(path)
        assert len(back) == len(events)
        for want, have in zip(events, back, strict=True):
            if want.number is None:
                assert have.number is None
            assert_equal(want, have, everything=False)
        assert os.listdir(folder) == ["a.root"]


def test_merged_labels_branches_and_streaming(tmp_path, make_event, assert_equal, monkeypatch):
    monkeypatch.setattr(writer, "EVENTS_PER_BASKET", 2)
    events = [make_event(i, n, 2) for i, n in enumerate((3, 0, 5, 4, 1))]
    labels = [np.arange(e.n_hits) - 1 for e in events]
    write(events, tmp_path / "a.root", labels=labels)
    tree = uproot.open(tmp_path / "a.root")["HGCALTBout"]
    assert {"hit_x", "hit_y", "hit_z", "hit_Edep", "hit_layer", "hit_showerid", "hit_purity"} <= set(tree.keys())
    assert {"PrimaryEnergies", "PrimaryPDGIDs"} <= set(tree.keys())
    np.testing.assert_allclose(tree["hit_Edep"].array()[2], events[2].energy * MIP, rtol=1e-7)
    np.testing.assert_allclose(tree["PrimaryEnergies"].array()[2], events[2].particles.energy * 1000, rtol=1e-7)
    for want, have in zip(labels, read_labels(tmp_path / "a.root"), strict=True):
        np.testing.assert_array_equal(want, have)
    for want, have in zip(events, read(tmp_path / "a.root", step_size=2), strict=True):
        assert_equal(want, have, everything=False)
    write(events, tmp_path / "b.root")
    with pytest.raises(FormatError, match=r"b.root: tree HGCALTBout lacks the branches hit_cluster"):
        read_labels(tmp_path / "b.root")


def test_variant_without_purity(tmp_path):
    """A grid without repeated cells is merged; a repeated cell, or steps off the grid, are raw."""
    grid = {
        "hit_x": np.array([0.5, 1.5, 2.5]), "hit_y": np.array([0.5, 0.5, 0.5]), "hit_z": np.full(3, 320.0),
        "hit_Edep": np.array([0.01, 0.1, 0.2]), "hit_layer": np.ones(3, np.int32),
        "hit_showerid": np.zeros(3, np.int32), "PrimaryEnergies": np.array([5e3]), "PrimaryPDGIDs": np.array([11]),
    }  # fmt: skip
    store(tmp_path / "a.root", [grid])
    assert read(tmp_path / "a.root")[0].position[:, 0].tolist() == [0.5, 1.5, 2.5]
    assert read(tmp_path / "a.root", threshold=0.5)[0].n_hits == 2
    assert read(tmp_path / "a.root", variant="steps", threshold=0)[0].position[:, 0].tolist() == [0, 2]
    store(tmp_path / "b.root", [grid | {"hit_x": np.array([0.5, 1.5, 0.5])}])
    assert read(tmp_path / "b.root", threshold=0)[0].n_hits == 2


def test_options_that_are_wrong(tmp_path, running):
    store(tmp_path / "a.root", running)
    for option, value in {"variant": "raw", "primary_order": "up", "threshold": -1, "cache": 0, "step_size": 0}.items():
        with pytest.raises(ValueError, match=f"{option} is"):
            read(tmp_path / "a.root", **{option: value})


def test_blocks_by_size(tmp_path, running):
    store(tmp_path / "a.root", running)
    small, all_at_once = HgcaltbEvents(tmp_path / "a.root", step_size="10 kB"), HgcaltbEvents(tmp_path / "a.root")
    assert 2 <= len(small._edges) - 1 <= 6
    assert len(all_at_once._edges) == 2
    assert [e.n_hits for e in small] == [e.n_hits for e in all_at_once]
    with pytest.raises(ValueError, match="step_size is 'many', expected a number of events or a size"):
        HgcaltbEvents(tmp_path / "a.root", step_size="many")


@pytest.mark.parametrize("branch", ["hit_z", "hit_Edep", "hit_layer", "hit_showerid"])
def test_missing_branch(tmp_path, running, branch):
    store(tmp_path / "a.root", running, drop=(branch,))
    with pytest.raises(FormatError, match=f"a.root: tree HGCALTBout lacks the branches {branch}"):
        read(tmp_path / "a.root")


def test_without_primaries(tmp_path, running):
    store(tmp_path / "a.root", running, drop=("PrimaryEnergies", "PrimaryPDGIDs"))
    event = read(tmp_path / "a.root")[3]
    assert event.n_particles == 4
    assert np.isnan(event.particles.energy).all()


@pytest.mark.parametrize(
    ("branch", "value", "message"),
    [
        ("hit_Edep", np.nan, "entry 2: hit_Edep of hit 7 is nan"),
        ("hit_Edep", -0.5, "entry 2: hit_Edep of hit 7 is -0.5"),
        ("hit_x", np.inf, "entry 2: hit_x of hit 7 is inf"),
    ],
)
@pytest.mark.parametrize("variant", ["steps", "merged"])
def test_bad_values(tmp_path, running, branch, value, message, variant):
    running[2][branch][7] = value
    store(tmp_path / "a.root", running)
    events = read(tmp_path / "a.root", variant=variant)
    assert events[1].n_hits
    with pytest.raises(FormatError, match=message):
        events[2]


def test_lengths_that_differ(tmp_path, running):
    running[2]["hit_y"] = running[2]["hit_y"][:-1]
    store(tmp_path / "a.root", running)
    with pytest.raises(FormatError, match="entry 2: hit_y has 299 values, but hit_x has 300"):
        read(tmp_path / "a.root")[0]


@pytest.mark.parametrize("kept", [0.0, 0.05, 0.5, 0.99])
def test_truncated(tmp_path, running, kept):
    path = tmp_path / "a.root"
    store(path, running)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(FormatError, match=r"a\.root"):
        list(read(path))


def test_damaged_inside(tmp_path, running):
    path = tmp_path / "a.root"
    store(path, running)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle - 8000 : middle] = b"\xff" * 8000
    path.write_bytes(bytes(data))
    with pytest.raises(FormatError, match=r"a\.root"):
        list(read(path))


def test_full_disk(tmp_path, make_event, monkeypatch):
    class Full:
        def __init__(self, file):
            self.file = file

        def write(self, data):
            if self.file.tell() + len(data) > 2500:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return self.file.write(data)

        def __getattr__(self, name):
            return getattr(self.file, name)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

    monkeypatch.setattr(writer, "open", lambda *how: Full(open(*how)), raising=False)  # noqa: SIM115
    with pytest.raises(OSError, match=r"cannot write .*a.root: .*No space left"):
        write((make_event(i, 500, 2) for i in range(20)), tmp_path / "a.root")
    assert not os.listdir(tmp_path)


def test_opening_reads_no_event(tmp_path, running, monkeypatch):
    store(tmp_path / "a.root", running)
    monkeypatch.setattr(module, "read_jagged", lambda *_: pytest.fail("events were read"))
    assert len(read(tmp_path / "a.root")) == 6


@pytest.mark.parametrize(
    ("names", "want"), [(["slab"], "slab"), ([None, None], None), (["hgcal-a", "hgcal"], "hgcal"), ([], "hgcal")]
)
def test_detector(tmp_path, make_event, names, want):
    write([make_event(i, 2, 1, detector=name) for i, name in enumerate(names)], tmp_path / "a.root")
    assert {e.detector for e in read(tmp_path / "a.root")} == ({want} if names else set())
    assert {e.detector for e in read(tmp_path / "a.root", detector="mine")} == ({"mine"} if names else set())


def test_values_beyond_32_bits(tmp_path):
    with pytest.raises(ValueError, match=r"layer of (hit|entry) 0 is 2147483648"):
        write([Event([[0, 0, 0]], [1.0], [2**31])], tmp_path / "a.root")
    assert not os.listdir(tmp_path)


def test_empty_event_and_empty_file(tmp_path):
    write([Event(np.zeros((0, 3)), [])], tmp_path / "a.root")
    assert read(tmp_path / "a.root")[0].n_hits == 0
    write([], tmp_path / "b.root")
    assert len(read(tmp_path / "b.root")) == 0


@external
def test_real_raw_steps():
    path = Path(os.environ["CMLFLOW_EXTERNAL_DATA"]) / "hgcaltb" / "mult_5_e.root"
    events, uncut = HgcaltbEvents(path), HgcaltbEvents(path, threshold=0)
    assert [e.n_hits for e in events] == [397, 1280, 659, 1618, 974]
    assert [e.n_hits for e in uncut] == [486, 1509, 831, 1939, 1166]
    assert [e.n_particles for e in events] == [1, 3, 4, 5, 4]
    tree = uproot.open(path)["HGCALTBout"]
    for raw, event in zip(tree["hit_Edep"].array(), uncut, strict=True):
        np.testing.assert_allclose(event.energy.sum(dtype=float), np.sum(raw) / MIP, rtol=1e-6)
    # the order of the primaries shows in the response: contained electrons give about 39 MIP per GeV
    response = uncut[1].deposits.energy[uncut[1].deposits.particle == 0].sum() / uncut[1].particles.energy[0]
    assert 38 < response < 41


def test_features_are_branches(tmp_path, make_event):
    rng = np.random.default_rng(0)
    events = [make_event(i, n, 2, detector="hgcal") for i, n in enumerate((3, 0, 5))]
    events = [
        e.replace(features={"time": rng.normal(size=len(e)), "fit": rng.normal(size=(len(e), 2))}) for e in events
    ]
    write(events, tmp_path / "a.root")
    for e, back in zip(events, read(tmp_path / "a.root"), strict=True):
        assert list(back.features) == ["time", "fit"]
        for name, values in e.features.items():
            np.testing.assert_array_equal(back.features[name], values)
    kept = read(tmp_path / "a.root", threshold=20)[2]
    np.testing.assert_array_equal(kept.features["time"], events[2].features["time"][events[2].energy >= 20])
    with pytest.raises(ValueError, match=r"event has the features time, but the events before time, fit__0, fit__1"):
        write([events[0], make_event(1, 3, 1).replace(features={"time": np.ones(3)})], tmp_path / "b.root")
    with pytest.warns(UserWarning, match="format 'mltree' does not keep the features time, fit"):
        write(events, tmp_path / "c.root", format="mltree")


def test_features_of_steps_are_told(tmp_path, running):
    for e in running:
        e["hit_time"] = np.ones(len(e["hit_x"]))
    store(tmp_path / "a.root", running)
    with pytest.warns(UserWarning, match=r"a.root: branches hit_time are not read: steps are merged into cells"):
        assert read(tmp_path / "a.root")[0].features == {}


def test_layers_do_not_depend_on_the_place_in_the_file(tmp_path):
    def event(seed, behind):
        e = steps_of(np.random.default_rng(seed), 60, 1)
        e["hit_detector"] = np.zeros(60, np.int32)
        if behind:
            e["hit_detector"][40:] = 1
            e["hit_z"] = e["hit_z"] + 100 * e["hit_detector"]
        return e

    events = [event(k, False) for k in range(51)] + [event(99, True)]
    store(tmp_path / "late.root", events)
    store(tmp_path / "early.root", events[::-1])
    late, early = read(tmp_path / "late.root", threshold=0)[51], read(tmp_path / "early.root", threshold=0)[0]
    assert sorted(map(tuple, np.c_[late.position, late.layer].tolist())) == sorted(
        map(tuple, np.c_[early.position, early.layer].tolist())
    )


@pytest.mark.parametrize("value", [1000, -5])
def test_odd_detectors_are_refused(tmp_path, value):
    e = steps_of(np.random.default_rng(2), 20, 1)
    e["hit_detector"] = np.r_[np.zeros(19, np.int32), value].astype(np.int32)
    store(tmp_path / "a.root", [e])
    with pytest.raises(FormatError, match=f"hit_detector of hit 19 is {value}"):
        read(tmp_path / "a.root")[0]
