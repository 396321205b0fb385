"""Tables of one's own: every layout and kind of file gives the same events."""

import csv
import os
import pickle
from pathlib import Path

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot

import cmlflow
from cmlflow import Columns
from cmlflow.io import FormatError, read

external = pytest.mark.skipif("CMLFLOW_EXTERNAL_DATA" not in os.environ, reason="CMLFLOW_EXTERNAL_DATA is not set")

HITS = {
    "hit_x": "f8",
    "hit_y": "f8",
    "hit_z": "f8",
    "hit_e": "f8",
    "hit_layer": "i4",
    "hit_truth": "i8",
    "hit_time": "f4",
}
PARTS = {"part_id": "i8", "part_e": "f8", "part_pdg": "i4", "part_px": "f8", "part_py": "f8", "part_pz": "f8"}
PER_HIT = {
    "position": ("hit_x", "hit_y", "hit_z"), "length": "mm", "energy": "hit_e", "energy_unit": "MeV",
    "layer": "hit_layer", "first_layer": 0, "event": "number", "particle": "hit_truth", "features": ["hit_time"],
    "detector": "mine",
}  # fmt: skip
PER_EVENT = PER_HIT | {
    "particle_number": "part_id", "particle_energy": "part_e", "particle_unit": "MeV", "pdg_id": "part_pdg",
    "particle_direction": ("part_px", "part_py", "part_pz"),
}  # fmt: skip


def rows(seed=0, sizes=(3, 0, 5, 1)):
    """What the table has of each event; particles have numbers of a simulation, one of them leaves no hit."""
    rng = np.random.default_rng(seed)
    out = []
    for i, n in enumerate(sizes):
        numbers = rng.choice(10_000, 3, replace=False)
        row = {name: rng.uniform(1, 9, n).astype(kind) for name, kind in HITS.items()}
        row |= {"hit_truth": np.where(rng.random(n) < 0.2, -1, rng.choice(numbers[:2], n)), "number": 70 + i}
        row |= {name: rng.uniform(1, 9, 3).astype(kind) for name, kind in PARTS.items()} | {"part_id": numbers}
        out.append(row)
    return out


def lists(events, names):
    return {n: ak.values_astype(ak.Array([e[n] for e in events]), np.dtype((HITS | PARTS)[n])) for n in names}


def ttree(path, events):
    with uproot.recreate(path) as file:
        columns = lists(events, HITS | PARTS)
        file.mktree("sim/events", {n: a.type.content for n, a in columns.items()} | {"number": "i4"})
        file["sim/events"].extend(columns | {"number": np.array([e["number"] for e in events])})


def rntuple(path, events):
    with uproot.recreate(path) as file:
        file.mkrntuple("events", lists(events, HITS | PARTS) | {"number": np.array([e["number"] for e in events])})


def parquet(path, events):
    columns = {n: [e[n] for e in events] for n in HITS | PARTS} | {"number": [e["number"] for e in events]}
    pq.write_table(pa.table(columns), path, row_group_size=2)


def hdf5_lists(path, events):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        group = file.create_group("sim/events")
        for name, kind in (HITS | PARTS).items():
            group.create_dataset(name, (len(events),), h5py.vlen_dtype(np.dtype(kind)))[:] = [e[name] for e in events]
        group["number"] = [e["number"] for e in events]


def hdf5_padded(path, events):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        for name in HITS | PARTS:
            file[name] = np.stack([np.pad(e[name], (0, (6 if name in HITS else 3) - len(e[name]))) for e in events])
        file["number"] = [e["number"] for e in events]
        file["n_hits"] = [len(e["hit_e"]) for e in events]


@pytest.mark.parametrize(
    ("write", "count", "tree"),
    [
        (ttree, None, None),
        (ttree, None, "sim/events"),
        (rntuple, None, "events"),
        (parquet, None, None),
        (hdf5_lists, None, None),
        (hdf5_lists, None, "sim/events"),
        (hdf5_padded, "n_hits", None),
    ],
)
@pytest.mark.parametrize("step_size", [1, 3, 256])
def test_one_row_per_event(tmp_path, write, count, tree, step_size):
    given = rows()
    write(tmp_path / "a.data", given)
    columns = Columns(**PER_EVENT, count=count)
    events = read(tmp_path / "a.data", columns=columns, tree=tree, step_size=step_size)
    assert len(events) == 4
    for row, event in zip(given, events, strict=True):
        check_hits(row, event)
        place = {int(number): i for i, number in enumerate(row["part_id"])}
        assert event.particle_id.tolist() == [place.get(int(t), -1) for t in row["hit_truth"]]
        assert event.particles.number.tolist() == row["part_id"].tolist()
        assert event.particles.pdg_id.tolist() == row["part_pdg"].tolist()
        np.testing.assert_allclose(event.particles.energy, row["part_e"] / 1000, rtol=1e-6)
        direction = np.stack([row["part_px"], row["part_py"], row["part_pz"]], axis=1)
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        np.testing.assert_allclose(event.particles.direction, direction, rtol=1e-6)
    assert pickle.loads(pickle.dumps(events))[2] == events[2]


