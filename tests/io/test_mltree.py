"""Reading files of the MLTree kind: a slow twin, a case by hand, and what is refused."""

import math
from typing import ClassVar

import awkward as ak
import numpy as np
import pytest
import uproot

import cmlflow.io.mltree as reader
from cmlflow.io import FormatError, read, read_labels
from cmlflow.io.atlas import ATLAS_LAYERS, EXTENT, nearest_layers
from cmlflow.io.mltree import MltreeEvents

LAYERS = ("EMB1", "EMB2", "EME2", "TileBar0")
NAMES = {"EMB1": 153.218, "EMB2": 172.389, "TileBar0": 245.0}
NONE = -999999.0

# name -> how deep its lists are, and the type of its values
BRANCHES = {
    "eventNumber": (0, "i8"),
    "cluster_cell_ID": (2, "i8"),
    "cluster_cell_E": (2, "f4"),
    "cluster_cell_hitsTruthIndex": (3, "i4"),
    "cluster_cell_hitsTruthE": (3, "f4"),
    "truthPartPdgId": (1, "i4"),
    "truthPartE": (1, "f4"),
    "truthPartPt": (1, "f4"),
    "truthPartEta": (1, "f4"),
    "truthPartPhi": (1, "f4"),
    "nTrack": (0, "i4"),
    "trackPt": (1, "f4"),
    "trackEta": (1, "f4"),
    "trackPhi": (1, "f4"),
    "trackTruthParticleIndex": (1, "i4"),
} | {f"track{a}_{name}": (1, "f4") for a in ("Eta", "Phi") for name in (*LAYERS, "FCAL0")}


def raw_event(rng, number, n_clusters=3, n_tracks=2, n_particles=4, n_cells=40):
    """One entry as lists: cells shared by clusters, cells without truth, truth beyond the cells of a cluster."""
    e = {"eventNumber": number, "nTrack": n_tracks}
    ids = [rng.choice(n_cells, rng.integers(1, 12), replace=False).tolist() for _ in range(n_clusters)]
    e["cluster_cell_ID"] = [[1000 + 7 * c for c in cluster] for cluster in ids]
    e["cluster_cell_E"] = [rng.uniform(0.01, 3, len(c)).astype("f4").tolist() for c in ids]
    lengths = [[int(rng.integers(0, 4)) for _ in range(len(c) + int(rng.integers(0, 3)))] for c in ids]
    e["cluster_cell_hitsTruthIndex"] = [[rng.integers(-1, n_particles, n).tolist() for n in c] for c in lengths]
    e["cluster_cell_hitsTruthE"] = [[rng.uniform(-0.1, 1, n).astype("f4").tolist() for n in c] for c in lengths]
    e["truthPartPdgId"] = rng.choice([211, 111, 22, -11], n_particles).tolist()
    e["truthPartE"] = rng.uniform(1, 50, n_particles).astype("f4").tolist()
    e["truthPartEta"], e["truthPartPhi"] = (rng.uniform(-1.2, 1.2, (2, n_particles)).astype("f4")).tolist()
    e["truthPartPt"] = [p / math.cosh(eta) for p, eta in zip(e["truthPartE"], e["truthPartEta"], strict=True)]
    e["trackPt"] = rng.uniform(0.5, 20, n_tracks).astype("f4").tolist()
    e["trackEta"], e["trackPhi"] = rng.uniform(-1.2, 1.2, (2, n_tracks)).astype("f4").tolist()
    e["trackTruthParticleIndex"] = rng.integers(-1, n_particles, n_tracks).tolist()
    for name in (*LAYERS, "FCAL0"):
        crossed = rng.random(n_tracks) < 0.6
        for a in ("Eta", "Phi"):
            angle = np.where(crossed, rng.uniform(0.1, 1.2, n_tracks), NONE)
            e[f"track{a}_{name}"] = angle.astype("f4").tolist()
    return e


