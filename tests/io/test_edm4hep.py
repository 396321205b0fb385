import os
from pathlib import Path
from types import SimpleNamespace

import awkward as ak
import numpy as np
import pytest
import uproot

import cmlflow.io.edm4hep as module
from cmlflow.io import FormatError, read
from cmlflow.io.edm4hep import Edm4hepEvents, primaries

external = pytest.mark.skipif("CMLFLOW_EXTERNAL_DATA" not in os.environ, reason="CMLFLOW_EXTERNAL_DATA is not set")


class Tree(dict):
    """Branches in memory that answer as uproot's trees do."""

    def __init__(self, columns, types):
        super().__init__({name: self.branch(name, values) for name, values in columns.items()})
        tops = dict.fromkeys(name.split("/")[0] for name in columns)
        self.branches = [SimpleNamespace(name=name, typename=types.get(name, "other")) for name in tops]
        self.num_entries = len(next(iter(columns.values())))

    @staticmethod
    def branch(name, values):
        whole = not any(part in name for part in (".energy", "position", ".time"))
        array = ak.values_astype(ak.Array(values), np.int64 if whole else np.float32)

        def read(entry_start=None, entry_stop=None):
            return array[entry_start:entry_stop]

        return SimpleNamespace(typename="list", uncompressed_bytes=100, array=read)

    def __contains__(self, name):
        return super().__contains__(name) or any(key.startswith(f"{name}/") for key in self)


def columns(layout="new", truth=True):
    """Two events; event 0: three ECal hits and one HCal hit, a primary (1) with a descendant (3) and another (2)."""
    hits = {
        "ECal/ECal.cellID": [[3 << 4, 5 << 4, 6 << 4], []],
        "ECal/ECal.energy": [[3.0, 2.0, 0.5], []],
        "ECal/ECal.position.x": [[10.0, 20.0, 30.0], []],
        "ECal/ECal.position.y": [[0.0, 0.0, 0.0], []],
        "ECal/ECal.position.z": [[100.0, 100.0, 100.0], []],
        "ECal/ECal.contributions_begin": [[0, 3, 4], []],
        "ECal/ECal.contributions_end": [[3, 4, 4], []],
        "HCal/HCal.cellID": [[1 << 4], [2 << 4]],
        "HCal/HCal.energy": [[7.0], [8.0]],
        "HCal/HCal.position.x": [[-10.0], [1.0]],
        "HCal/HCal.position.y": [[5.0], [1.0]],
        "HCal/HCal.position.z": [[200.0], [1.0]],
        "HCal/HCal.contributions_begin": [[0], [0]],
        "HCal/HCal.contributions_end": [[1], [1]],
        "ECalContributions/ECalContributions.energy": [[1.5, 0.5, 1.0, 2.0], []],
        "HCalContributions/HCalContributions.energy": [[7.0], [8.0]],
    }
    links = {
        ("ECal", "contributions", 0): ([[2, 1, 0, 3], []], [[9] * 4, []]),
        ("HCal", "contributions", 0): ([[0], [0]], [[9], [9]]),
        ("ECalContributions", "particle", 0): ([[1, 3, 2, 2], []], [[1] * 4, []]),
        ("HCalContributions", "particle", 0): ([[4], [-2]], [[1], [0]]),
    }
    types = {"ECal": "SimCalorimeterHit", "HCal": "SimCalorimeterHit"}
    types |= {"ECalContributions": "CaloHitContribution", "HCalContributions": "CaloHitContribution"}
    if truth:
        # 0 a beam particle, 1 and 2 primaries of it, 3 made by 1, 4 made by 3
        hits |= {
            "MCParticles/MCParticles.PDG": [[2212, 211, 22, 11, 2112], [13]],
            "MCParticles/MCParticles.generatorStatus": [[4, 1, 1, 0, 0], [1]],
            "MCParticles/MCParticles.mass": [[0, 0, 0, 0, 0], [0]],
            "MCParticles/MCParticles.momentum.x": [[0, 3, 0, 0, 0], [0]],
            "MCParticles/MCParticles.momentum.y": [[0, 4, 0, 0, 0], [0]],
            "MCParticles/MCParticles.momentum.z": [[0, 0, 2, 0, 0], [1]],
            "MCParticles/MCParticles.parents_begin": [[0, 0, 1, 2, 3], [0]],
            "MCParticles/MCParticles.parents_end": [[0, 1, 2, 3, 4], [0]],
        }
        links[("MCParticles", "parents", 0)] = ([[0, 0, 1, 3], []], [[1] * 4, []])
        types["MCParticles"] = "MCParticle"
    for (collection, member, number), (index, ids) in links.items():
        name = f"_{collection}_{member}" if layout == "new" else f"{collection}#{number}"
        hits |= {f"{name}/{name}.index": index, f"{name}/{name}.collectionID": ids}
    return hits, {name: f"vector<edm4hep::{kind}Data>" for name, kind in types.items()}