def check_hits(row, event):
    position = np.stack([row["hit_x"], row["hit_y"], row["hit_z"]], axis=1)
    np.testing.assert_allclose(event.position, position / 10, rtol=1e-6)
    np.testing.assert_allclose(event.energy, row["hit_e"] / 1000, rtol=1e-6)
    assert event.layer.tolist() == (row["hit_layer"] + 1).tolist()
    np.testing.assert_array_equal(event.features["time"], row["hit_time"])
    np.testing.assert_array_equal(event.features["hit_time"], row["hit_time"])  # by the name of its column, too
    assert (event.number, event.detector) == (row["number"], "mine")


def flat(events):
    """One row per hit, the particle's kind and energy beside each."""
    columns = {n: np.concatenate([e[n] for e in events]) for n in HITS}
    columns["number"] = np.concatenate([np.full(len(e["hit_e"]), e["number"]) for e in events])
    columns["pdg"] = columns["hit_truth"] % 100
    columns["particle_gev"] = columns["hit_truth"] / 10
    return columns


def flat_csv(path, columns):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow([f" {name} " for name in columns])
        writer.writerows(zip(*(values.tolist() for values in columns.values()), strict=True))


def flat_ttree(path, columns):
    with uproot.recreate(path) as file:
        file["hits"] = columns


def flat_parquet(path, columns):
    pq.write_table(pa.table(columns), path, row_group_size=4)


def flat_hdf5(path, columns):
    h5py = pytest.importorskip("h5py")
    records = np.zeros(len(columns["number"]), [(name, values.dtype) for name, values in columns.items()])
    for name, values in columns.items():
        records[name] = values
    with h5py.File(path, "w") as file:
        file["sim/hits"] = records


@pytest.mark.parametrize(
    ("write", "name"),
    [(flat_csv, "a.csv"), (flat_ttree, "a.root"), (flat_parquet, "a.parquet"), (flat_hdf5, "a.h5")],
)
@pytest.mark.parametrize("shuffled", [False, True])
def test_one_row_per_hit(tmp_path, write, name, shuffled):
    given = [row for row in rows() if len(row["hit_e"])]
    columns = flat(given)
    if shuffled:  # rows of events that do not follow each other: events in the order of their first hit
        order = np.random.default_rng(1).permutation(len(columns["number"]))
        columns = {n: values[order] for n, values in columns.items()}
        first = list(dict.fromkeys(columns["number"].tolist()))
        given = [next(r for r in given if r["number"] == n) for n in first]
        mine = {n: columns["number"] == n for n in first}
        given = [row | {n: columns[n][mine[row["number"]]] for n in HITS} for row in given]
    write(tmp_path / name, columns)
    wanted = PER_HIT | {"pdg_id": "pdg", "particle_energy": "particle_gev"}
    events = read(tmp_path / name, columns=Columns(**wanted), step_size=2)
    assert len(events) == 3
    for row, event in zip(given, events, strict=True):
        check_hits(row, event)
        numbers = sorted({int(t) for t in row["hit_truth"]} - {-1})
        assert event.particles.number.tolist() == numbers
        assert event.particle_id.tolist() == [
            numbers.index(t) if t in numbers else -1 for t in row["hit_truth"].tolist()
        ]
        assert event.particles.pdg_id.tolist() == [n % 100 for n in numbers]
        np.testing.assert_allclose(event.particles.energy, np.array(numbers) / 10, rtol=1e-6)


