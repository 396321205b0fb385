import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot

from cmlflow import Columns
from cmlflow.event import Event
from cmlflow.io import known_format, read, write
from cmlflow.io.inspection import listing

MEANT = {
    "csv": (
        {"event": [1, 1, 2], "x_mm": [1.0, 2.0, 3.0], "y_mm": [1.0, 2.0, 3.0], "z_mm": [1.0, 2.0, 3.0],
         "energy_MeV": [5.0, 6.0, 7.0], "layer": [0, 1, 2], "time": [0.1, 0.2, 0.3], "truth_id": [1, 1, 2]},
        Columns(position=("x_mm", "y_mm", "z_mm"), energy="energy_MeV", length="mm", energy_unit="MeV", layer="layer",
                first_layer=0, event="event", particle="truth_id", features={"time": "time"}),
    ),
    "parquet": (
        {"evt": [7, 8], "cell_x": [[1.0, 2.0], []], "cell_y": [[1.0, 2.0], []], "cell_z": [[1.0, 2.0], []],
         "vtx_x": [0.0, 0.0], "vtx_y": [0.0, 0.0], "vtx_z": [0.0, 0.0], "cell_e": [[1.0, 2.0], []],
         "particle_idx": [[[3], [3, 4]], []], "particle_frac": [[[1.0], [0.5, 0.5]], []]},
        Columns(position=("cell_x", "cell_y", "cell_z"), energy="cell_e", event="evt", particle="particle_idx",
                share="particle_frac"),
    ),
    "root": (
        {"hits_x": [[1.0, 2.0], []], "hits_y": [[1.0, 2.0], []], "hits_edep": [[1.0, 2.0], []],
         "hits_truth": [[10, 12], []], "mc_id": [[10, 12], [3]], "mc_energy": [[1.0, 2.0], [3.0]],
         "mc_pdg": [[11, 22], [13]], "mc_px": [[1.0, 2.0], [3.0]], "mc_py": [[1.0, 2.0], [3.0]],
         "mc_pz": [[1.0, 2.0], [3.0]]},
        Columns(position=("hits_x", "hits_y"), energy="hits_edep", particle="hits_truth", particle_number="mc_id",
                particle_energy="mc_energy", pdg_id="mc_pdg", particle_direction=("mc_px", "mc_py", "mc_pz"),
                tree="sim/tree"),
    ),
}  # fmt: skip


def store(folder, kind):
    table, columns = MEANT[kind]
    path = folder / f"a.{kind}"
    if kind == "csv":
        names = ",".join(table)
        path.write_text("\n".join([names, *(",".join(map(str, row)) for row in zip(*table.values(), strict=True))]))
    elif kind == "parquet":
        pq.write_table(pa.table(table), path)
    else:
        import awkward as ak

        with uproot.recreate(path) as file:
            arrays = {name: ak.Array(values) for name, values in table.items()}
            kinds = {"hits_x": "f8", "hits_y": "f8", "hits_edep": "f8", "mc_energy": "f8"}
            kinds |= dict.fromkeys(("mc_px", "mc_py", "mc_pz"), "f8")
            file.mktree(
                "sim/tree",
                {
                    name: f"var * {kinds.get(name, 'i4').replace('f8', 'float64').replace('i4', 'int32')}"
                    for name in table
                },
            )
            file["sim/tree"].extend({n: ak.values_astype(a, kinds.get(n, "i4")) for n, a in arrays.items()})
    return path, columns


@pytest.mark.parametrize("kind", list(MEANT))
def test_a_proposal_that_can_be_used(tmp_path, kind):
    path, wanted = store(tmp_path, kind)
    assert known_format(path) is None
    text = listing(path)
    for name in MEANT[kind][0]:
        assert f"#   {name} " in text
    (tmp_path / "a.toml").write_text(text)
    assert Columns.from_toml(tmp_path / "a.toml") == wanted
    events = read(path, columns=tmp_path / "a.toml")
    assert len(events) == 2
    assert events[0].n_hits == 2


def test_files_of_known_formats_and_of_none(tmp_path):
    write([Event([[0, 0, 1]], [1.0])], tmp_path / "a.root")
    assert known_format(tmp_path / "a.root") == "hgcaltb"
    text = listing(tmp_path / "a.root", "hgcaltb")
    assert text.startswith("# a.root: format 'hgcaltb', read without columns\n#\n# HGCALTBout: 1 rows\n")
    assert "#   hit_x" in text
    assert all(line.startswith("#") for line in text.splitlines())
    pq.write_table(pa.table({"a": [1, 2], "b": ["x", "y"]}), tmp_path / "b.parquet")
    text = listing(tmp_path / "b.parquet")
    assert "#   a  int64  1 to 2" in text
    assert "# no columns sound like positions and energies" in text
    with uproot.recreate(tmp_path / "c.root") as file:
        file["x"] = np.histogram(np.ones(3))
    with pytest.raises(ValueError, match=r"c.root has no trees"):
        listing(tmp_path / "c.root")
