import subprocess
import sys

import numpy as np
import pytest
import uproot

from cmlflow.event import Event, EventStore
from cmlflow.io import FormatError, read, read_labels, write

EVENT = Event([[1, 0, 320]], [1.0])


@pytest.mark.parametrize("name", ["a.parquet", "a.pq", "a.PARQUET", "a.root"])
def test_format_from_the_name(tmp_path, name):
    write([EVENT], tmp_path / name)
    events = read(str(tmp_path / name))
    assert isinstance(events, EventStore)
    assert events[0].energy.tolist() == [1]


@pytest.mark.parametrize("format", ["parquet", "hgcaltb", "mltree"])
def test_format_from_the_content(tmp_path, format):
    write([EVENT], tmp_path / "a.data", format=format)
    assert len(read(tmp_path / "a.data")) == 1
    assert len(read(tmp_path / "a.data", format=format)) == 1


def test_formats_that_are_not_known(tmp_path):
    (tmp_path / "a.csv").write_text("x,y,z")
    with pytest.raises(FormatError, match=r"a.csv: neither .* tells a format: parquet, hgcaltb, mltree, edm4hep"):
        read(tmp_path / "a.csv")
    with pytest.raises(
        ValueError, match="format 'csv' is not known, expected one of parquet, hgcaltb, mltree, edm4hep"
    ):
        read(tmp_path / "a.csv", format="csv")
    with pytest.raises(ValueError, match="'edm4hep' is read only; these can be written: parquet, hgcaltb, mltree"):
        write([EVENT], tmp_path / "b.root", format="edm4hep")
    with pytest.raises(
        ValueError, match=r"b.csv: the name tells no format; give format= one of parquet, hgcaltb, mltree"
    ):
        write([EVENT], tmp_path / "b.csv")
    with uproot.recreate(tmp_path / "c.root") as file:
        file.mktree("Events", {"eventNumber": "i4"})
    with pytest.raises(FormatError, match=r"c.root has the trees Events; expected HGCALTBout .*mltree.*edm4hep"):
        read(tmp_path / "c.root")


def test_files_that_are_not_there(tmp_path):
    for call in (read, read_labels):
        with pytest.raises(FileNotFoundError, match=r"a.parquet: no such file"):
            call(tmp_path / "a.parquet")
        with pytest.raises(FormatError, match="is a folder"):
            call(tmp_path)
    (tmp_path / "empty.root").touch()
    with pytest.raises(FormatError, match=r"empty.root is empty"):
        read(tmp_path / "empty.root")
    (tmp_path / "text.root").write_text("not a tree at all")
    with pytest.raises(FormatError, match=r"text.root is no ROOT file"):
        read(tmp_path / "text.root")


@pytest.mark.parametrize("name", ["a.parquet", "a.root"])
def test_what_cannot_be_written(tmp_path, name):
    with pytest.raises(TypeError, match=r"pass \[event\]"):
        write(EVENT, tmp_path / name)
    with pytest.raises(TypeError, match="entry 1 of the events is int"):
        write([EVENT, 3], tmp_path / name)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        write([EVENT], tmp_path / "none" / name)
    with pytest.raises(ValueError, match="labels of event 0 have shape"):
        write([EVENT], tmp_path / name, labels=[np.zeros(2, int)])
    (tmp_path / f"folder_{name}").mkdir()
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        write([EVENT], tmp_path / f"folder_{name}")
    assert [p.name for p in tmp_path.iterdir()] == [f"folder_{name}"]


def test_a_file_may_replace_the_one_it_is_made_from(tmp_path):
    write([EVENT] * 5, tmp_path / "a.parquet")
    write(read(tmp_path / "a.parquet")[1:3], tmp_path / "a.parquet")
    assert len(read(tmp_path / "a.parquet")) == 2


def run(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_the_import_is_light():
    heavy = "('pyarrow', 'uproot', 'awkward', 'torch')"
    assert run(f"import cmlflow.io, sys; print([m for m in {heavy} if m in sys.modules])") == "[]"


def test_reading_works_without_torch(tmp_path):
    write([EVENT], tmp_path / "a.parquet")
    path = str(tmp_path / "a.parquet")
    assert (
        run(f"import sys; sys.modules['torch'] = None; import cmlflow.io as io; print(len(io.read({path!r})))") == "1"
    )
