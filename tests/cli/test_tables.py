"""Files of one's own on the command line."""

import pyarrow as pa
import pyarrow.parquet as pq

from cmlflow.cli import main
from cmlflow.event import Event
from cmlflow.io import read, write


def table(path):
    hits = {"run": [1, 1, 1, 2], "x_mm": [10.0, 12.0, 50.0, 10.0], "y_mm": [0.0, 1.0, 0.0, 0.0]}
    hits |= {"z_mm": [3300.0, 3400.0, 3300.0, 3300.0], "e": [1.0, 2.0, 3.0, 4.0], "truth": [4, 4, 9, 4]}
    pq.write_table(pa.table(hits), path)


def test_from_a_table_to_clusters(tmp_path, capsys):
    table(tmp_path / "a.parquet")
    assert main(["inspect", str(tmp_path / "a.parquet")]) == 0
    text = capsys.readouterr().out
    assert "#   x_mm   double  10 to 50" in text
    assert 'length = "mm"' in text
    assert main(["inspect", str(tmp_path / "a.parquet"), "-o", str(tmp_path / "a.toml")]) == 0
    assert "check the proposal" in capsys.readouterr().out
    assert (tmp_path / "a.toml").read_text() == text
    (tmp_path / "a.toml").write_text(text + 'event = "run"\n')
    mine = ["--columns", str(tmp_path / "a.toml")]
    assert main(["cluster", str(tmp_path / "a.parquet"), "-o", str(tmp_path / "b.pq"), *mine]) == 0
    events = read(tmp_path / "b.pq")
    assert [e.position[:, 0].tolist() for e in events] == [[1, 1.2000000476837158, 5], [1]]
    assert events[0].particles.number.tolist() == [4, 9]
    assert main(["evaluate", str(tmp_path / "a.parquet"), "--model", "compact-em-supcon", *mine]) == 0
    assert "efficiency" in capsys.readouterr().out
    assert main(["show", str(tmp_path / "a.parquet"), "-o", str(tmp_path / "a.html"), *mine]) == 0
    assert "2 events of" in capsys.readouterr().out


def test_what_goes_wrong_is_told(tmp_path, capsys):
    table(tmp_path / "a.parquet")
    (tmp_path / "a.toml").write_text('position = ["x"]\nenergy = "e"\n')
    show = ["show", str(tmp_path / "a.parquet"), "-o", str(tmp_path / "a.html")]
    assert main([*show, "--columns", str(tmp_path / "a.toml")]) == 1
    assert "has no column 'x' (position); it has run, x_mm" in capsys.readouterr().err
    assert main(show) == 1
    assert "`cmlflow inspect` proposes" in capsys.readouterr().err
    write([Event([[0, 0, 1]], [1.0])], tmp_path / "b.parquet")
    assert main(["inspect", str(tmp_path / "b.parquet")]) == 0
    assert "format 'parquet', read without columns" in capsys.readouterr().out
