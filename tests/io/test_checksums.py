import random
import struct
import threading
import zlib

import numpy as np
import pyarrow.parquet as pq
import pytest
import uproot

import cmlflow
from cmlflow import Event
from cmlflow.io import FormatError
from cmlflow.io.checksums import event_checksum
from cmlflow.io.parquet_writer import write_parquet


def events_of(n, hits=20):
    rng = np.random.default_rng(n)
    return [
        Event(rng.normal(0, 5, (hits, 3)), rng.exponential(1, hits), rng.integers(1, 9, hits), number=i)
        for i in range(n)
    ]


def test_every_flipped_bit_is_noticed_or_does_not_matter(tmp_path):
    events, path = events_of(4), tmp_path / "a.parquet"
    write_parquet(events, path, events_per_group=2)
    data, rng = path.read_bytes(), random.Random(0)
    for place in rng.sample(range(len(data)), 150):
        damaged = bytearray(data)
        damaged[place] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            found = list(cmlflow.read(path))
        except FormatError:
            continue
        assert found == events, place


def test_every_byte_of_the_footer_counts(tmp_path):
    events, path = events_of(2), tmp_path / "a.parquet"
    write_parquet(events, path)
    data = path.read_bytes()
    size = int.from_bytes(data[-8:-4], "little")
    for place in range(len(data) - 8 - size, len(data), 7):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x41]) + data[place + 1 :])
        try:
            found = list(cmlflow.read(path))
        except FormatError:
            continue
        assert found == events, place


def test_other_readers_take_the_file(tmp_path):
    events, path = events_of(5), tmp_path / "a.parquet"
    write_parquet(events, path, events_per_group=2)
    table = pq.read_table(path, page_checksum_verification=True)
    assert table.num_rows == 5
    pq.write_table(table, tmp_path / "b.parquet")
    assert list(cmlflow.read(tmp_path / "b.parquet")) == events


def test_an_empty_file_and_features_of_several_columns(tmp_path):
    write_parquet([], tmp_path / "a.parquet")
    assert len(cmlflow.read(tmp_path / "a.parquet")) == 0
    event = Event(np.zeros((2, 3)), np.ones(2), features={"t": np.arange(6).reshape(2, 3)})
    write_parquet([event] * 3, tmp_path / "b.parquet", events_per_group=1)
    assert list(cmlflow.read(tmp_path / "b.parquet")) == [event] * 3


def test_the_checksum_of_an_event_against_its_definition():
    columns = {"b": np.array([1, -2], ">i4"), "a": np.array([0.5], np.float64)}
    bits = int.from_bytes(struct.pack("<d", 0.5), "little")
    expected = zlib.crc32(f"a:f8:1:{bits}|b:i4:2:{1 + 2**32 - 2}".encode())
    assert event_checksum(columns) == expected


def test_other_values_in_a_root_file_are_noticed(tmp_path):
    path = tmp_path / "a.root"
    cmlflow.write(events_of(3), path)
    with uproot.open(path) as file:
        notes = {name: str(file[name]) for name in ("cmlflow_checked",)}
        arrays = file["HGCALTBout"].arrays(library="ak")
    for name, change in (("hit_z", lambda v: v + 1), ("hit_layer", lambda v: v * 2), ("hit_Edep", lambda v: v * 1.01)):
        columns = {n: arrays[n] for n in arrays.fields if not n.startswith("n")}
        columns[name] = change(columns[name])
        with uproot.recreate(path) as file:
            file.mktree("HGCALTBout", {n: a.type for n, a in columns.items()}).extend(columns)
            file["cmlflow_checked"] = notes["cmlflow_checked"]
        with pytest.raises(FormatError, match=r"entry 0: .* checksum"):
            cmlflow.read(path)[0]
    columns.pop("hit_purity")
    with uproot.recreate(path) as file:
        file.mktree("HGCALTBout", {n: a.type for n, a in columns.items()}).extend(columns)
        file["cmlflow_checked"] = notes["cmlflow_checked"]
    with pytest.raises(FormatError, match="names of branches or of the detector are damaged"):
        cmlflow.read(path)


@pytest.mark.parametrize("name", ["a.parquet", "a.root", "mltree"])
def test_eight_threads_on_one_store(tmp_path, name):
    events = events_of(24, hits=50)
    path, options = tmp_path / name.replace("mltree", "m.root"), {"step_size": 1, "cache": 2}
    if name == "a.parquet":
        write_parquet(events, path, events_per_group=1)
        options = {"cache": 2}
    else:
        cmlflow.write(events, path, format="mltree" if name == "mltree" else None)
    store = cmlflow.read(path, **options)
    alone = list(cmlflow.read(path))
    wrong = []

    def go(seed):
        for i in np.random.default_rng(seed).integers(0, 24, 40):
            try:
                if store[int(i)] != alone[i]:
                    wrong.append(i)
            except BaseException as err:
                wrong.append(err)

    threads = [threading.Thread(target=go, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("name", ["a.parquet", "a.root"])
def test_a_file_that_shrinks_while_it_is_open(tmp_path, name):
    path = tmp_path / name
    if name == "a.parquet":
        write_parquet(events_of(6, 200), path, events_per_group=1)
        store = cmlflow.read(path, cache=1)
    else:
        cmlflow.write(events_of(6, 200), path)
        store = cmlflow.read(path, step_size=1, cache=1)
    assert store[0].n_hits == 200
    with open(path, "r+b") as file:
        file.truncate(1000)
    with pytest.raises(FormatError, match=name):
        list(store)


def test_an_event_that_is_too_large_is_refused_by_the_footer(tmp_path):
    path = tmp_path / "a.parquet"
    write_parquet(events_of(2, hits=50), path)
    with pytest.raises(FormatError, match="100 values of hit_x_cm in 2 events, expected at most 49 in each"):
        cmlflow.read(path, max_hits=49)
    assert cmlflow.read(path, max_hits=50)[1].n_hits == 50
