"""The examples run, from any folder, and write what they say."""

import importlib.util
import json
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
        assert len(path.read_text().splitlines()) < 60, path.name
