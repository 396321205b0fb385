"""The whole benchmark at its smallest: trained, tuned, tested, kept, gone on with, reported."""

import json
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from cmlflow.cli import main
from cmlflow_benchmarks.keeping import kept, read_kept, write_json
from cmlflow_benchmarks.physics import models, running
from cmlflow_benchmarks.physics.figures import distribution_figure, energy_figure, number_figure
from cmlflow_benchmarks.physics.matrix import SIZES, Run
from cmlflow_benchmarks.physics.page import write_physics_report
from cmlflow_benchmarks.physics.running import figures_of, physics_benchmark

ROOT = Path(__file__).parents[3]
TINY = replace(SIZES["quick"], events={1: 2, 2: 2}, n_tuning=1, n_spectrum=2, bootstrap=20)
TINY = replace(TINY, training={"n_events": 2, "n_validation": 1})
ONE = {"kinds": ["em"], "systems": ["supcon", "oc"], "dims": [16], "seeds": [1], "verbose": False}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("physics")
    return folder, physics_benchmark(folder, TINY, **ONE, command="cmlflow benchmark physics")


def test_results_hold_every_run_and_figure(run):
    folder, found = run
    assert found == json.loads((folder / "results.json").read_text())
    assert [c["name"] for c in found["cells"]] == ["em-supcon-16d-seed1", "em-oc-16d-seed1"]
    for run in found["cells"]:
        assert run["state"] == "done"
        assert run["minutes"] > 0
        assert len(run["tuning"]["thresholds"]) == (8 if run["name"].startswith("em-supcon") else 10)
    shown = [f for f in found["figures"] if f.get("particles") == 2 and "readout" in f]
    assert {(f["system"], f["readout"]) for f in shown} >= {
        ("supcon", "density"),
        ("oc", "condensation"),
        ("oc", "ward"),
    }
    assert all(0 <= f["efficiency"]["value"] <= 1 for f in shown)
    assert found["goals"] == []


def test_a_second_run_repeats_nothing(run, monkeypatch):
    folder, found = run
    before = {p: p.stat().st_mtime_ns for p in folder.glob("cells/*/*-0*.json.gz")}
    assert len(before) == 4

    def never(*_, **__):
        raise AssertionError("run again")

    monkeypatch.setattr(models, "run_recipe", never)
    monkeypatch.setattr("cmlflow_benchmarks.physics.testing.score", never)
    monkeypatch.setattr("cmlflow.clusterer.MetricClusterer.tune", never)
    again = physics_benchmark(folder, TINY, **ONE)
    assert again["figures"] == found["figures"]
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert physics_benchmark(folder, TINY, **ONE, report_only=True)["figures"] == found["figures"]


def test_what_is_missing_is_made_and_nothing_else(run, monkeypatch):
    folder, found = run
    lost = folder / "cells" / "em-oc-16d-seed1" / "em-02.json.gz"
    old = read_kept(lost)
    lost.unlink()
    part = physics_benchmark(folder, TINY, **ONE, report_only=True)
    assert [c["state"] for c in part["cells"]] == ["done", "partly run"]
    assert "partly run" in (folder / "report.html").read_text()
    made = []
    monkeypatch.setattr(models, "run_recipe", None)
    real = running.scored
    monkeypatch.setattr(
        running, "scored", lambda m, path, *a, **k: made.append(path.exists()) or real(m, path, *a, **k)
    )
    assert physics_benchmark(folder, TINY, **ONE)["figures"] == found["figures"]
    assert made.count(False) == 1
    assert read_kept(lost)["readouts"] == old["readouts"]


def test_a_kept_run_does_not_need_its_model(run, tmp_path, monkeypatch):
    folder, found = run
    copy = tmp_path / "checkout"
    shutil.copytree(folder / "cells", copy / "cells")
    monkeypatch.setattr(models, "run_recipe", None)
    assert physics_benchmark(copy, TINY, **ONE)["figures"] == found["figures"]
    assert not (copy / "models").exists()
    with pytest.raises(TypeError):  # by another recipe: trained anew
        physics_benchmark(copy, replace(TINY, training={"n_events": 4, "n_validation": 1}), **ONE)


def test_gzipped_results_are_the_same_bytes_each_time(tmp_path, monkeypatch):
    first, second = tmp_path / "a.json.gz", tmp_path / "b.json.gz"
    write_json(first, {"settings": 1})
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3600)
    write_json(second, {"settings": 1})
    assert first.read_bytes() == second.read_bytes()
    assert read_kept(second) == {"settings": 1}
    first.write_bytes(first.read_bytes()[:10])
    with pytest.raises(ValueError, match=r"a.json.gz: not a kept result"):
        read_kept(first)


def test_other_settings_are_noticed(run, tmp_path):
    folder, _ = run
    with pytest.raises(ValueError, match=r"em-01.json.gz was made with other settings \(n_events 2, now 3\).*--again"):
        physics_benchmark(folder, replace(TINY, events={1: 3, 2: 2}), **ONE)
    with pytest.raises(ValueError, match=r"recipe.json was made with other settings \(recipe.n_events 2, now 4\)"):
        physics_benchmark(folder, replace(TINY, training={"n_events": 4, "n_validation": 1}), **ONE)
    path = tmp_path / "a.json"
    assert kept(path, {"n": 1}, lambda: {"x": 1})["x"] == 1
    assert kept(path, {"n": 1}, lambda: {"x": 2})["x"] == 1
    assert kept(path, {"n": 2}, lambda: {"x": 3}, again=True)["x"] == 3
    assert kept(path, {"n": 2}, lambda: {"x": 4})["x"] == 3
    path.write_text("[]")
    with pytest.raises(ValueError, match="not a kept result"):
        kept(path, {"n": 2}, dict)