@pytest.fixture
def opened(tmp_path, monkeypatch):
    path = tmp_path / "a.root"
    path.write_bytes(b"root")

    def reader(hits, types, ids=None, told=None, **options):
        monkeypatch.setattr(module, "open_tree", lambda *_: Tree(hits, types))
        monkeypatch.setattr(module, "open_root", lambda _: open(path, "rb"))  # noqa: SIM115
        monkeypatch.setattr(module, "collection_ids", lambda _: ids or {})
        monkeypatch.setattr(module, "encodings", lambda *_: told or {})
        return Edm4hepEvents(path, **options)

    return reader


@pytest.mark.parametrize("layout", ["new", "old"])
def test_contributions_go_to_primaries(opened, layout):
    events = opened(*columns(layout), ids={"MCParticles": 1}, told={"ECal": "system:4,layer:6"})
    first, second = events
    np.testing.assert_allclose(first.position, [[1, 0, 10], [2, 0, 10], [3, 0, 10], [-1, 0.5, 20]])
    assert first.energy.tolist() == [3, 2, 0.5, 7]
    assert first.layer.tolist() == [3, 5, 6, 0]  # no encoding of the HCal is known
    # contributions of hit 0 are entries 2, 1, 0: particles 2 (1.0), 3 -> 1 (0.5), 1 (1.5)
    d = first.deposits
    assert list(zip(d.hit, d.particle, d.energy, strict=True)) == [
        (0, 0, 2.0),
        (0, 1, 1.0),
        (1, 1, 2.0),
        (2, -1, 0.5),
        (3, 0, 7.0),
    ]
    assert first.particle_id.tolist() == [0, 1, -1, 0]
    assert first.particles.pdg_id.tolist() == [211, 22]
    assert first.particles.energy.tolist() == [5, 2]
    np.testing.assert_allclose(first.particles.direction, [[0.6, 0.8, 0], [0, 0, 1]], rtol=1e-6)
    assert second.particle_id.tolist() == [-1]
    assert second.particles.pdg_id.tolist() == [13]  # a primary that left nothing is still a particle of the event
    assert (first.number, second.number, first.detector) == (0, 1, "edm4hep")


def test_without_particles_the_numbers_are_the_particles(opened):
    first, second = opened(*columns(truth=False))
    assert first.n_particles == 4
    assert first.deposits.particle.tolist() == [0, 1, 2, 1, -1, 3]
    assert np.isnan(first.particles.energy).all()
    assert second.n_particles == 0


def test_links_into_another_collection_are_unknown(opened):
    with pytest.warns(UserWarning, match="no truth is found: the contributions name particles of another collection"):
        first, _ = opened(*columns(), ids={"MCParticles": 77})
    assert first.particle_id.tolist() == [-1] * 4
    assert first.n_particles == 2


def test_of_several_collections_of_particles_the_one_that_is_named(opened):
    hits, types = columns()
    hits |= {
        n.replace("MCParticles", "Skimmed"): [v[0][:1], []] for n, v in hits.items() if n.startswith("MCParticles/")
    }
    types["Skimmed"] = types["MCParticles"].replace("MCParticles", "Skimmed")
    renamed = {n.replace("MCParticles", "Made").replace("Skimmed", "MCParticles"): v for n, v in hits.items()}
    kinds = {n.replace("MCParticles", "Made").replace("Skimmed", "MCParticles"): k for n, k in types.items()}
    first, _ = opened(renamed, kinds, ids={"MCParticles": 12, "Made": 1})
    assert first.particle_id.tolist() == [0, 1, -1, 0]
    assert first.particles.pdg_id.tolist() == [211, 22]


