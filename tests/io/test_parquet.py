import errno
import os
import pickle
import resource
import tempfile
from pathlib import Path

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cmlflow.io.parquet_writer as module
from cmlflow.event import Event
from cmlflow.io import FormatError, StoredCandidates, read, read_candidates, read_labels, write
from cmlflow.io.parquet import ParquetEvents
from cmlflow.io.parquet_writer import write_parquet

shapes = st.tuples(
    st.integers(0, 2**31),
    st.integers(0, 6),
    st.integers(1, 4),
    st.booleans(),
    st.integers(0, 3),
    st.booleans(),
    st.none() | st.integers(0, 2**40),
    st.none() | st.sampled_from(["hgcal", "läb"]),
)


@given(st.lists(shapes, max_size=7), st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_round_trip(make_event, assert_equal, drawn, group):
    events = [make_event(*shape) for shape in drawn]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.parquet"
        write_parquet(iter(events), path, events_per_group=group)
        back = read(path)
        assert len(back) == len(events)
        for a, b in zip(events, back, strict=True):
            assert_equal(a, b)
        assert os.listdir(folder) == ["events.parquet"]


def test_labels(tmp_path, make_event):
    events = [make_event(i, n, 2) for i, n in enumerate((3, 0, 5))]
    labels = [np.array([0, -1, 4]), np.zeros(0, np.int64), np.arange(5)]
    write(events, tmp_path / "a.parquet", labels=labels)
    for want, have in zip(labels, read_labels(tmp_path / "a.parquet"), strict=True):
        assert have.dtype == np.int64
        np.testing.assert_array_equal(want, have)
    write(events, tmp_path / "b.parquet")
    with pytest.raises(FormatError, match=r"b.parquet holds no cluster labels"):
        read_labels(tmp_path / "b.parquet")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([[0, 1]], "labels of event 0"),
        ([[0, 1, 2]], "labels for 1 events"),
        ([[0, 1, 2], [0, 1, 2], [0]], "more label arrays than the 2 events"),
        ([[0, 1, -2], [0, 1, 2]], "label of hit 2 of event 0 is -2"),
        ([[0.5, 1, 2], [0, 1, 2]], "expected .3,. integers"),
    ],
)
def test_labels_that_do_not_fit(tmp_path, make_event, labels, message):
    with pytest.raises(ValueError, match=message):
        write([make_event(1, 3, 1), make_event(2, 3, 1)], tmp_path / "a.parquet", labels=labels)
    assert not os.listdir(tmp_path)


def test_streams_and_reads_lazily(tmp_path, make_event, monkeypatch):
    path = tmp_path / "a.parquet"
    taken = []

    def source():
        for i in range(20):
            taken.append(i)
            yield make_event(i, 4, 1)

    written = []
    table = module._table
    monkeypatch.setattr(
        module, "_table", lambda rows, schema: written.append((len(rows), len(taken))) or table(rows, schema)
    )
    write_parquet(source(), path, events_per_group=6)
    assert written == [(6, 6), (6, 12), (6, 18), (2, 20)]  # each group leaves before the next event is taken
    groups = []
    load = ParquetEvents._load
    monkeypatch.setattr(ParquetEvents, "_load", lambda self, g: groups.append(g) or load(self, g))
    events = ParquetEvents(path, cache=2)
    assert not groups
    assert [events[i].n_hits for i in (0, 5, 19, -20)] == [4] * 4
    assert groups == [0, 3]
    assert len(list(events)) == 20
    assert groups == [0, 3, 1, 2, 3]
    assert len(events[3:9]) == 6
    with pytest.raises(IndexError, match="event 20 asked for"):
        events[20]


def test_row_group_by_hits(tmp_path, make_event):
    write_parquet((make_event(i, 10, 1) for i in range(9)), tmp_path / "a.parquet", hits_per_group=25)
    assert pq.ParquetFile(tmp_path / "a.parquet").metadata.num_row_groups == 3


def test_events_own_writable_arrays_and_pickle(tmp_path, make_event, assert_equal):
    write([make_event(i, 4, 1) for i in range(3)], tmp_path / "a.parquet")
    events = ParquetEvents(tmp_path / "a.parquet")
    e = events[1]
    for array in (e.position, e.energy, e.layer, e.particle_id, e.deposits.energy):
        assert array.flags.writeable
        assert array.base is None or array.base.nbytes <= array.nbytes
    assert_equal(pickle.loads(pickle.dumps(events))[2], events[2])


