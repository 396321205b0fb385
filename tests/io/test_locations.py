import pickle
import subprocess
import sys

import fsspec
import numpy as np
import pytest

from cmlflow.event import Event
from cmlflow.io import FormatError, read, read_labels, write


def store(folder, name, numbers):
    events = [Event([[0, 0, n]], [1.0], number=n) for n in numbers]
    write(events, folder / name, labels=[[n] for n in numbers])
    return folder / name


def numbers(events):
    return [e.number for e in events]


@pytest.fixture
def runs(tmp_path):
    (tmp_path / "more").mkdir()
    store(tmp_path, "b.parquet", [3])
    store(tmp_path, "a.parquet", [0, 1, 2])
    store(tmp_path / "more", "c.root", [4, 5])
    return tmp_path


def test_lists_and_patterns(runs):
    events = read([runs / "b.parquet", str(runs / "more" / "c.root"), runs / "a.parquet"])
    assert numbers(events) == [3, 4, 5, 0, 1, 2]
    assert numbers(events[1:4]) == [4, 5, 0]
    assert (events[-1].number, events[3].number, len(events)) == (2, 0, 6)
    assert numbers(pickle.loads(pickle.dumps(events))) == numbers(events)
    assert numbers(read(str(runs / "*.parquet"))) == [0, 1, 2, 3]
    assert numbers(read(runs / "**" / "*.*")) == [0, 1, 2, 3, 4, 5]
    assert numbers(read([f"{runs}/b.*", runs / "a.parquet"])) == [3, 0, 1, 2]
    assert [int(x[0]) for x in read_labels(runs / "*.parquet")] == [0, 1, 2, 3]
    with pytest.raises(IndexError, match="event 6 asked for, but there are 6"):
        events[6]
    store(runs, "odd[1].parquet", [9])  # a file whose name looks like a pattern
    assert numbers(read(runs / "odd[1].parquet")) == [9]


def test_files_that_are_not_there(runs):
    with pytest.raises(FileNotFoundError, match=r"none\*.parquet: no file fits this pattern"):
        read(runs / "none*.parquet")
    with pytest.raises(FileNotFoundError, match=r"z.parquet: no such file"):
        read([runs / "a.parquet", runs / "z.parquet"])
    with pytest.raises(FileNotFoundError, match="the list of paths is empty"):
        read([])
    with pytest.raises(FileNotFoundError, match=r"memory://none.parquet: no such file"):
        read("memory://none.parquet")
    with pytest.raises(OSError, match=r"nothing://a.parquet cannot be fetched: Protocol not known: nothing"):
        read("nothing://a.parquet")
    (runs / "empty.parquet").touch()
    with pytest.raises(FormatError, match=r"empty.parquet is empty"):
        read(f"file://{runs}/empty.parquet")


def test_urls(runs):
    memory = fsspec.filesystem("memory")
    for name in ("a.parquet", "b.parquet"):
        memory.pipe(f"/runs/{name}", (runs / name).read_bytes())
    assert numbers(read("memory://runs/b.parquet")) == [3]
    assert numbers(read("memory://runs/*.parquet")) == [0, 1, 2, 3]
    assert numbers(read([f"file://{runs}/b.parquet", "memory://runs/a.parquet"])) == [3, 0, 1, 2]
    assert [x.tolist() for x in read_labels("memory://runs/b.parquet")] == [[3]]


def test_what_was_fetched_is_removed_at_the_end(runs):
    code = (
        "import fsspec, sys, cmlflow; from cmlflow.io.locations import _downloads; "
        "fsspec.filesystem('memory').pipe('/a.parquet', open(sys.argv[1], 'rb').read()); "
        "print(len(cmlflow.read('memory://a.parquet')), _downloads())"
    )
    ended = subprocess.run([sys.executable, "-c", code, runs / "a.parquet"], capture_output=True, text=True, check=True)
    count, _, folder = ended.stdout.strip().partition(" ")
    assert count == "3"
    assert not (runs / folder).exists()
    np.testing.assert_equal(ended.stderr, "")