def test_a_given_model_is_taken_and_others_are_not_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "run_recipe", None)
    size = replace(TINY, events={2: 1})
    found = physics_benchmark(tmp_path, size, **ONE, models=["compact-em-oc"], train=False)
    assert [c["state"] for c in found["cells"]] == ["not run", "done"]
    assert found["cells"][1]["model"] == "compact-em-oc"
    assert {f["system"] for f in found["figures"]} == {"oc"}
    assert all(
        v["verdict"] == "not run" for c in found["claims"] if c["name"] == "purity" for v in c["verdicts"].values()
    )
    with pytest.raises(ValueError, match="compact-em-oc has dimension 16, but em-oc-4d-seed1 asks for 4"):
        physics_benchmark(tmp_path, size, **ONE | {"dims": [4]}, models=["em-oc-4d-seed1=compact-em-oc"], train=False)


def test_wrong_names_fail_in_one_line(tmp_path, capsys):
    assert main(["benchmark", "physics", "-o", str(tmp_path / "x"), "--systems", "kmeans"]) == 1
    assert (
        capsys.readouterr().err == "cmlflow: system 'kmeans' is not known; there are "
        "supcon, oc, best, slopes, raw, projective, oclong\n"
    )
    with pytest.raises(ValueError, match="size: unknown name 'huge', expected one of compact, paper, quick"):
        physics_benchmark(tmp_path, "huge")
    assert list(tmp_path.iterdir()) == []


def test_report_holds_tables_figures_and_claims(results, tmp_path):
    from cmlflow_benchmarks.physics.claims import judged

    states = dict.fromkeys(results.runs, "done")
    facts = {"cmlflow": "0", "date": "2026-01-01", "command": "cmlflow benchmark physics <here>"}
    page = write_physics_report(tmp_path / "r.html", results, states, judged(results), [], facts).read_text()
    titles = re.findall(r"<h2>(.*?)</h2>", page)
    assert [t.split(":")[0] for t in titles if t[:5] in ("Table", "Figur")] == [
        "Figure 3", "Figure 2", "Figure 4", "Table 2", "Figure 1", "Table 1", "Table 3",
    ]  # fmt: skip
    assert page.count("data:image/svg+xml") == 4
    assert "0.941" in page  # of the paper's table 2
    assert "height 6.75" in page  # and of its table 1
    assert '<span class="verdict holds">holds</span>' in page
    assert "&lt;here&gt;" in page
    assert 'src="http' not in page


def test_figures_show_every_curve_that_was_run_and_say_what_was_not(results, make, matrix, size):
    pairs = 3  # EM, mixed on EM, mixed on HAD
    figure = number_figure(results)
    assert len(figure.axes) == 3 * pairs
    assert all(len(ax.containers) == 4 for ax in figure.axes)  # two systems, two readouts
    assert figure.axes[0].get_ylabel() == "efficiency"
    assert figure.axes[-1].get_xlabel() == "particles per event"
    assert all(len(ax.containers) == 5 for ax in energy_figure(results, ("resolution",)).axes)  # and the floor
    assert len(distribution_figure(results).axes) == 3 * pairs
    empty = number_figure(make(matrix, size, {}))
    assert all("not run" in [t.get_text() for t in ax.texts] for ax in empty.axes)


def test_figures_by_number_and_energy_have_intervals_and_seeds(make, matrix, size):
    some = [c for c in matrix if c.system == "oc"]
    found = figures_of(make(some, replace(size, bootstrap=10), {"oc": "poor"}))
    one = next(f for f in found if f.get("particles") == 15 and f["system"] == "oc" and f.get("readout") == "ward")
    assert one["purity"]["low"] < one["purity"]["value"] < one["purity"]["high"]
    assert set(one["purity"]["seeds"]) == {"1", "2"}
    assert {tuple(f["energy"]) for f in found if "energy" in f} >= {(10.0, 30.0), (150.0, 200.0)}
    assert [f for f in found if f["sample"] == "mixed-spectrum"]


def test_summary_has_a_row_for_each_score_and_claim(run):
    folder, found = run
    lines = (folder / "results.md").read_text().splitlines()
    assert lines[2].startswith("| em | em | 1 | SupCon | density |")
    assert lines[3].startswith("| em | em | 1 | OC | condensation |")
    one = next(f for f in found["figures"] if f.get("particles") == 1 and f.get("readout") == "density")
    assert f"| {one['efficiency']['value']:.3f} " in lines[2]
    table = [line for line in lines if line.startswith("| Higher purity")]
    assert table == [
        "| Higher purity in high-multiplicity events (abstract; V.2, Figure 3; VI) |" + " not run |" * 4 + "  |"
    ]


def test_the_script_is_the_command():
    script = ROOT / "benchmarks" / "physics.py"
    done = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, check=True)
    assert "--quick" in done.stdout


@pytest.mark.slow
def test_command_with_a_packaged_model(tmp_path, capsys):
    words = ["benchmark", "physics", "--quick", "--kinds", "em", "--systems", "supcon", "-n", "1", "-o", str(tmp_path)]
    words += ["--models", "packaged", "--no-training"]
    assert main(words) == 0
    assert "em-supcon-16d-seed1: tested on em-04" in capsys.readouterr().out
    assert main([*words, "--report-only"]) == 0
    assert "tested" not in capsys.readouterr().out
    assert Run("em", "supcon", 16, 1).name in (tmp_path / "results.json").read_text()
    assert "cmlflow benchmark physics --quick" in (tmp_path / "report.html").read_text()