def test_awkward_reads_the_columns(tmp_path, make_event):
    events = [make_event(i, i, 1) for i in range(4)]
    write(events, tmp_path / "a.parquet")
    array = ak.from_parquet(tmp_path / "a.parquet")
    assert ak.num(array.hit_energy).to_list() == [0, 1, 2, 3]


def minimal(**changes):
    columns = {f"hit_{a}_cm": [[1.0, 2.0], []] for a in "xyz"} | {"hit_energy": [[1.0, 3.0], []]} | changes
    return pa.table({k: v for k, v in columns.items() if v is not None})


def test_foreign_file_with_the_needed_columns(tmp_path):
    pq.write_table(minimal(), tmp_path / "a.parquet")
    first, second = read(tmp_path / "a.parquet")
    assert (first.n_hits, second.n_hits, first.n_particles) == (2, 0, 0)
    assert first.energy.tolist() == [1, 3]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pa.table({"a": [1]}), "not written by cmlflow and lacks the columns hit_x_cm, hit_y_cm, hit_z_cm, hit_energy"),
        (minimal(hit_energy=None), "lacks the columns hit_energy"),
        (minimal(hit_energy=[1.0, 2.0]), "column hit_energy has type double, expected a list"),
        (minimal().replace_schema_metadata({"cmlflow_schema": "2"}), "schema version 2, this cmlflow reads up to 1"),
        (minimal(hit_energy=None).replace_schema_metadata({"cmlflow_schema": "1"}), "lacks the columns hit_energy"),
    ],
)
def test_refused_at_opening(tmp_path, table, message):
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(FormatError, match=message) as caught:
        read(tmp_path / "a.parquet")
    assert "a.parquet" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hit_energy": [[1.0, float("nan")], []]}, "entry 0: event: energy of hit 1 is nan"),
        ({"hit_energy": [[1.0, -2.0], []]}, "entry 0: event: energy of hit 1 is -2"),
        ({"hit_energy": [[1.0], []]}, "entry 0: hit_energy has 1 values, but hit_x_cm has 2"),
        ({"hit_energy": [[1.0, None], []]}, "column hit_energy holds double or missing values"),
        ({"hit_energy": [None, []]}, "entry 0: hit_energy is missing"),
        ({"hit_layer": [[1.5, 2.0], []]}, "column hit_layer holds double"),
        ({"hit_particle": [[0, -7], []]}, "particle_id of hit 1 is -7"),
        ({"hit_z_cm": [["a", "b"], []]}, "column hit_z_cm holds string"),
        ({"deposit_hit": [[0], []], "deposit_energy": [[1.0], []]}, "entry 0: deposit_particle missing"),
        (
            {f"track_{n}": [[1.0, 2.0], []] for n in ("momentum_gev", "x_cm", "y_cm", "z_cm")}
            | {f"track_direction_{a}": [[1.0, 2.0], []] for a in "xyz"}
            | {"track_particle": [[-1, -1], []]}
            | {f"crossing_{a}_cm": [[1.0, 2.0, 3.0], []] for a in "xyz"},
            "entry 0: crossing_x_cm has 3 values, not the same number for each of 2 tracks",
        ),
        ({"number": [7, 8], "hit_y_cm": [[1.0, float("inf")], []]}, "event 7: position of hit 1 is inf"),
    ],
)
def test_refused_when_the_event_is_read(tmp_path, changes, message):
    pq.write_table(minimal(**changes), tmp_path / "a.parquet")
    events = read(tmp_path / "a.parquet")
    with pytest.raises(FormatError, match=message) as caught:
        events[0]
    assert "a.parquet" in str(caught.value)


def fixed(values):
    return pa.FixedSizeListArray.from_arrays(pa.array(values), 2)


XYZ = {f"hit_{a}_cm": [1.0, 2.0, 3.0, 4.0] for a in "xyz"} | {"hit_energy": [1.0, 2.0, 3.0, 4.0]}