def raw_geometry(rng, n_cells=60, **more):
    cells = {
        "cell_geo_ID": 1000 + 7 * np.arange(n_cells),
        "cell_geo_eta": rng.uniform(-1.5, 1.5, n_cells),
        "cell_geo_phi": rng.uniform(-3, 3, n_cells),
        "cell_geo_rPerp": rng.uniform(1400, 3900, n_cells),
        "cell_geo_sampling": rng.integers(0, 21, n_cells),
        "cell_geo_sigma": rng.uniform(0.01, 0.1, n_cells),
    }
    turn = rng.permutation(n_cells)
    return {name: value[turn] for name, value in (cells | more).items()}


def nested(values, depth, kind):
    """Lists as an array of the type wanted, empty ones too."""
    counts = []
    for _ in range(depth):
        counts.append([len(v) for v in values])
        values = [x for v in values for x in v]
    array = ak.Array(np.array(values, kind))
    for n in reversed(counts):
        array = ak.unflatten(array, np.array(n, np.int64))
    return array


def store(path, entries=None, geometry=None, drop=()):
    with uproot.recreate(path) as file:
        if entries is not None:
            columns = {n: nested([e[n] for e in entries], *how) for n, how in BRANCHES.items() if n not in drop}
            file.mkrntuple("EventTree", columns)
        if geometry is not None:
            geometry = {n: v for n, v in geometry.items() if n not in drop}
            tree = file.mktree("CellGeo", {n: f"var * {v.dtype}" for n, v in geometry.items()})
            tree.extend({n: ak.unflatten(v, [len(v)]) for n, v in geometry.items()})


def streamed(value, depth, kind):
    """The bytes of a std::vector inside vectors as ROOT streams them: header of the outermost, sizes, values."""

    def inner(v, depth):
        if depth == 0:
            return np.array(v, np.dtype(kind).newbyteorder(">")).tobytes()
        return len(v).to_bytes(4, "big") + b"".join(inner(x, depth - 1) for x in v)

    content = (9).to_bytes(2, "big") + inner(value, depth)
    return (len(content) | 0x40000000).to_bytes(4, "big") + content


class Vectors:
    """Stands for the class name that a tree written by ROOT gives for its branches of nested vectors."""

    types: ClassVar = {"i8": "long", "i4": "int", "f4": "float"}

    def __new__(cls, branch, context, simplify):
        depth, kind = BRANCHES[branch.name]
        name = "vector<" * depth + cls.types[kind] + " >" * depth
        how = {"outer_header": True, "inner_header": False, "string_header": False}
        model = uproot.interpretation.identify.parse_typename(name, file=branch.file, **how)
        return uproot.interpretation.objects.AsObjects(model, branch).simplify()

    @staticmethod
    def match_branch(branch, context, simplify):
        return branch.name in BRANCHES and BRANCHES[branch.name][0] > 0


