"""The command line: from simulated events to scores and a page, and one line on stderr for what goes wrong."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import cmlflow
from cmlflow.association import Associator
from cmlflow.cli import main
from cmlflow.io import read_candidates, read_labels
from cmlflow.nets.network import NetworkConfig

COMMANDS = ["demo", "simulate", "train", "tune", "cluster", "evaluate", "benchmark", "show"]


def run(*arguments):
    return main([str(a) for a in arguments])


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    path = tmp_path_factory.mktemp("events") / "sample.parquet"
    assert run("simulate", "compact-em", "-n", 4, "-p", 2, "-s", 5, "-o", path) == 0
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory, sample):
    folder = tmp_path_factory.mktemp("model") / "tiny"
    assert run("train", sample, "-o", folder, "--epochs", 1, "--batch-size", 2, "--dim", 4) == 0
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command(command, capsys):
    with pytest.raises(SystemExit) as end:
        run(command, "--help")
    assert end.value.code == 0
    assert f"usage: cmlflow {command}" in capsys.readouterr().out


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as end:
        run("--help")
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert [c for c in COMMANDS if f"\n    {c}" not in shown] == []


def test_version(capsys):
    with pytest.raises(SystemExit) as end:
        run("--version")
    assert end.value.code == 0
    assert capsys.readouterr().out == f"cmlflow {cmlflow.__version__}\n"


def test_simulate_writes_the_events_of_the_library(sample):
    events = cmlflow.read(sample)
    wanted = cmlflow.simulate("compact-em", 4, seed=5, n_particles=2)
    assert len(events) == 4
    for event, same in zip(events, wanted, strict=True):
        np.testing.assert_array_equal(event.position, same.position)
        np.testing.assert_array_equal(event.energy, same.energy)
        np.testing.assert_array_equal(event.particle_id, same.particle_id)


@pytest.mark.parametrize("suffix", ["parquet", "root"])
def test_cluster_evaluate_show(sample, model, tmp_path, capsys, suffix):
    clusters, scores, page = tmp_path / f"clusters.{suffix}", tmp_path / "scores.json", tmp_path / "page.html"
    assert run("cluster", sample, "-o", clusters, "--model", model, "--readout", "clue") == 0
    events = cmlflow.read(sample)
    wanted = cmlflow.MetricClusterer.load(model, readout="clue").predict(events)
    for stored, labels in zip(read_labels(clusters), wanted, strict=True):
        np.testing.assert_array_equal(stored, labels)

    capsys.readouterr()
    assert run("evaluate", clusters, "--json", scores) == 0
    table = cmlflow.evaluate(cmlflow.read(clusters), wanted)
    assert str(table) in capsys.readouterr().out
    assert json.loads(scores.read_text()) == table.to_dict()

    assert run("show", clusters, "-o", page, "-e", 0, 2) == 0
    html = page.read_text()
    assert html.startswith("<!DOCTYPE html>")
    assert html.rstrip().endswith("</html>")
    assert not re.findall(
        r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", re.sub(r"(?s)(<script[^>]*>).*?</script>", r"\1", html)
    )


def test_evaluate_with_a_model_scores_what_cluster_writes(sample, model, tmp_path, capsys):
    clusters = tmp_path / "clusters.parquet"
    assert run("cluster", sample, "-o", clusters, "--model", model) == 0
    capsys.readouterr()
    assert run("evaluate", clusters) == 0
    stored = capsys.readouterr().out
    assert run("evaluate", sample, "--model", model) == 0
    assert capsys.readouterr().out == stored
    assert run("evaluate", sample, "--model", model, "--preset", "ticl") == 0
    assert "efficiency" in capsys.readouterr().out


def test_evaluate_takes_the_energies_of_a_model_that_shares_hits(tmp_path):
    file, events = tmp_path / "pions.parquet", cmlflow.simulate("compact-had-test", 3, seed=2, n_particles=6)
    cmlflow.write(events, file)
    assert run("evaluate", file, "--model", "compact-had-best", "--json", tmp_path / "scores.json") == 0
    best = cmlflow.MetricClusterer.load("compact-had-best")
    labels = best.predict(events)
    table = cmlflow.evaluate(events, labels, energies=best.predict_energies(events))
    assert table.response != pytest.approx(cmlflow.evaluate(events, labels).response, rel=1e-3)
    assert json.loads((tmp_path / "scores.json").read_text())["response"] == pytest.approx(table.response.to_list())


def test_tune_writes_a_model_with_thresholds(sample, model, tmp_path, capsys):
    tuned = tmp_path / "tuned"
    assert run("tune", model, sample, "-o", tuned, "--readout", "ward", "--readout", "density") == 0
    assert "ward: {'height':" in capsys.readouterr().out
    thresholds = json.loads((tuned / "config.json").read_text())["thresholds"]
    assert set(thresholds) == {"ward", "density"}
    assert set(thresholds["density"]) == {"threshold", "radius"}
    assert cmlflow.MetricClusterer.load(tuned).thresholds_ == thresholds


def test_tuning_a_model_of_particle_flow_fits_its_association_too(tmp_path):
    cmlflow.write(cmlflow.simulate("rho-tuning", 60, seed=3), tmp_path / "rho.parquet")
    assert run("tune", "rho-supcon", tmp_path / "rho.parquet", "-o", tmp_path / "tuned", "--readout", "density") == 0
    packaged, tuned = (cmlflow.ParticleFlow.load(name) for name in ("rho-supcon", tmp_path / "tuned"))
    assert tuned.associator.sharing != packaged.associator.sharing
    assert set(tuned.clusterer.thresholds_) == set(packaged.clusterer.thresholds_)
    assert len(tuned.predict(cmlflow.simulate("rho-test", 2, seed=1))) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["simulate", "compact-em", "--energy", "50", "100"], "--energy goes with --geant4"),
        (["simulate", "e-", "--geant4", "-p", "3"], "--particles goes with a sample, not with --geant4"),
    ],
)
def test_options_that_do_nothing_are_refused(words, message, tmp_path, capsys):
    assert run(*words, "-o", tmp_path / "out.parquet") == 1
    assert message in capsys.readouterr().err


def test_what_cannot_be_written_is_told_before_the_work(sample, model, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cmlflow.MetricClusterer, "fit", None)
    monkeypatch.setattr(cmlflow.MetricClusterer, "tune", None)
    file = tmp_path / "file"
    file.touch()
    for words, message in (
        (["tune", model, sample, "-o", file], "is a file, expected the name of a folder"),
        (["tune", model, sample, "-o", tmp_path / "out", "--readout", "foo"], "readout: got 'foo'"),
        (["train", sample, "-o", file], "is a file, expected the name of a folder"),
        (["train", sample, "-o", tmp_path / "out", "--tuning", "nope.root"], "nope.root: no such file"),
        (["evaluate", sample, "--json", tmp_path / "no" / "a.json"], "there is no folder"),
        (["demo", "-o", tmp_path], "is a folder, expected the name of a file"),
    ):
        assert run(*words) == 1
        assert message in capsys.readouterr().err


def test_training_from_the_shell_is_training_from_python(sample, model):
    same = cmlflow.MetricClusterer(max_epochs=1, batch_size=2, dim=4).fit(cmlflow.read(sample))
    events = cmlflow.read(sample)
    for a, b in zip(cmlflow.MetricClusterer.load(model).transform(events), same.transform(events), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_benchmark_writes_json_and_markdown(model, tmp_path, capsys):
    assert run("benchmark", model, "-o", tmp_path, "-n", 2, "-p", 1, 2) == 1
    assert "was trained on events of a file: --sample has to name a test sample" in capsys.readouterr().err
    assert run("benchmark", "rho-supcon", "-o", tmp_path) == 1
    assert "model rho-supcon takes tracks" in capsys.readouterr().err
    assert run("benchmark", model, "-o", tmp_path, "-n", 2, "-p", 1, 2, "--sample", "compact-em-test") == 0
    rows = json.loads((tmp_path / "scores.json").read_text())
    assert {row["particles"] for row in rows} == {1, 2}
    assert len((tmp_path / "scores.md").read_text().splitlines()) == len(rows) + 2


def bad_inputs(folder, sample, model):
    """Arguments of commands that cannot succeed, and what the message has to say."""
    truncated, text, nothing = folder / "cut.parquet", folder / "text.root", folder / "empty.parquet"
    truncated.write_bytes(sample.read_bytes()[:2000])
    text.write_text("no ROOT file")
    nothing.touch()
    other = folder / "other"
    other.mkdir()
    config = json.loads((model / "config.json").read_text()) | {"format": 99}
    (other / "config.json").write_text(json.dumps(config))
    out = folder / "out.parquet"
    return {
        "no file": (["cluster", folder / "absent.parquet", "-o", out, "--model", model], "absent.parquet"),
        "truncated": (["cluster", truncated, "-o", out, "--model", model], "cut.parquet"),
        "not ROOT": (["evaluate", text], "text.root"),
        "empty": (["show", nothing, "-o", folder / "out.html"], "empty.parquet"),
        "a folder": (["evaluate", folder], "folder"),
        "no such model": (["cluster", sample, "-o", out, "--model", "compact-em-nothing"], "compact-em-nothing"),
        "model of another version": (["cluster", sample, "-o", out, "--model", other], "format 99"),
        "no such readout": (["cluster", sample, "-o", out, "--model", model, "--readout", "kmeans"], "kmeans"),
        "readout of another head": (
            ["cluster", sample, "-o", out, "--model", model, "--readout", "condensation"], "condensation",
        ),
        "output nowhere": (["cluster", sample, "-o", folder / "none" / "out.parquet", "--model", model], "none"),
        "output of no format": (["cluster", sample, "-o", folder / "out.txt", "--model", model], "out.txt"),
        "no clusters in the file": (["evaluate", sample], "sample.parquet"),
        "no such event": (["show", sample, "-e", 17, "-o", folder / "out.html"], "17"),
        "no such sample": (["simulate", "compact-muon", "-o", out], "compact-em"),
        "no such library": (["simulate", "compact-em", "-o", out, "--library", folder / "absent.npz"], "absent.npz"),
        "no such recipe": (["train", "compact-em-nothing", "-o", folder / "run"], "compact-em-supcon"),
        "validation of a recipe": (
            ["train", "smoke-supcon", "-o", folder / "run", "--validation", sample], "--validation",
        ),
        "no such head": (["train", sample, "-o", folder / "run", "--head", "triplet"], "expected one of ['axes'"),
        "no such format": (["evaluate", sample, "--format", "lcio"], "expected one of parquet, hgcaltb"),
        "no such model to tune": (["tune", "nothing", sample, "-o", folder / "run"], "nothing"),
    }  # fmt: skip


def test_bad_input_gives_one_line_and_writes_nothing(sample, model, tmp_path, capsys):
    cases = bad_inputs(tmp_path, sample, model)
    before = sorted(tmp_path.rglob("*"))
    for name, (arguments, told) in cases.items():
        capsys.readouterr()
        assert run(*arguments) == 1, name
        message = capsys.readouterr().err
        assert message.startswith("cmlflow: "), name
        assert message.count("\n") == 1, (name, message)
        assert told in message, (name, message)
        assert sorted(tmp_path.rglob("*")) == before, name


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(FileNotFoundError):
        run("--debug", "evaluate", tmp_path / "absent.parquet")


@pytest.mark.parametrize(
    "arguments",
    [[], ["nothing"], ["simulate", "compact-em"], ["simulate", "compact-em", "-o", "x.parquet", "-n", "0"]],
    ids=["no command", "unknown command", "no output", "no events"],
)
def test_wrong_usage_ends_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        run(*arguments)
    assert end.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_events_without_truth_cannot_be_scored(sample, model, tmp_path, capsys):
    unknown = tmp_path / "unknown.parquet"
    events = cmlflow.read(sample)
    cmlflow.write([cmlflow.Event(e.position, e.energy, e.layer) for e in events], unknown)
    clusters = tmp_path / "clusters.parquet"
    assert run("cluster", unknown, "-o", clusters, "--model", model) == 0
    for stored, labels in zip(read_labels(clusters), cmlflow.MetricClusterer.load(model).predict(events), strict=True):
        np.testing.assert_array_equal(stored, labels)  # clustering does not look at the truth
    capsys.readouterr()
    assert run("evaluate", clusters) == 1
    assert "particle_id is -1 everywhere" in capsys.readouterr().err


def test_interrupt_ends_with_130_and_leaves_nothing(tmp_path):
    arguments = ["simulate", "compact-em", "-n", "30000", "-o", "events.parquet"]
    code = f"""
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored where the tests run in the background
from cmlflow.association import Associator
from cmlflow.nets.network import NetworkConfig
from cmlflow.cli import main
sys.exit(main({arguments}))
"""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while not list(tmp_path.iterdir()) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, message = process.communicate(timeout=60)
    assert process.returncode == 130
    assert message == "cmlflow: interrupted\n"
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_stops_early_is_no_error(tmp_path):
    command = [sys.executable, "-m", "cmlflow", "simulate", "compact-em", "-n", "1", "-o", "events.parquet"]
    environment = os.environ | {"PYTHONUNBUFFERED": ""}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.close()  # as `| head -0` does
        assert process.stderr.read() == ""
    assert [file.name for file in tmp_path.iterdir()] == ["events.parquet"]


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flow") / "rho"
    events = list(cmlflow.simulate("rho", 30, seed=3))
    settings = {"network": NetworkConfig(k=8), "max_epochs": 1, "batch_size": 8}
    model = cmlflow.MetricClusterer(tracks=True, readout="ward", **settings).fit(events[:8])
    cmlflow.ParticleFlow(model, Associator(least=0.1)).fit(events).save(folder)
    return folder


def test_cluster_and_show_candidates(flow, tmp_path, capsys):
    events, found, root, page = (tmp_path / n for n in ("rho.parquet", "found.parquet", "found.root", "page.html"))
    assert run("simulate", "rho-test", "-n", 4, "-o", events) == 0
    assert run("cluster", events, "-o", found, "--model", flow) == 0
    assert run("cluster", events, "-o", root, "--model", flow) == 0
    wanted = cmlflow.ParticleFlow.load(flow).predict(cmlflow.read(events))
    rows = zip(wanted, read_candidates(found), read_labels(found), read_labels(root), strict=True)
    for want, have, labels, of_root in rows:
        np.testing.assert_array_equal(want.share, have.share)
        np.testing.assert_array_equal(want.momentum, have.momentum)
        np.testing.assert_array_equal(want.track, have.track)
        np.testing.assert_array_equal(want.labels, labels)
        np.testing.assert_array_equal(want.labels, of_root)
    assert run("show", found, "-o", page, "-e", 1) == 0
    stored = page.read_text()
    assert "1 charged and" in stored
    assert run("show", events, "--model", flow, "-o", page, "-e", 1) == 0
    assert page.read_text() == stored
    assert capsys.readouterr().err == ""
    assert run("evaluate", found) == 0
    of_file = capsys.readouterr().out
    assert run("evaluate", events, "--model", flow) == 0
    assert capsys.readouterr().out == of_file


def test_research_benchmarks_need_their_package(model, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cmlflow_benchmarks", None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, "cmlflow_benchmarks.commands", raising=False)
    with pytest.raises(SystemExit) as end:
        run("benchmark", "speed", "-o", tmp_path, "--quick")
    assert end.value.code == 1
    assert capsys.readouterr().err == (
        "cmlflow: missing package: cmlflow benchmark speed needs cmlflow_benchmarks, which is not installed\n"
    )
    words = ("-o", tmp_path / "own", "-n", 2, "-p", 1, "--sample", "compact-em-test")
    assert run("benchmark", model, *words) == 0  # scores of one's own model do not need it
    with pytest.raises(SystemExit) as end:
        run("benchmark", "--help")
    assert end.value.code == 0