@pytest.mark.parametrize(
    ("column", "wanted"),
    [
        (fixed([0, 1, 1, 0]), [[0, 1], [1, 0]]),
        (pa.array([[0, 1], [1, 0]], pa.large_list(pa.int8())), [[0, 1], [1, 0]]),
        (pa.array([[0, 1], [1, 0]], pa.list_view(pa.uint64())), [[0, 1], [1, 0]]),
        (pa.array([[0.0, 1.0], [1.0, 0.0]]), [[0, 1], [1, 0]]),
        (pa.array([[False, True], [True, False]]), [[0, 1], [1, 0]]),
        (pa.array([[0, 1], [1, None]], pa.list_(pa.decimal128(5, 2))), [[0, 1], [1, -1]]),
        (pa.array([[0, None], [None, 1]]), [[0, -1], [-1, 1]]),
        (pa.array([[0.0, None], [float("nan"), 1.0]]), [[0, -1], [-1, 1]]),
        (pa.array([None, [1, 0]], pa.list_(pa.int32())), [[-1, -1], [1, 0]]),
        (pa.array([[0, 300_000], [1, 0]]), [[0, 1], [1, 0]]),
    ],
)
def test_lists_of_other_writers(tmp_path, column, wanted):
    """What Event takes is taken from any kind of list; null is the unknown particle."""
    table = pa.table({name: fixed(values) for name, values in XYZ.items()} | {"hit_particle": column})
    pq.write_table(table, tmp_path / "a.parquet")
    events = read(tmp_path / "a.parquet")
    assert [e.particle_id.tolist() for e in events] == wanted
    assert [e.energy.tolist() for e in events] == [[1, 2], [3, 4]]
    sliced = pa.concat_tables([table, table]).slice(1, 2)
    pq.write_table(sliced, tmp_path / "b.parquet")
    assert [e.energy.tolist() for e in read(tmp_path / "b.parquet")] == [[3, 4], [1, 2]]


def test_features(tmp_path, make_event):
    events = [make_event(i, n, 2) for i, n in enumerate((3, 0, 5))]
    rng = np.random.default_rng(0)
    events = [
        e.replace(features={"time": rng.normal(size=len(e)), "fit": rng.normal(size=(len(e), 2))}) for e in events
    ]
    events[0].features["time"][1] = np.nan
    events.append(make_event(9, 4, 1))  # without
    write(events, tmp_path / "a.parquet")
    assert list(read(tmp_path / "a.parquet")) == events
    late = [*events[:2], events[2].replace(features={"new": np.ones(5)})]
    with pytest.raises(ValueError, match=r"event 2 has a feature 'new' of shape \(5,\), which the first events"):
        write_parquet(late, tmp_path / "b.parquet", events_per_group=1)
    with pytest.raises(ValueError, match=r"hit_time has \(2,\) numbers per hit in one event, but \(\) in one before"):
        write([events[0], events[2].replace(features={"time": np.ones((5, 2))})], tmp_path / "b.parquet")
    assert os.listdir(tmp_path) == ["a.parquet"]


def test_features_of_other_writers(tmp_path):
    pq.write_table(minimal(hit_time=[[1, None], []], hit_ok=[[True, False], []]), tmp_path / "a.parquet")
    first, second = read(tmp_path / "a.parquet")
    np.testing.assert_array_equal(first.features["time"], [1, np.nan])
    assert first.features["ok"].tolist() == [1, 0]
    assert second.features["time"].shape == (0,)
    strange = {"hit_name": [["a", "b"], []], "hit_x": [[1.0, 2.0], []], "hit_flag": [1, 2], "jet_pt": [1.0, 2.0]}
    pq.write_table(minimal(**strange), tmp_path / "b.parquet")
    with pytest.warns(UserWarning, match=r"hit_name \(.*string.*\), hit_x \(.*\), hit_flag \(int64\) are not") as said:
        assert read(tmp_path / "b.parquet")[0].features == {}
    assert len(said) == 1
    pq.write_table(minimal(hit_time=[[1.0], []]), tmp_path / "c.parquet")
    with pytest.raises(FormatError, match="entry 0: hit_time has 1 values, but hit_x_cm has 2"):
        read(tmp_path / "c.parquet")[0]


