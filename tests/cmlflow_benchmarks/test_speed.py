"""The speed benchmark: cmlflow and its rivals agree on the same input, and the reports hold what was measured."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cmlflow.cli import main
from cmlflow.methods import build_network
from cmlflow_benchmarks import speed, timing
from cmlflow_benchmarks.cases import cluster_difference, forward_flops, step_flops
from cmlflow_benchmarks.inputs import Inputs, event_of, strongest
from cmlflow_benchmarks.machine import machine
from cmlflow_benchmarks.rows import OWN, ROWS, chosen
from cmlflow_benchmarks.speed import speed_benchmark
from cmlflow_benchmarks.tables import TARGETS, exponent, floor_of, markdown, targets
from cmlflow_benchmarks.worker import measure_case, measure_memory, measure_times

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of packages that are measured, while they are imported
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "speed"
TINY = {"hits": 400, "particles": 3, "events": 3}
ANOTHER_ALGORITHM = "(another algorithm)"
ROUNDING = {"step-supcon": 5e-3, "step-oc": 5e-3, "supcon": 1e-4, "condensation-loss": 1e-4, "overlay": 1e-6}


@pytest.fixture(scope="module")
def inputs():
    return Inputs()


@pytest.mark.parametrize("name", ROWS)
def test_rivals_agree(name, inputs):
    found = measure_case(name, TINY[ROWS[name].unit], 1, 1.0, inputs)
    assert found["rivals"]
    assert len(found["cmlflow"]["seconds"]) >= 1
    for rival in found["rivals"]:
        assert rival["ratio"]["low"] <= rival["ratio"]["median"] <= rival["ratio"]["high"]
        if not rival["name"].endswith(ANOTHER_ALGORITHM):
            assert rival["difference"] <= ROUNDING.get(name, 1e-6), rival["name"]


@pytest.mark.parametrize("name", ["association", "density", "step-supcon", "knn-64d"])
def test_disagreement_shows(name, inputs):
    case = ROWS[name].case(400, inputs)
    own = case.candidates[OWN]()
    if name == "association":
        wrong = own | {"shared": own["shared"] + 1}
    elif name == "density":
        wrong = np.arange(len(own)) % 7
    elif name == "step-supcon":
        wrong = (own[0], own[1] * 1.1)
    else:
        wrong = own.flip(0)
    assert case.difference(own, own) == 0
    assert case.difference(own, wrong) > 0.05


def test_clusters_compare_whatever_their_numbers():
    assert cluster_difference([0, 0, 1, 2], [5, 5, 0, 1]) == 0
    assert cluster_difference([0, 0, 1, 1], [0, 1, 0, 1]) > 0.5


def test_events_have_the_hits_asked_for_and_those_are_the_strongest():
    event = event_of(700)
    assert event.n_hits == 700
    assert set(event.particle_id.tolist()) == {0, 1}
    part = strongest(event, 300)
    assert part.n_hits == 300
    assert part.energy.min() >= np.sort(event.energy)[-300]
    assert (np.diff(part.layer) >= 0).all()  # in their order
    kept = np.isin(np.arange(700), [np.flatnonzero((event.position == p).all(1))[0] for p in part.position])
    assert part.deposits.energy.sum() == pytest.approx(
        event.deposits.energy[kept[event.deposits.hit]].sum(dtype=np.float64), rel=1e-5
    )
    np.testing.assert_array_equal(part.energy, event.energy[kept])
    np.testing.assert_allclose(
        np.bincount(part.deposits.hit, part.deposits.energy, 300), part.energy, rtol=1e-4
    )  # every hit kept its deposits


def test_floor_counts_the_matrix_products_of_the_network():
    weights = sum(p.numel() for p in build_network().parameters() if p.ndim == 2)
    assert weights == 5 * 64 + 4096 + 3 * (8192 + 4096) + 4096 + 2048 + 512
    n, edge_weights = 1000, 3 * 4096
    linear = weights - edge_weights
    assert forward_flops(n) == 2 * n * (linear + 24 * edge_weights) + 2 * n * n * 3 * 64
    step = 2 * n * (3 * linear + (24 + 2) * edge_weights) + 2 * n * n * (3 * 64 + 2 * 16)
    assert step_flops(n, "supcon") == step
    assert step_flops(n, "supcon") - step_flops(n, "oc") == 2 * n * n * 2 * 16


def test_candidates_alternate_and_slow_ones_stop(monkeypatch):
    calls = []
    monkeypatch.setattr(timing, "seconds_of", lambda call, device: ({"a": 0.1, "b": 5.0}[call()], call()))

    def call(name):
        return lambda: calls.append(name) or name

    seconds, results = timing.alternate({"a": call("a"), "b": call("b")}, 3, 8.0)
    assert "".join(calls[::2]) == "ab" + "abaa"  # b: its first call counts, and its second uses up the time
    assert results == {"a": "a", "b": "b"}
    assert seconds == {"a": [0.1] * 3, "b": [5.0] * 2}


def test_times_are_those_of_the_call():
    seconds, result = timing.seconds_of(lambda: time.sleep(0.05) or 7)
    assert 0.05 <= seconds < 5
    assert result == 7
    assert timing.ratios([4.0, 6.0], [1.0, 2.0, 3.0]) == [2.0, 2.0]
    assert timing.spread([3.0, 1.0, 2.0]) == {"median": 2.0, "low": 1.0, "high": 3.0}


def test_memory_is_that_of_the_call():
    kept = np.ones(10_000_000 // 8)
    peak = timing.peak_memory(lambda: np.ones(80_000_000 // 8).sum())
    assert 70 < peak < 130
    assert timing.peak_memory(lambda: kept.sum()) < 20


def test_exponent_and_targets():
    entries = [{"size": n, "cmlflow": {"median": 3.0 * n**1.5}} for n in (10, 20, 40)]
    assert exponent(entries) == pytest.approx(1.5)
    assert exponent(entries[:1]) is None
    entry = {"row": "step-supcon", "size": 8000, "flops": 4e9, "precision": "float32"}
    entry |= {"cmlflow": {"median": 5.0, "peak_mb": 50.0}}
    entry["rivals"] = [{"name": "textbook", "ratio": {"median": 12.0}, "peak_mb": 500.0}]
    found = {t["what"]: (t["reached"], t["met"]) for t in targets([entry], {"float32": 2.0})}
    assert found == {"ratio": (12.0, True), "memory": (0.1, True), "floor": (2.5, True)}
    assert floor_of(entry, {}) is None
    assert all(t[0] in ROWS and t[1] in ROWS[t[0]].sizes for t in TARGETS)


def test_rows_of_a_wrong_name_are_refused(tmp_path, capsys):
    with pytest.raises(ValueError, match="row 'steps' is not known; there are step-supcon"):
        chosen(["steps"])
    assert main(["benchmark", "speed", "-o", str(tmp_path / "out"), "--rows", "steps"]) == 1
    assert "step-supcon" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_reports(tmp_path, capsys):
    assert main(["benchmark", "speed", "-o", str(tmp_path), "--quick", "--no-memory", "--rows", "overlay"]) == 0
    found = json.loads((tmp_path / "speed.json").read_text())
    assert (tmp_path / "speed.md").read_text() == markdown(found)
    assert set(found) == {
        "format", "date", "quick", "device", "machine", "rows", "gemm_gflops", "gemm_gflops_at_the_end", "threads",
        "versions", "model", "targets",
    }  # fmt: skip
    (row,) = found["rows"]
    assert (row["row"], row["size"]) == ("overlay", 5)
    assert len(row["cmlflow"]["seconds"]) == 3
    assert set(found["threads"].values()) == {1}
    assert found["machine"] == machine("cpu")
    assert {"cmlflow", "torch"} <= set(found["versions"])
    shown = capsys.readouterr().out
    assert "overlay of showers, 5 particles" in shown


def test_memory_is_measured_in_processes_of_their_own(tmp_path, monkeypatch, inputs):
    jobs = []

    def worker(job):
        jobs.append(job)
        answers = []
        if "candidate" in job:
            measure_memory(job["row"], job["size"], job["candidate"], inputs, answers.append)
        else:
            measure_times(job["rows"], job["quick"], 1, 1.0, inputs, answers.append)
        return iter(answers)

    monkeypatch.setattr(speed, "_worker", worker)
    monkeypatch.setattr(timing, "gemm_gflops", lambda device: {"float32": 50.0})
    found = speed_benchmark(tmp_path, ["overlay", "read-parquet"], quick=True, verbose=False)
    first, second = found["rows"]
    assert first["cmlflow"]["peak_mb"] >= 0
    assert all(rival["peak_mb"] >= 0 for rival in first["rivals"])
    assert "peak_mb" not in second["cmlflow"]  # with --quick of the first row alone
    assert [job.get("candidate") for job in jobs] == [None, "cmlflow", *(r["name"] for r in first["rivals"])]
    assert "| 10 events |" in (tmp_path / "speed.md").read_text()


def test_a_failing_process_is_an_error_of_one_line(tmp_path):
    with pytest.raises(RuntimeError, match=r"process that measures the rows ended with 1: .*no-such-model"):
        speed_benchmark(tmp_path, ["knn-16d"], quick=True, model="no-such-model", verbose=False)


def test_the_script_is_the_command():
    script = ROOT / "benchmarks" / "speed.py"
    done = subprocess.run(
        [sys.executable, script, "--help"], capture_output=True, text=True, env=os.environ, check=True
    )
    assert "--quick" in done.stdout


def test_multiplicity_is_the_usual_benchmark(capsys):
    for arguments in (["benchmark", "no-model", "-o", "x"], ["benchmark", "multiplicity", "no-model", "-o", "x"]):
        assert main(arguments) == 1
        assert "no-model" in capsys.readouterr().err


def test_results_on_file_are_of_a_full_run():
    found = json.loads((RESULTS / "speed.json").read_text())
    assert not found["quick"]
    assert (RESULTS / "speed.md").read_text() == markdown(found)