def reconstructed(kind, ends):
    """Two reconstructed hits: links to both primaries with weights 1 and 3, and to one of another collection."""
    hits, types = columns()
    hits |= {
        "Digi/Digi.cellID": [[7 << 4, 2 << 4], []],
        "Digi/Digi.energy": [[8.0, 2.0], []],
        "Digi/Digi.time": [[5.5, 7.0], []],
        **{f"Digi/Digi.position.{axis}": [[10.0, 20.0], []] for axis in "xyz"},
        "Link/Link.weight": [[1.0, 3.0, 2.0, 1.0], []],
        f"{ends[0]}/{ends[0]}.index": [[0, 0, 1, 0], []],
        f"{ends[0]}/{ends[0]}.collectionID": [[50, 50, 50, 99], []],
        f"{ends[1]}/{ends[1]}.index": [[1, 2, 4, 1], []],
        f"{ends[1]}/{ends[1]}.collectionID": [[1, 1, 98, 1], []],
    }
    return hits, types | {"Digi": "vector<edm4hep::CalorimeterHitData>", "Link": kind}


@pytest.mark.parametrize(
    ("kind", "ends"),
    [
        ("std::vector<podio::LinkData>", ("_Link_from", "_Link_to")),
        ("vector<edm4hep::MCRecoCaloParticleAssociationData>", ("Link#0", "Link#1")),
        ("vector<edm4hep::MCRecoCaloParticleAssociationData>", ("_Link_rec", "_Link_sim")),
    ],
)
def test_reconstructed_hits_and_their_links(opened, kind, ends):
    how = {"ids": {"Digi": 50, "MCParticles": 1}, "told": {"Digi": "system:4,layer:6"}}
    first, second = opened(*reconstructed(kind, ends), collections=["Digi"], **how)
    assert (first.energy.tolist(), first.layer.tolist()) == ([8, 2], [7, 2])
    assert first.features["time"].tolist() == [5.5, 7.0]
    d = first.deposits
    assert list(zip(d.hit.tolist(), d.particle.tolist(), d.energy.tolist(), strict=True)) == [
        (0, 0, 2.0), (0, 1, 6.0), (1, -1, 2.0),
    ]  # fmt: skip
    assert second.n_hits == 0
    both = opened(*reconstructed(kind, ends), collections=["ECal", "Digi"], **how)[0]
    assert both.energy.tolist() == [3, 2, 0.5, 8, 2]
    assert both.particle_id.tolist() == [0, 1, -1, 1, -1]
    hits, types = reconstructed(kind, ends)
    hits[f"{ends[1]}/{ends[1]}.collectionID"] = [[98] * 4, []]
    with pytest.warns(UserWarning, match="no truth is found: no link leads from Digi to MCParticles"):
        assert opened(hits, types, collections=["Digi"], **how)[0].particle_id.tolist() == [-1, -1]
    hits, types = reconstructed(kind, ends)
    hits[f"{ends[0]}/{ends[0]}.index"] = [[0, 9, 1, 0], []]
    with pytest.raises(FormatError, match="names hit 9, but Digi has 2"):
        opened(hits, types, collections=["Digi"], **how)[0]


def test_collections_and_encoding_of_the_caller(opened):
    events = opened(*columns(), collections=["HCal"], encoding="system:4,layer:6", detector="clic")
    assert [e.layer.tolist() for e in events] == [[1], [2]]
    assert events[0].detector == "clic"
    with pytest.raises(FormatError, match="has no SimCalorimeterHit collection Muon; it has ECal, HCal"):
        opened(*columns(), collections=["Muon"])


def test_times_and_any_names_of_collections(opened):
    """The contributions of both calorimeters lie in collections that relations name by number, one of them shared."""
    hits, types = columns()
    steps = {name.replace("ECalContributions", "Steps"): values for name, values in hits.items()}
    steps["Steps/Steps.time"] = [[5.0, 6.0, 8.0, 1.0], []]
    steps["HCalContributions/HCalContributions.time"] = [[3.0], [np.nan]]
    number = "_ECal_contributions/_ECal_contributions.collectionID"
    steps[number], steps[number.replace("ECal", "HCal")] = [[30, 30, 30, 40], []], [[40], [40]]
    steps["_ECal_contributions/_ECal_contributions.index"] = [[2, 1, 0, 0], []]
    kinds = {name.replace("ECalContributions", "Steps"): kind for name, kind in types.items()}
    first, second = opened(steps, kinds, ids={"Steps": 30, "HCalContributions": 40, "MCParticles": 1})
    d = first.deposits
    assert list(zip(d.hit, d.particle, d.energy, strict=True)) == [
        (0, 0, 2.0), (0, 1, 1.0), (1, 0, 7.0), (2, -1, 0.5), (3, 0, 7.0),
    ]  # fmt: skip
    wanted = [(8 * 1 + 6 * 0.5 + 5 * 1.5) / 3, 3, np.nan, 3]
    np.testing.assert_allclose(first.features["time"], wanted, rtol=1e-6)
    assert np.isnan(second.features["time"]).all()