def test_trees_of_nested_vectors_read_as_well(tmp_path, sample, monkeypatch):
    """What std::vector branches of a TTree hold, streamed by hand, gives the same events as the RNTuple."""
    entries, geometry = sample
    store(tmp_path / "a.root", entries, geometry)
    columns = {
        n: np.array([e[n] for e in entries], kind)
        if depth == 0
        else [np.frombuffer(streamed(e[n], depth, kind), np.uint8) for e in entries]
        for n, (depth, kind) in BRANCHES.items()
    }
    columns = {n: ak.Array(c) for n, c in columns.items()}
    with uproot.recreate(tmp_path / "b.root") as file:
        types = {n: "var * uint8" if depth else kind for n, (depth, kind) in BRANCHES.items()}
        file.mktree("EventTree", types).extend(columns)
    monkeypatch.setattr(uproot.interpretation.identify, "_registered_interpretations", {Vectors})
    events = MltreeEvents(tmp_path / "b.root", geometry=tmp_path / "a.root", step_size=4)
    assert events._handle.classname == "TTree"
    assert events._handle["cluster_cell_hitsTruthE"].typename == "std::vector<std::vector<std::vector<float>>>"
    for a, b in zip(read(tmp_path / "a.root"), events, strict=True):
        for name in ("energy", "position", "layer", "particle_id"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        for group in ("deposits", "particles", "tracks"):
            for x, y in zip(vars(getattr(a, group)).values(), vars(getattr(b, group)).values(), strict=True):
                np.testing.assert_array_equal(x, y)


def place(eta, phi, r_mm):
    return [r_mm / 10 * math.cos(phi), r_mm / 10 * math.sin(phi), r_mm / 10 * math.sinh(eta)]


def read_slowly(e, geometry, shared="add"):
    """Twin of the reader: dictionaries, cell by cell, from the entry as lists."""
    where = {int(c): i for i, c in enumerate(geometry["cell_geo_ID"])}
    energy, deposits = {}, {}
    for k, cluster in enumerate(e["cluster_cell_ID"]):
        for j, cell in enumerate(cluster):
            new = cell not in energy
            energy[cell] = energy.get(cell, 0.0) + e["cluster_cell_E"][k][j]
            if shared == "once" and not new:
                continue
            truth = zip(e["cluster_cell_hitsTruthIndex"][k][j], e["cluster_cell_hitsTruthE"][k][j], strict=True)
            for particle, left in truth:
                if left > 0:
                    pair = (list(energy).index(cell), particle)
                    deposits[pair] = deposits.get(pair, 0.0) + left
    rows = [where[c] for c in energy]
    position = [place(*(float(geometry[f"cell_geo_{n}"][i]) for n in ("eta", "phi", "rPerp"))) for i in rows]
    layer = [int(geometry["cell_geo_sampling"][i]) for i in rows]
    return list(energy.values()), position, layer, dict(sorted(deposits.items()))


@pytest.fixture
def sample():
    rng = np.random.default_rng(3)
    shape = [(3, 2), (1, 0), (0, 1), (5, 3), (2, 4), (0, 0)]
    return [raw_event(rng, 70 + i, c, t) for i, (c, t) in enumerate(shape)], raw_geometry(rng)


@pytest.mark.parametrize("shared", ["add", "once"])
def test_equals_the_twin(tmp_path, sample, shared):
    entries, geometry = sample
    store(tmp_path / "a.root", entries, geometry)
    events = read(tmp_path / "a.root", shared_truth=shared, step_size=4)
    assert len(events) == 6
    repeated = 0
    for e, event in zip(entries, events, strict=True):
        energy, position, layer, deposits = read_slowly(e, geometry, shared)
        repeated += sum(map(len, e["cluster_cell_ID"])) - len(energy)
        assert (event.number, event.detector) == (e["eventNumber"], "atlas")
        np.testing.assert_allclose(event.energy, energy, rtol=1e-6)
        np.testing.assert_allclose(event.position, np.reshape(position, (-1, 3)), rtol=1e-6, atol=1e-4)
        assert event.layer.tolist() == layer
        d = event.deposits
        assert list(zip(d.hit.tolist(), d.particle.tolist(), strict=True)) == list(deposits)
        np.testing.assert_allclose(d.energy, list(deposits.values()), rtol=1e-6)
        np.testing.assert_array_equal(event.particles.pdg_id, e["truthPartPdgId"])
        np.testing.assert_allclose(event.particles.energy, e["truthPartE"])
        np.testing.assert_allclose(np.linalg.norm(event.particles.direction, axis=1), 1, rtol=1e-6)
        for i in range(e["nTrack"]):
            eta, phi, pt = e["trackEta"][i], e["trackPhi"][i], e["trackPt"][i]
            vector = np.array([pt * math.cos(phi), pt * math.sin(phi), pt * math.sinh(eta)])
            np.testing.assert_allclose(event.tracks.momentum[i] * event.tracks.direction[i], vector, rtol=1e-5)
            points = {}
            for name in LAYERS:
                eta, phi = e[f"trackEta_{name}"][i], e[f"trackPhi_{name}"][i]
                got = event.tracks.crossing[i, ATLAS_LAYERS[name].number - 1]
                if eta < -1e5:
                    assert np.isnan(got).all()
                    continue
                r = NAMES[name] if name != "EME2" else 398.368 / math.sinh(eta)
                points[name] = place(eta, phi, 10 * r)
                np.testing.assert_allclose(got, points[name], rtol=1e-5)
            assert np.isfinite(event.tracks.crossing[i]).all(axis=1).sum() == len(points)
            if points:
                nearest = min(points.values(), key=np.linalg.norm)
                np.testing.assert_allclose(event.tracks.entry[i], nearest, rtol=1e-5)
        assert event.tracks.particle.tolist() == e["trackTruthParticleIndex"]
    assert repeated > 5


def test_surfaces_are_those_of_the_detector():
    assert {name: (s.number, s.fixed, round(s.at, 6)) for name, s in ATLAS_LAYERS.items()} == {
        "EMB1": (1, "r", 153.218), "EMB2": (2, "r", 172.389), "EMB3": (3, "r", 192.302),
        "EME1": (5, "z", 379.003), "EME2": (6, "z", 398.368), "EME3": (7, "z", 419.584),
        "HEC0": (8, "z", 446.125), "HEC1": (9, "z", 486.95), "HEC2": (10, "z", 542.45), "HEC3": (11, "z", 590.5),
        "TileBar0": (12, "r", 245.0), "TileBar1": (13, "r", 299.5), "TileBar2": (14, "r", 363.0),
        "TileGap1": (15, "r", 321.5), "TileGap2": (16, "r", 363.0), "TileGap3": (17, "r", 224.65),
        "TileExt0": (18, "r", 245.0), "TileExt1": (19, "r", 287.0), "TileExt2": (20, "r", 348.0),
    }  # fmt: skip


def test_layers_by_position_where_the_geometry_does_not_name_them():
    points, numbers = [], []
    for name, surface in ATLAS_LAYERS.items():
        low, high = EXTENT[name.rstrip("0123456789")]
        other = (low + high) / 2 if not name.startswith("TileGap") else 305.0
        for sign in (1, -1):
            along = (surface.at, other) if surface.fixed == "r" else (other, surface.at)
            points.append([0.6 * along[0] + 0.1, -0.8 * along[0], sign * along[1]])
            numbers.append(surface.number)
    assert nearest_layers(points).tolist() == numbers
    assert nearest_layers([[10, 0, 0], [0, 900, 0]]).tolist() == [0, 0]


def test_a_case_by_hand(tmp_path):
    """Two clusters share cell 8; cell 9 is noise; truth particle 1 leaves 3 of the 4 GeV in cell 8."""
    e = raw_event(np.random.default_rng(0), 5, 0, 0, 2)
    e["cluster_cell_ID"], e["cluster_cell_E"] = [[8, 9], [7, 8]], [[2.0, -0.5], [1.0, 3.0]]
    e["cluster_cell_hitsTruthIndex"] = [[[0, 1], []], [[0], [1]]]
    e["cluster_cell_hitsTruthE"] = [[[1.0, 2.0], []], [[5.0], [1.0]]]
    columns = {"eta": [0.0, 0.0, 1.0], "phi": [0.0, np.pi / 2, 0.0], "rPerp": [1000.0, 2000.0, 3000.0]}
    geometry = {f"cell_geo_{n}": np.array(c) for n, c in ({"ID": [9, 7, 8]} | columns).items()}
    store(tmp_path / "a.root", [e], geometry)
    event = read(tmp_path / "a.root")[0]
    assert event.energy.tolist() == [5.0, 1.0]
    np.testing.assert_allclose(event.position, [[300, 0, 300 * math.sinh(1)], [0, 200, 0]], atol=1e-4)
    assert event.deposits.hit.tolist() == [0, 0, 1]
    assert event.deposits.particle.tolist() == [0, 1, 0]
    assert event.deposits.energy.tolist() == [1.0, 3.0, 5.0]
    assert event.particle_id.tolist() == [1, 0]
    assert event.layer.tolist() == [19, 3]  # TileExt1, EMB3: the nearest ones, as the geometry names none
    kept = read(tmp_path / "a.root", negative="zero")[0]
    assert kept.energy.tolist() == [5.0, 0.0, 1.0]
    assert read_labels(tmp_path / "a.root")[0].tolist() == [1, 1]
    assert np.isnan(MltreeEvents(tmp_path / "a.root").geometry.sigma).all()


def test_geometry_is_matched_by_number_and_not_by_order(tmp_path, sample):
    entries, geometry = sample
    store(tmp_path / "a.root", entries, geometry)
    turned = {name: value[::-1] for name, value in geometry.items()}
    store(tmp_path / "b.root", entries, turned)
    store(tmp_path / "c.root", entries)
    events = read(tmp_path / "c.root", geometry=tmp_path / "b.root")
    for a, b, c in zip(read(tmp_path / "a.root"), read(tmp_path / "b.root"), events, strict=True):
        np.testing.assert_array_equal(a.position, b.position)
        np.testing.assert_array_equal(a.position, c.position)
    with pytest.raises(FormatError, match=r"c.root has no tree CellGeo: give the file that has it as geometry="):
        read(tmp_path / "c.root")[0]


def test_long_numbers_signed_or_not(tmp_path, sample):
    """Beyond 2^53, where a comparison in floating point would take neighbours for each other."""
    entries, geometry = sample
    store(tmp_path / "a.root", entries, geometry)
    numbers = {int(c): 2**60 + i for i, c in enumerate(geometry["cell_geo_ID"])}
    for e in entries:
        e["cluster_cell_ID"] = [[numbers[c] for c in cluster] for cluster in e["cluster_cell_ID"]]
    geometry["cell_geo_ID"] = np.array(list(numbers.values()), np.uint64)
    store(tmp_path / "b.root", entries, geometry)
    for a, b in zip(read(tmp_path / "a.root"), read(tmp_path / "b.root"), strict=True):
        np.testing.assert_array_equal(a.position, b.position)
    cells = MltreeEvents(tmp_path / "b.root").geometry
    np.testing.assert_array_equal(cells.sigma, geometry["cell_geo_sigma"])
    np.testing.assert_array_equal(cells.rows(cells.cell[::-1]), np.arange(60)[::-1])


def test_files_without_truth_or_tracks(tmp_path, sample):
    entries, geometry = sample
    truth = [name for name in BRANCHES if "ruth" in name]
    store(tmp_path / "a.root", entries, geometry, drop=truth)
    event = read(tmp_path / "a.root")[0]
    assert (event.n_particles, event.has_deposits, event.tracks.particle.tolist()) == (0, False, [-1, -1])
    store(tmp_path / "b.root", entries, geometry, drop=[name for name in BRANCHES if name.startswith("track")])
    assert read(tmp_path / "b.root")[0].tracks is None
    store(tmp_path / "c.root", entries, geometry, drop=["eventNumber", *(f"trackEta_{name}" for name in LAYERS)])
    events = read(tmp_path / "c.root")
    assert [e.number for e in events] == list(range(6))
    for event, e in zip(events, entries, strict=True):  # nothing is known of the layers: straight to the first
        assert event.tracks.crossing is None
        np.testing.assert_allclose(np.hypot(*event.tracks.entry.T[:2]), [153.218] * e["nTrack"], rtol=1e-6)
        np.testing.assert_allclose(
            event.tracks.entry / np.linalg.norm(event.tracks.entry, axis=1)[:, None], event.tracks.direction, atol=1e-6
        )
    store(tmp_path / "d.root", entries, geometry, drop=["trackEta"])
    with pytest.raises(FormatError, match="EventTree has trackPt, but lacks trackEta"):
        read(tmp_path / "d.root")[0]


def change(name, value):
    def apply(entries, geometry):
        at = entries[3]
        *inner, last = name[1:] or (None,)
        target = at[name[0]]
        for i in inner:
            target = target[i]
        if last is not None:
            target[last] = value

    return apply


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (("cluster_cell_ID", 0, 0), 99, "entry 3: cluster_cell_ID 99 is not among the 60 cells of the tree CellGeo"),
        (("cluster_cell_E", 0, 0), np.nan, "entry 3: cluster_cell_E of cell .* is nan, expected a finite energy"),
        (("cluster_cell_E", 1), [1.0], "entry 3: cluster_cell_E has 1 cells in a cluster, but cluster_cell_ID has"),
        (("cluster_cell_hitsTruthIndex", 0, 0), [9], "entry 3: truth of cell .* is cluster_cell_hitsTruthIndex 9"),
        (("cluster_cell_hitsTruthE", 0, 0), [1.0] * 9, "entry 3: cluster_cell_hitsTruthE has 9 truth particles in"),
        (("trackPt", 1), np.inf, "entry 3: trackPt of track 1 is inf"),
        (("trackTruthParticleIndex", 0), 4, r"entry 3: .*tracks.particle names a particle outside -1..3"),
        (("truthPartE",), None, None),
    ],
)  # fmt: skip
def test_bad_values_name_their_event(tmp_path, sample, name, value, message):
    entries, geometry = sample
    entries[3]["cluster_cell_hitsTruthE"][0][0] = [1.0]
    entries[3]["cluster_cell_hitsTruthIndex"][0][0] = [1]
    change(name, value)(entries, geometry)
    store(tmp_path / "a.root", entries, geometry)
    events = read(tmp_path / "a.root", step_size=1)
    assert events[2] is not None
    if message is None:
        assert events[3].n_hits
        return
    with pytest.raises(FormatError, match=message):
        events[3]


