import pytest

from cmlflow import Columns
from cmlflow.io import FormatError

FULL = Columns(
    position=["x", "y"], energy="e", length="mm", energy_unit="MeV", layer="l", first_layer=0, event="n",
    particle="who", deposit="edep", unknown=[0], pdg_id="pdg", particle_direction=["a", "b", "c"],
    track_momentum=("px", "py", "pz"), track_entry=("ex", "ey", "ez"), features={"time": "t", "w": "weight"},
    keep=True, detector='a "name"', origin=(1.5, 0), tree="events",
)  # fmt: skip


def test_toml_gives_the_same_columns(tmp_path):
    for columns in (FULL, Columns(position="xyz", energy="e")):
        (tmp_path / "a.toml").write_text(columns.to_toml())
        assert Columns.from_toml(tmp_path / "a.toml") == columns
    assert Columns(position="xyz", energy="e").to_toml() == 'position = ["xyz"]\nenergy = "e"\n'


def test_names_and_units():
    assert FULL.names() == [
        "x", "y", "e", "l", "n", "who", "edep", "pdg", "a", "b", "c", "px", "py", "pz", "ex", "ey", "ez", "t", "weight",
    ]  # fmt: skip
    assert (FULL.cm, FULL.energy_factor, FULL.particle_gev) == (0.1, 1e-3, 1)
    assert Columns(position="p", energy="e", length=2.54, energy_unit=3).cm == 2.54
    assert dict(Columns(position="p", energy="e", features=["hit_t", "a/hit_b", "hits.c"]).features) == {
        "t": "hit_t",
        "b": "a/hit_b",
        "c": "hits.c",
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"position": ("a", "b", "c", "d")}, r"position is \('a', 'b', 'c', 'd'\), expected two or three columns"),
        ({"energy": None}, "energy is None, expected the name of a column"),
        ({"layer": 3}, "layer is 3, expected the name of a column"),
        ({"length": "inch"}, "length is 'inch', expected one of um, mm, cm, m, km, or a positive factor"),
        ({"energy_unit": -1}, "energy_unit is -1, expected one of eV, keV, MeV, GeV, TeV, or a positive factor"),
        ({"particle": "a", "share": "b", "deposit": "c"}, "share and deposit are both given"),
        ({"share": "b"}, "particle is missing, but columns that go with it are named"),
        ({"track_momentum": "p"}, "track_entry is missing"),
        ({"track_momentum": "p", "track_entry": ("x", "y", "z")}, "track_direction is missing"),
        ({"track_entry": ("x", "y", "z")}, "track_momentum is missing"),
        ({"particle_direction": ("x", "y")}, r"particle_direction is \('x', 'y'\), expected three columns"),
        ({"features": ["hit_energy"]}, "column 'hit_energy' cannot be the feature 'energy'; name it as in features="),
        ({"origin": (1,)}, r"origin is \(1,\), expected two or three numbers"),
    ],
)
def test_what_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Columns(**{"position": ("x", "y"), "energy": "e"} | change)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("position = [", "a.toml is no TOML file of columns"),
        ('positions = ["x"]', "a.toml has the key positions, expected some of position, energy"),
        ('energy = "e"', "a.toml lacks the key position"),
        ('position = ["x"]\nenergy = "e"\nlength = "ft"', "a.toml: length is 'ft'"),
    ],
)
def test_toml_that_is_wrong(tmp_path, text, message):
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(FormatError, match=message):
        Columns.from_toml(tmp_path / "a.toml")
