"""Super-resolution in the benchmark: figures of the truth, and a run from models to page."""

import json

import numpy as np
import pytest

from cmlflow import TrainingConfig
from cmlflow.baselines.learned import SuperConfig, SuperResolver
from cmlflow.simulation.pairs import EventPairs
from cmlflow_benchmarks.flow.plan import Size
from cmlflow_benchmarks.flow.running import flow_benchmark
from cmlflow_benchmarks.flow.superres import COARSE, EVEN, INSIDE, MODELS, SPREAD, TRUTH, superres_figures


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("superres") / "graph"
    training = TrainingConfig(max_epochs=1, batch_size=8)
    SuperResolver(SuperConfig("graph"), training).fit(EventPairs("pi-gun-2-5", 8, 1)).save(folder)
    return folder


def test_truth_has_no_error():
    pairs = list(EventPairs("pi-gun-2-5-test", 12, 1))
    systems = superres_figures(pairs, {}, 10)["systems"]
    assert list(systems) == [COARSE, SPREAD, INSIDE, TRUTH]
    assert systems[TRUTH]["bias"][0] == pytest.approx(0, abs=1e-6)
    assert systems[TRUTH]["barycentre"][0] == 0
    assert systems[INSIDE]["loss"][0] < systems[SPREAD]["loss"][0]
    assert systems[INSIDE]["bias"][0] <= 1e-6  # what no coarse hit covers is lost
    assert systems[INSIDE]["barycentre"][0] < systems[COARSE]["barycentre"][0]
    for own in systems.values():
        assert np.sum(own["image"]) == pytest.approx(1, abs=0.2)
        assert own["profile"][0] > own["profile"][3]


def test_run_from_models_to_page(tmp_path, folder):
    size = Size("tiny", 6, 6, 4, 20, 8)
    given = [f"superres-graph={folder}"]
    found = flow_benchmark(tmp_path, size, samples=["superres"], models=given, verbose=False)
    assert found["samples"] == {}
    systems = found["superresolution"]["systems"]
    assert {"superres-graph", "superres-graph" + EVEN, TRUTH} < set(systems)
    assert systems["superres-graph"]["bias"] == pytest.approx(systems["superres-graph" + EVEN]["bias"], abs=1e-4)
    page = (tmp_path / "report.html").read_text()
    assert page.count("<figure>") == 3
    assert "Super-resolution: fine cells from coarse ones" in page
    text = (tmp_path / "results.md").read_text()
    assert f"| {MODELS[1]} | not run |" in text
    assert found == json.loads((tmp_path / "results.json").read_text())