def test_truth_lists_may_be_longer_but_not_shorter(tmp_path, sample):
    entries, geometry = sample
    for name in ("cluster_cell_hitsTruthE", "cluster_cell_hitsTruthIndex"):
        entries[4][name][0] = []
    store(tmp_path / "a.root", entries, geometry)
    with pytest.raises(
        FormatError, match=r"entry 4: cluster_cell_hitsTruthIndex has 0 cells in a cluster, but cluster_cell_ID"
    ):
        read(tmp_path / "a.root")[4]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("cell_geo_ID", 1000, "cell_geo_ID 1000 appears more than once in the tree CellGeo"),
        ("cell_geo_eta", np.nan, "cell_geo_ID .* has eta nan, .* expected finite values"),
    ],
)
def test_bad_geometry(tmp_path, sample, column, value, message):
    entries, geometry = sample
    geometry[column][:2] = value
    store(tmp_path / "a.root", entries, geometry)
    with pytest.raises(FormatError, match=f"a.root: {message}"):
        read(tmp_path / "a.root")[0]
    store(tmp_path / "b.root", entries, geometry, drop=["cell_geo_phi"])
    with pytest.raises(FormatError, match=r"b.root: tree CellGeo lacks the branches cell_geo_phi"):
        read(tmp_path / "b.root")[0]
    with uproot.recreate(tmp_path / "c.root") as file:
        file.mktree("CellGeo", dict.fromkeys(geometry, "var * float64"))
    with pytest.raises(FormatError, match=r"c.root: tree CellGeo is empty"):
        read(tmp_path / "a.root", geometry=tmp_path / "c.root")[0]