def test_hits_after_each_other_with_counts(tmp_path):
    h5py = pytest.importorskip("h5py")
    given = rows()
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in HITS:
            file[f"hits/{name}"] = np.concatenate([e[name] for e in given])
        file["events/n"] = [len(e["hit_e"]) for e in given]
    columns = {n: v for n, v in PER_HIT.items() if n not in ("event", "features")}
    columns |= {n: f"hits/{columns[n]}" for n in ("energy", "layer", "particle")}
    columns["position"] = [f"hits/{n}" for n in columns["position"]]
    events = read(
        tmp_path / "a.h5", columns=Columns(**columns, features=["hits/hit_time"], count="events/n"), step_size=3
    )
    for i, (row, event) in enumerate(zip(given, events, strict=True)):
        check_hits(row | {"number": i}, event)


SHARES = {"x": [[1.0, 2.0, 3.0], []], "e": [[4.0, 6.0, 8.0], []], "who": [[[7, 9], [9], []], []]}


@pytest.mark.parametrize(
    ("shares", "wanted"),
    [
        ({"share": [[[0.25, 0.75], [0.5], []], []]}, [(0, 0, 1), (0, 1, 3), (1, 1, 3), (1, -1, 3), (2, -1, 8)]),
        ({"deposit": [[[2.0, 2.0], [5.0], []], []]}, [(0, 0, 2), (0, 1, 2), (1, 1, 5)]),
    ],
)
@pytest.mark.parametrize("by_hit", [False, True])
def test_shares_of_several_particles(tmp_path, shares, wanted, by_hit):
    (name, values), *_ = shares.items()
    table = SHARES | {name: values}
    kinds = [[[22, -11], [-11], []], []]
    if by_hit:
        table = {n: column[0] for n, column in table.items()} | {"event": [5, 5, 5], "kind": kinds[0]}
    else:
        table |= {"event": [5, 6], "kind": kinds}
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    columns = Columns(position=("x", "x"), energy="e", event="event", particle="who", pdg_id="kind", **{name: name})
    event = read(tmp_path / "a.parquet", columns=columns)[0]
    d = event.deposits
    assert list(zip(d.hit.tolist(), d.particle.tolist(), d.energy.tolist(), strict=True)) == wanted
    assert event.particles.number.tolist() == [7, 9]
    assert event.particles.pdg_id.tolist() == [22, -11]
    assert event.particle_id.tolist() == [0 if name == "deposit" else 1, 1, -1]


def test_tracks(tmp_path):
    table = {
        "x": [[1.0, 2.0]], "e": [[1.0, 1.0]], "who": [[40, 30]], "ids": [[30, 40, 50]],
        "px": [[0.0, 3000.0]], "py": [[0.0, 4000.0]], "pz": [[2000.0, 0.0]], "ex": [[10.0, 20.0]], "mc": [[50, 60]],
    }  # fmt: skip
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    columns = Columns(
        position=("x", "x", "x"), energy="e", length="mm", particle="who", particle_number="ids", particle_unit="MeV",
        track_momentum=("px", "py", "pz"), track_entry=("ex", "ex", "ex"), track_particle="mc",
    )  # fmt: skip
    event = read(tmp_path / "a.parquet", columns=columns)[0]
    assert event.tracks.momentum.tolist() == [2, 5]
    np.testing.assert_allclose(event.tracks.direction, [[0, 0, 1], [0.6, 0.8, 0]], rtol=1e-6)
    assert event.tracks.entry[:, 0].tolist() == [1, 2]
    assert event.tracks.particle.tolist() == [2, -1]
    assert event.particle_id.tolist() == [1, 0]


def test_positions_in_records_origin_threshold_and_the_rest(tmp_path):
    hits = [
        [
            {"at": {"x": 4.7e9, "y": 1.0}, "e": 2.0, "ok": True, "name": "a"},
            {"at": {"x": 4.7e9 + 5, "y": 2.0}, "e": -1.0, "ok": False, "name": "b"},
        ]
    ]
    pq.write_table(pa.table({"hits": hits, "other": [[1.0, 2.0, 3.0]]}), tmp_path / "a.parquet")
    columns = Columns(
        position=("hits.at.x", "hits.at.y"), energy="hits.e", length="mm", origin=(4.7e9, 0), threshold=0, keep=True
    )
    event = read(tmp_path / "a.parquet", columns=columns)[0]
    assert event.position.tolist() == [[0, np.float32(0.1), 0]]
    assert event.energy.tolist() == [2]
    everything = read(tmp_path / "a.parquet", columns=Columns(position="hits.e", energy="hits.e", threshold=-9))
    with pytest.raises(FormatError, match=r"hits.e has 1 numbers per hit, expected two or three"):
        everything[0]


