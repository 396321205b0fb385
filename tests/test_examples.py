"""The examples run, from any folder, and write what they say."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

import cmlflow

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_quickstart(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    table = example("quickstart").main(n_events=3)
    assert table.n_events == 3
    assert table.n_particles == 12
    printed = capsys.readouterr().out
    assert str(table) in printed
    assert "three events shown in quickstart.html" in printed
    assert (tmp_path / "quickstart.html").read_text().startswith("<!DOCTYPE html>")


@pytest.mark.slow
def test_train_and_tune(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tables = example("train_and_tune").main()
    assert list(tables) == ["supcon", "oc"]
    for head, table in tables.items():
        assert table.n_events == 6
        assert table.n_particles == 12
        folder = tmp_path / "models" / head
        assert cmlflow.MetricClusterer.load(folder).head == head
        assert json.loads((folder / "config.json").read_text())["thresholds"]


def test_examples_are_short():
    for path in EXAMPLES.glob("*.py"):
        assert len(path.read_text().splitlines()) < 80, path.name


@pytest.fixture(scope="module")
def flow_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flow") / "rho"
    example("rho").train(str(folder))
    return str(folder)


def test_rho(flow_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    scores = example("rho").main(8, flow_folder)
    assert list(scores) == ["cmlflow", "parametric", "nearest track", "always 1"]
    assert scores["always 1"]["recall"].value == 1
    assert f"energy-weighted F1 {scores['cmlflow']['weighted_f1']}" in capsys.readouterr().out
    assert (tmp_path / "rho.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "rho.html").read_text().startswith("<!DOCTYPE html>")


def test_jets(flow_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    found, jets = example("jets").main(6, flow_folder)  # a model of rho mesons takes jets too
    assert list(found) == ["soft", "hard"]
    assert list(jets) == ["truth", "soft", "hard"]
    assert 0 < jets["truth"]["energy_sigma_eff"].value < 1
    assert f"purity {found['soft']['neutral_purity']}" in capsys.readouterr().out
    assert (tmp_path / "jets.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "jets.html").read_text().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("name", ["rho", "jets"])
def test_examples_of_particle_flow_end_with_one_line_without_a_model(name, tmp_path):
    command = [sys.executable, EXAMPLES / f"{name}.py", "2", "--model", "nothing-there"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.startswith(f"{name}.py: nothing-there: neither a folder with a config.json nor a packaged")


def test_pointnet(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    example("pointnet").train("model")
    scores = example("pointnet").main(6, "model")
    assert list(scores) == ["PointNet", "SupCon", "parametric"]
    assert f"energy-weighted F1 {scores['PointNet']['weighted_f1']}" in capsys.readouterr().out
    assert (tmp_path / "pointnet.png").read_bytes().startswith(b"\x89PNG")


def test_superresolution(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    example("superresolution").train("model")
    widths = example("superresolution").main("model", 12)
    assert list(widths) == ["super-resolution", "even split", "truth, fine cells"]
    assert 0 < widths["truth, fine cells"]["width"] < 1
    assert "width of the mass" in capsys.readouterr().out