def test_nesting_and_branches_that_are_wrong(tmp_path, sample):
    entries, geometry = sample
    with uproot.recreate(tmp_path / "a.root") as file:
        file.mkrntuple("EventTree", {n: nested([[1.0]], 1, "f8") for n in ("cluster_cell_ID", "cluster_cell_E")})
    with pytest.raises(FormatError, match=r"branch cluster_cell_ID has .* per event, expected lists 2 deep"):
        read(tmp_path / "a.root")[0]
    store(tmp_path / "b.root", entries, geometry, drop=["cluster_cell_E"])
    with pytest.raises(FormatError, match=r"b.root: tree EventTree lacks the branches cluster_cell_E"):
        read(tmp_path / "b.root")


def test_options_that_are_wrong(tmp_path, sample):
    store(tmp_path / "a.root", *sample)
    options = {"negative": "keep", "shared_truth": "twice", "step_size": "1 MB", "cache": 0}
    for option, value in options.items():
        with pytest.raises(ValueError, match=f"{option} is"):
            read(tmp_path / "a.root", **{option: value})
    assert read(tmp_path / "a.root", detector="mine")[0].detector == "mine"


def test_opening_reads_no_event(tmp_path, sample, monkeypatch):
    store(tmp_path / "a.root", *sample)
    monkeypatch.setattr(reader, "read_nested", lambda *_: pytest.fail("events were read"))
    monkeypatch.setattr(reader, "read_geometry", lambda *_: pytest.fail("the geometry was read"))
    assert len(read(tmp_path / "a.root")) == 6