def test_numbers_of_particles(tmp_path):
    e = Event(np.zeros((2, 3)), [1.0, 2.0], particle_id=[70, 123_456])
    write([e, Event(np.zeros((2, 3)), [1.0, 2.0], particle_id=[0, 1])], tmp_path / "a.parquet")
    first, second = read(tmp_path / "a.parquet")
    assert first == e
    assert (first.particles.number.tolist(), second.particles.number) == ([70, 123_456], None)


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_truncated(tmp_path, make_event, kept):
    path = tmp_path / "a.parquet"
    write([make_event(i, 50, 2) for i in range(5)], path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(FormatError, match=r"a.parquet is no Parquet file, or is cut short"):
        read(path)


def test_damaged_inside(tmp_path, make_event):
    path = tmp_path / "a.parquet"
    write([make_event(i, 500, 2) for i in range(5)], path)
    data = bytearray(path.read_bytes())
    data[100:9000] = b"\xff" * 8900
    path.write_bytes(bytes(data))
    with pytest.raises(FormatError, match=r"a.parquet"):
        list(read(path))


class Full:
    """A file on a disk that is full after some bytes."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def write(self, data):
        self.room -= len(data)
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.file.write(data)

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()


@pytest.mark.parametrize("room", [0, 100, 3000])
def test_full_disk(tmp_path, make_event, monkeypatch, room):
    monkeypatch.setattr(module, "open", lambda *how: Full(open(*how), room), raising=False)  # noqa: SIM115
    with pytest.raises(OSError, match=r"cannot write .*a.parquet: .*No space left") as caught:
        write_parquet((make_event(i, 50, 2) for i in range(20)), tmp_path / "a.parquet", events_per_group=2)
    assert caught.value.errno == errno.ENOSPC
    assert not os.listdir(tmp_path)


def test_file_size_limit(tmp_path, make_event):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        with pytest.raises(OSError, match=r"cannot write .*a.parquet"):
            write([make_event(i, 500, 2) for i in range(5)], tmp_path / "a.parquet")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not os.listdir(tmp_path)


def test_failing_source_leaves_the_old_file(tmp_path, make_event):
    path = tmp_path / "a.parquet"
    write([make_event(1, 3, 1)], path)
    old = path.read_bytes()

    def source():
        yield make_event(2, 3, 1)
        raise RuntimeError("the detector is off")

    with pytest.raises(RuntimeError, match="the detector is off"):
        write_parquet(source(), path, events_per_group=1)
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["a.parquet"]


def test_values_beyond_32_bits(tmp_path):
    e = Event([[0, 0, 0]], [1.0], [2**31])
    with pytest.raises(ValueError, match=r"event 0: hit_layer of (hit|entry) 0 is 2147483648"):
        write([e], tmp_path / "a.parquet")


def some_candidates(events):
    rng = np.random.default_rng(1)
    out = []
    for i, event in enumerate(events):
        share = rng.random((i, event.n_hits)).astype(np.float32) * (rng.random((i, event.n_hits)) < 0.6) / max(i, 1)
        out.append(StoredCandidates(share, np.full(i, 22), rng.random((i, 4)), np.arange(i) - 1))
    return out


def test_candidates(tmp_path, make_event, assert_equal):
    events = [make_event(i, n, 2) for i, n in enumerate((3, 0, 5, 4))]
    given = some_candidates(events)
    write(iter(events), tmp_path / "a.parquet", candidates=iter(given))
    for want, have in zip(given, read_candidates(tmp_path / "a.parquet"), strict=True):
        for a, b in zip(want, have, strict=True):
            np.testing.assert_array_equal(a, b)
    for want, labels in zip(given, read_labels(tmp_path / "a.parquet"), strict=True):
        for hit, label in enumerate(labels):
            best = max(want.share[:, hit], default=0)
            assert (label == -1) if best == 0 else (want.share[label, hit] == best)
    for a, b in zip(events, read(tmp_path / "a.parquet"), strict=True):
        assert_equal(a, b)


def test_candidates_that_are_not_there_or_wrong(tmp_path, make_event):
    events = [make_event(i, 4, 2) for i in range(2)]
    given = some_candidates(events)
    labels = [np.zeros(4, int)] * 2
    write(events, tmp_path / "a.parquet", labels=labels)
    with pytest.raises(FormatError, match=r"a.parquet holds no candidates \(column candidate_pdg_id\)"):
        read_candidates(tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="labels and candidates are both given"):
        write(events, tmp_path / "b.parquet", labels=labels, candidates=given)
    with pytest.raises(ValueError, match="candidates are kept in files of format parquet, not in format 'hgcaltb'"):
        write(events, tmp_path / "b.root", candidates=given)
    with pytest.raises(ValueError, match="there are labels for 1 events, but more events"):
        write(events, tmp_path / "b.parquet", candidates=given[:1])
    with pytest.raises(
        ValueError, match=r"candidates of event 1 have share \(1, 4\), pdg_id \(1,\), momentum \(1, 3\)"
    ):
        write(events, tmp_path / "b.parquet", candidates=[given[0], given[1]._replace(momentum=np.zeros((1, 3)))])
    assert not (tmp_path / "b.parquet").exists()
    write(events, tmp_path / "c.parquet", candidates=given)
    table = pq.read_table(tmp_path / "c.parquet")
    place = table.schema.get_field_index("share_hit")
    moved = pa.array([[h + 9 for h in row] for row in table["share_hit"].to_pylist()], table.schema.field(place).type)
    pq.write_table(table.set_column(place, table.schema.field(place), moved), tmp_path / "c.parquet")
    with pytest.raises(FormatError, match=r"c.parquet, entry 1: share 0 is of hit \d+ and candidate 0, expected a hit"):
        read_candidates(tmp_path / "c.parquet")
