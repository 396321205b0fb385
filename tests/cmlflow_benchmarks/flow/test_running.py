"""The whole benchmark at its smallest: run, kept, gone on with, reported."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cmlflow import model_paths
from cmlflow.cli import main
from cmlflow_benchmarks.flow import running
from cmlflow_benchmarks.flow.page import write_flow_report
from cmlflow_benchmarks.flow.plan import ALWAYS_1, HARD, PARAMETRIC, SCALED, TRUTH, WITHIN, Size
from cmlflow_benchmarks.flow.running import flow_benchmark
from cmlflow_benchmarks.flow.summary import markdown

ROOT = Path(__file__).parents[3]
TINY = Size("tiny", 8, 6, 4, 20, 8)
SHOWN = ["rho", "pi-gun-2-5", "jets"]
FACTS = {"cmlflow": "0", "date": "2026-01-01", "command": "cmlflow benchmark flow"}


@pytest.fixture(scope="module", autouse=True)
def nothing_packaged(tmp_path_factory):
    """Models are those the tests name, whatever comes with the package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_paths, "PACKAGED", tmp_path_factory.mktemp("packaged"))
        yield


@pytest.fixture(scope="module")
def given(model):
    return [f"{name}={model}" for name in ("rho-supcon", "pi-gun-supcon", "jets-supcon", "rhos-supcon")]


@pytest.fixture(scope="module")
def run(tmp_path_factory, given):
    folder = tmp_path_factory.mktemp("run")
    return folder, flow_benchmark(folder, TINY, samples=SHOWN, models=given, verbose=False, command="cmlflow <run>")


def never(*_, **__):
    raise AssertionError("run again")


def test_results_hold_every_sample_and_system(run):
    folder, found = run
    assert found == json.loads((folder / "results.json").read_text())
    assert list(found["samples"]) == SHOWN
    rho, gun, jets = (found["samples"][s] for s in SHOWN)
    for result, n in ((rho, 8), (gun, 8), (jets, 6)):
        assert result["events"] == n
        assert "residuals" not in result
    models = {"rho-supcon", "rho-supcon" + HARD}
    assert models | {ALWAYS_1, "always 0", "random", "nearest track", WITHIN, PARAMETRIC} == set(
        rho["association"]["figures"]
    )
    assert models | {"always 0", WITHIN, PARAMETRIC} == set(rho["neutral"]["figures"])
    assert {"pi-gun-supcon", "pi-gun-supcon" + HARD, "always 0", PARAMETRIC} == set(gun["neutral"]["figures"])
    assert "association" not in gun
    ours = {name + end for name in ("jets-supcon", "rhos-supcon") for end in ("", HARD)}
    assert ours | {"rhos-supcon" + SCALED, TRUTH, WITHIN, PARAMETRIC} == set(jets["jets"]["figures"])
    assert set(jets["candidates"]["figures"]) == set(jets["jets"]["figures"])
    assert rho["association"]["figures"][ALWAYS_1] == rho["association"]["figures"]["nearest track"]  # one track
    assert rho["association"]["figures"][ALWAYS_1]["weighted_recall"][0] == 1.0
    assert jets["association"]["figures"][TRUTH]["weighted_f1"][0] == 1.0
    assert jets["candidates"]["figures"][TRUTH]["charged_purity"][0] == 1.0
    assert jets["chosen"]["scale"] == "jets-supcon"
    assert f"{rho['chosen']['radius']:g}" in rho["chosen"]["radii"]


def test_pairs_are_differences_on_the_same_events(run):
    _, found = run
    rho = found["samples"]["rho"]
    figures = rho["association"]["figures"]
    pairs = {(p["system"], p["against"]): p for p in rho["pairs"]}
    for against in (ALWAYS_1, WITHIN, PARAMETRIC, "rho-supcon" + HARD):
        lead = pairs["rho-supcon", against]["association"]["weighted_f1_difference"]
        wanted = figures["rho-supcon"]["weighted_f1"][0] - figures[against]["weighted_f1"][0]
        assert lead[0] == pytest.approx(wanted)
        assert lead[1] <= lead[2]
    assert "neutral" not in pairs["rho-supcon", ALWAYS_1]
    jets = {(p["system"], p["against"]): p for p in found["samples"]["jets"]["pairs"]}
    widths = [
        found["samples"]["jets"]["jets"]["figures"][s]["energy_sigma_eff"][0] for s in (PARAMETRIC, "jets-supcon")
    ]
    assert jets["jets-supcon", PARAMETRIC]["jets"]["energy_sigma_eff_ratio"][0] == pytest.approx(widths[0] / widths[1])
    # the same model under two names: transfer costs nothing
    transfer = jets["rhos-supcon", "jets-supcon"]
    assert transfer["candidates"]["neutral_efficiency_difference"] == [0.0, 0.0, 0.0]
    assert transfer["jets"]["energy_sigma_eff_ratio"] == [1.0, 1.0, 1.0]