@pytest.mark.parametrize(
    ("dropped", "renamed", "ids", "message"),
    [
        ("Contributions", {}, {}, "has MCParticles, but no truth is found: there are no contributions to hits"),
        ("_contributions/", {}, {}, "no relation leads from ECal, HCal to contributions"),
        ("Contributions_particle/", {}, {}, "no relation leads from ECalContributions, HCalContributions to particles"),
        ("", {"ECalContributions": "A", "HCalContributions": "B"}, {}, "ECal, HCal lead to none of the stored"),
        ("", {}, {"ECalContributions": 1, "HCalContributions": 2}, "ECal, HCal lead to none of the stored"),
    ],
)
def test_truth_to_which_nothing_leads_is_told(opened, dropped, renamed, ids, message):
    hits, types = columns()

    def name_of(name):
        for old, new in renamed.items():
            name = name.replace(old, new)
        return name

    hits = {name_of(name): values for name, values in hits.items() if not (dropped and dropped in name)}
    types = {name_of(n): k for n, k in types.items() if any(c.startswith(f"{name_of(n)}/") for c in hits)}
    events = opened(hits, types, ids=ids)
    with pytest.warns(UserWarning, match=message) as said:
        assert [e.particle_id.tolist() for e in events] == [[-1] * 4, [-1]]
    assert len(said) == 1


def test_rntuples_of_podio(tmp_path):
    """A frame as podio writes it into RNTuples: lists of records, relations beside them."""
    hits, _ = columns()
    records = {}
    for name in dict.fromkeys(name.split("/")[0] for name in hits):
        leaves = {n.split(f"{name}.", 1)[1]: v for n, v in hits.items() if n.startswith(f"{name}/")}
        fields = {}
        for leaf, values in leaves.items():
            whole = leaf.rpartition("_")[2] in ("begin", "end") or leaf in (
                "cellID",
                "PDG",
                "generatorStatus",
                "index",
                "collectionID",
            )
            array = ak.values_astype(ak.Array(values), np.int64 if whole else np.float32)
            fields.setdefault(leaf.split(".")[0], {})[leaf.partition(".")[2]] = array
        records[name] = ak.zip({n: ak.zip(f) if "" not in f else f[""] for n, f in fields.items()}, depth_limit=2)
    # uproot writes no class names: the types of the collections are told by the metadata
    kinds = {"ECal": "SimCalorimeterHit", "HCal": "SimCalorimeterHit", "MCParticles": "MCParticle"}
    kinds |= {"ECalContributions": "CaloHitContribution", "HCalContributions": "CaloHitContribution"}
    names = {"ECalContributions": 90, "HCalContributions": 91, "MCParticles": 1, "ECal": 3, "HCal": 4}
    table = {"name": [list(names)], "collectionID": [list(names.values())]}
    table["dataType"] = [[f"edm4hep::{kinds[name]}Collection" for name in names]]
    for name, number in (("_ECal_contributions", 90), ("_HCal_contributions", 91)):
        records[name]["collectionID"] = ak.full_like(records[name]["collectionID"], number)
    with uproot.recreate(tmp_path / "a.root") as file:
        file.mkrntuple("events", records)
        file.mkrntuple("podio_metadata", {"events___CollectionTypeInfo": ak.zip(table)})
    first, second = read(tmp_path / "a.root")
    assert first.energy.tolist() == [3, 2, 0.5, 7]
    assert first.particle_id.tolist() == [0, 1, -1, 0]
    assert first.particles.pdg_id.tolist() == [211, 22]
    assert second.particle_id.tolist() == [-1]