def test_all_other_columns_are_kept(tmp_path):
    given = rows()
    parquet(tmp_path / "a.parquet", given)
    columns = Columns(position=("hit_x", "hit_y"), energy="hit_e", keep=True)
    events = read(tmp_path / "a.parquet", columns=columns)
    assert [list(e.features) for e in events] == [["truth", "time"]] * 4  # z and layer are no names of features
    flat_csv(tmp_path / "a.csv", flat(given))
    event = read(
        tmp_path / "a.csv", columns=Columns(position=("hit_x", "hit_y"), energy="hit_e", event="number", keep=True)
    )[0]
    assert list(event.features) == ["truth", "time", "pdg", "particle_gev"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"energy": "hit_E"}, r"a.parquet has no column 'hit_E' \(energy\); it has .*hit_e"),
        ({"particle_number": None}, "entry 0: hit_truth names particle .*, but there are 3; .* with particle_number"),
        ({"particle": "hit_e"}, "entry 0: hit_e of entry 0 is .*, expected integers"),
        ({"position": ("hit_x", "part_px")}, "entry 1: part_px has 3 values, but hit_e has 0"),
        ({"pdg_id": "hit_layer"}, "entry 1: hit_layer has 0 values, but there are 3 particles"),
        ({"particle_number": "twice"}, "entry 0: twice has a number twice"),
        ({"energy": "name"}, "column name holds .*, expected numbers, or lists of them"),
    ],
)
def test_columns_that_do_not_fit(tmp_path, change, message):
    given = rows()
    columns = {n: [e[n] for e in given] for n in HITS | PARTS} | {"number": [e["number"] for e in given]}
    columns |= {"twice": [[3, 3, 1]] * 4, "name": ["a"] * 4}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(FormatError, match=message) as caught:
        list(read(tmp_path / "a.parquet", columns=Columns(**PER_EVENT | change)))
    assert "a.parquet" in str(caught.value)


def test_tables_that_are_none(tmp_path):
    columns = Columns(position=("x", "y"), energy="e")
    (tmp_path / "a.bin").write_bytes(b"1234567890")
    with pytest.raises(FormatError, match=r"a.bin is no table .* expected a ROOT, Parquet, HDF5 or CSV file"):
        read(tmp_path / "a.bin", columns=columns)
    with uproot.recreate(tmp_path / "a.root") as file:
        file["one"], file["two"] = {"x": np.ones(2)}, {"x": np.ones(2)}
    with pytest.raises(FormatError, match=r"a.root has the trees one, two; say which with tree="):
        read(tmp_path / "a.root", columns=columns)
    with pytest.raises(FormatError, match=r"a.root has no tree 'three'; it has one, two"):
        read(tmp_path / "a.root", columns=columns, tree="three")
    with pytest.raises(FormatError, match=r"a.root, two has no column 'x2' \(position\); it has x"):
        read(tmp_path / "a.root", columns=Columns(position=("x2", "y"), energy="e"), tree="two")
    with pytest.raises(ValueError, match="columns= is missing: it says what"):
        read(tmp_path / "a.root", tree="one")
    with pytest.raises(ValueError, match="columns are given, but format is 'parquet'"):
        read(tmp_path / "a.root", "parquet", columns=columns)


@external
def test_belle2():
    columns = Columns(
        position=("x", "y", "z"), energy="rec_energy", event="event", particle="particle_idx",
        deposit="particle_edep", pdg_id="particle_pdg", features={"time": "tc_time"}, detector="belle2",
    )  # fmt: skip
    path = Path(os.environ["CMLFLOW_EXTERNAL_DATA"]) / "belle2" / "bbbar_train.parquet"
    events, table = cmlflow.read(path, columns=columns), pq.read_table(path).to_pylist()
    assert len(events) == 120
    place = 0
    for event in events:
        for hit in range(event.n_hits):
            row = table[place + hit]
            assert row["event"] == event.number
            assert event.energy[hit] == np.float32(row["rec_energy"])
            assert event.features["time"][hit] == np.float32(row["tc_time"])
            own = event.deposits.hit == hit
            numbers = event.particles.number[event.deposits.particle[own]]
            assert numbers.tolist() == row["particle_idx"]
            assert event.particles.pdg_id[event.deposits.particle[own]].tolist() == row["particle_pdg"]
            np.testing.assert_array_equal(event.deposits.energy[own], np.float32(row["particle_edep"]))
        place += event.n_hits
    assert place == len(table)