def test_networks_of_cells_are_beside_the_others(tmp_path, model, cells):
    given = [f"rho-supcon={model}", f"jets-supcon={model}", f"rho-pointnet={cells}", f"jets-pointnet={cells}"]
    found = flow_benchmark(tmp_path, TINY, samples=["rho", "jets"], models=given, verbose=False)["samples"]
    rho, jets = found["rho"], found["jets"]
    for table in ("association", "association_soft", "neutral"):
        assert "rho-pointnet" in rho[table]["figures"]
    assert {"jets-pointnet", "jets-pointnet, iterative"} < set(jets["candidates"]["figures"])
    assert {"jets-pointnet", "jets-pointnet, iterative"} < set(jets["jets"]["figures"])
    pairs = {(p["system"], p["against"]) for p in rho["pairs"] + jets["pairs"]}
    assert {("rho-pointnet", "rho-supcon"), ("rho-pointnet", PARAMETRIC), ("jets-pointnet", "jets-supcon")} < pairs
    assert {("jets-pointnet", "jets-pointnet, iterative"), ("jets-pointnet, iterative", PARAMETRIC)} < pairs
    assert set(jets["seconds"]) == {"jets-supcon", "jets-pointnet", "jets-pointnet, iterative"}
    assert min(jets["seconds"].values()) > 0
    assert "CPU time for one event: rho-supcon " in (tmp_path / "results.md").read_text()


def test_what_is_absent_is_shown_as_not_run(run):
    folder, found = run
    text = (folder / "results.md").read_text()
    assert text == markdown(found)
    assert "| rho-oc | not run | not run |" in text
    assert "| jets-oc | not run | not run |" in text
    assert "**pi-gun-5-10**\n\nNot run." in text
    assert r"π gun 5–10 GeV: \|bias\| of the neutral residual ≤ 0.03 | - | not run | not run |" in text
    assert "Transfer: rhos-supcon" in text
    page = (folder / "report.html").read_text()
    assert "Models that have not been run: rho-oc, jets-oc, rho-pointnet, jets-pointnet, pi-gun-graph," in page
    assert page.count("<figure>") == 9
    assert "cmlflow &lt;run&gt;" in page
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    assert not list(folder.rglob("*.tmp"))


def test_a_second_run_repeats_nothing(run, given, monkeypatch):
    folder, found = run
    monkeypatch.setattr(running, "simulate", never)
    monkeypatch.setattr(running, "measured", never)
    again = flow_benchmark(folder, TINY, samples=SHOWN, models=given, verbose=False)
    assert again["samples"] == found["samples"]
    assert flow_benchmark(folder, TINY, run=False, verbose=False)["samples"] == found["samples"]


def test_other_settings_and_models_are_noticed(run, given, tmp_path, monkeypatch):
    folder, found = run
    with pytest.raises(ValueError, match=r"rho.json was made with other settings \(n_events 8, now 9\).*--again"):
        flow_benchmark(folder, TINY.with_events(9), models=given, verbose=False)
    for file in folder.glob("samples/*.json"):
        (tmp_path / "samples").mkdir(exist_ok=True)
        (tmp_path / "samples" / file.name).write_text(file.read_text())
    more = [*given, given[0].replace("rho-supcon", "rho-oc")]
    with pytest.raises(ValueError, match=r"\(models.rho-oc null, now"):
        flow_benchmark(tmp_path, TINY, samples=SHOWN, models=more, verbose=False)
    made = []
    real = running.measured
    monkeypatch.setattr(running, "measured", lambda sample, *a: made.append(sample) or real(sample, *a))
    new = flow_benchmark(tmp_path, TINY, samples=SHOWN, models=more, again=True, verbose=False)
    assert made == ["rho"]
    assert new["samples"]["jets"] == found["samples"]["jets"]
    old, both = (x["samples"]["rho"]["association"]["figures"] for x in (found, new))
    assert both["rho-oc"] == both["rho-supcon"] == old["rho-supcon"]


def test_a_sample_without_models(tmp_path, monkeypatch):
    monkeypatch.setattr("cmlflow_benchmarks.models.packaged_models", lambda **_: [])
    found = flow_benchmark(tmp_path, TINY, samples=["pi-gun-15-20"], verbose=False)
    assert found["samples"]["pi-gun-15-20"]["pairs"] == []
    assert all(g["verdict"] == "not run" for g in found["goals"])
    assert "No model has been run." in (tmp_path / "report.html").read_text()
    widths = found["samples"]["pi-gun-15-20"]["neutral"]["figures"]
    assert np.isfinite([widths[s]["core_sigma"][0] for s in (PARAMETRIC, "always 0")]).all()


def test_nothing_run(tmp_path):
    found = flow_benchmark(tmp_path / "new", run=False, verbose=False)
    assert found["samples"] == {}
    assert "Not run." in (tmp_path / "new" / "report.html").read_text()
    write_flow_report(tmp_path / "page.html", {}, found["goals"], FACTS)
    with pytest.raises(ValueError, match="size: unknown name 'small', expected one of full, quick"):
        flow_benchmark(tmp_path, "small", run=False)


def test_command_line_and_script(tmp_path, model, capsys):
    arguments = ["benchmark", "flow", "-o", str(tmp_path / "a"), "--samples", "pi-gun-5-10", "-n", "3", "--quick"]
    assert main([*arguments, "--models", f"pi-gun-supcon={model}"]) == 0
    out = capsys.readouterr().out
    assert "pi-gun-5-10: 3 events" in out
    assert "report.html written to" in out
    found = json.loads((tmp_path / "a" / "results.json").read_text())
    assert found["command"].startswith("cmlflow benchmark flow -o")
    assert main(["benchmark", "flow", "-o", str(tmp_path / "a"), "--report-only"]) == 0
    assert json.loads((tmp_path / "a" / "results.json").read_text())["samples"] == found["samples"]
    assert main(["benchmark", "flow", "-o", str(tmp_path), "--models", "rho=x"]) == 1
    assert "models: unknown name 'rho' in 'rho=x', expected one of rho-supcon" in capsys.readouterr().err
    script = [sys.executable, str(ROOT / "benchmarks" / "flow.py"), "--help"]
    assert "particle flow on test samples" in " ".join(subprocess.check_output(script, text=True).split()).lower()