@pytest.mark.parametrize(
    ("branch", "values", "message"),
    [
        ("ECal/ECal.energy", [[3.0, np.nan, 0.5], []], "entry 0: energy of hit 1 of ECal is nan"),
        ("ECal/ECal.energy", [[3.0, -1.0, 0.5], []], "entry 0: energy of hit 1 of ECal is -1"),
        ("ECal/ECal.energy", [[3.0, 2.0], []], r"entry 0: ECal/ECal.energy has 2 values, but ECal/ECal.cellID has 3"),
        ("ECal/ECal.contributions_end", [[3, 4, 9], []], "ECal names contributions up to 9, but has 4"),
        ("_ECal_contributions/_ECal_contributions.index", [[2, 1, 0, 4], []], "ECal names entry 4"),
        ("MCParticles/MCParticles.PDG", [[2212, 211], [13]], "MCParticles"),
        ("_MCParticles_parents/_MCParticles_parents.index", [[0, 0, 1, 30], []], "parent 30, but there are 5"),
    ],
)
def test_damaged(opened, branch, values, message):
    hits, types = columns()
    events = opened(hits | {branch: values}, types, ids={"MCParticles": 1})
    with pytest.raises(FormatError, match=message):
        events[0]


def test_missing_branch(opened):
    hits, types = columns()
    del hits["ECal/ECal.position.y"]
    with pytest.raises(FormatError, match=r"a.root: tree events lacks the branches ECal/ECal.position.y"):
        opened(hits, types)


def test_primaries_equal_the_twin():
    rng = np.random.default_rng(3)
    for n in (0, 1, 2, 40, 400):
        status = rng.choice([0, 0, 0, 1], n)
        parents, begin, end = [], [], []
        for i in range(n):
            begin.append(len(parents))
            parents += rng.integers(0, i, min(i, int(rng.integers(0, 3)))).tolist() if i else []
            end.append(len(parents))
        want = []
        for i in range(n):
            while status[i] != 1 and end[i] > begin[i]:
                i = parents[begin[i]]
            want.append(i)
        arrays = (np.array(a, np.int64) for a in (begin, end, parents))
        np.testing.assert_array_equal(primaries(status, *arrays), want)


def test_primaries_in_a_circle():
    one = np.array([0, 1])
    with pytest.raises(ValueError, match="descends from itself"):
        primaries(np.zeros(3), np.array([0, 1, 2]), np.array([1, 2, 3]), np.array([1, 2, 0]))
    assert primaries(np.ones(2), one, one + 1, np.array([1, 0])).tolist() == [0, 1]


@external
@pytest.mark.parametrize(
    ("name", "hits", "pdg_id", "layers"),
    [
        ("odd_pi_10GeV", [631, 497, 671, 648, 486, 349, 531, 600, 292, 526], 211, 48),
        ("clic_gamma_10GeV", [163, 364, 198], 22, 38),
    ],
)
def test_real_files(name, hits, pdg_id, layers):
    events = read(Path(os.environ["CMLFLOW_EXTERNAL_DATA"]) / "edm4hep" / f"{name}.root")
    assert [e.n_hits for e in events] == hits
    for i, e in enumerate(events):
        assert e.particles.pdg_id.tolist() == [pdg_id]
        d = e.deposits
        total = np.bincount(d.hit, d.energy, e.n_hits)
        np.testing.assert_allclose(total, e.energy, rtol=1e-3, atol=1e-7)
        # the barrel hits of event 1 of the older file were stored without their contributions
        unknown = name.startswith("clic") and i == 1
        assert (e.particle_id == (-1 if unknown else 0)).all()
    assert max(int(e.layer.max()) for e in events) == layers


@external
@pytest.mark.parametrize("name", ["example", "example_rntuple"])
def test_real_files_of_podio_1(name):
    """Made by podio's own tests: every number counts up from the last; in both layouts the same."""
    path = Path(os.environ["CMLFLOW_EXTERNAL_DATA"]) / "edm4hep" / f"{name}.root"
    events = read(path)
    assert len(events) == 3
    for e in events:
        np.testing.assert_allclose(e.position, [[4.4, 4.5, 4.6]], rtol=1e-6)
        assert (e.energy.tolist(), e.features["time"].tolist()) == ([43], [44])
        assert e.deposits.energy.tolist() == [43]
        assert e.particles.pdg_id.tolist() == [80]  # the parent of the particle that the contribution names
    digis = read(path, collections=["CalorimeterHitCollection"])
    for e in digis:
        np.testing.assert_allclose(e.position, [[4.6, 4.7, 4.8]], rtol=1e-6)
        assert (e.energy.tolist(), e.features["time"].tolist()) == ([43], [45])
        assert e.particles.pdg_id.tolist() == [80]
