"""Many files: the same outputs in every way of running, none lost, none half-written, nothing done twice."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import uproot

import cmlflow
from cmlflow import distributed
from cmlflow.cli import main
from cmlflow.io.provenance import PROVENANCE, read_provenance


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Six small files."""
    folder = tmp_path_factory.mktemp("sources")
    for i in range(6):
        events = cmlflow.simulate("compact-em", 2, seed=i, n_particles=1)
        cmlflow.write(events, folder / f"run{i}.parquet")
    return folder


def contents(folder):
    """Everything but the time of writing, by file."""
    out = {}
    for path in sorted(folder.glob("*.parquet")):
        note = {k: v for k, v in read_provenance(path).items() if k != "written"}
        out[path.name] = pq.read_table(path).to_pylist(), note
    return out


@pytest.fixture(scope="module")
def serial(sources, tmp_path_factory):
    out = tmp_path_factory.mktemp("serial")
    summary = distributed.cluster(sources / "*.parquet", out)
    assert (len(summary.done), summary.skipped, summary.failed) == (6, [], {})
    return out


def test_outputs_hold_labels_and_say_what_they_were_made_from(serial, sources):
    model = cmlflow.load("compact-em-supcon")
    for i in range(6):
        events = cmlflow.read(sources / f"run{i}.parquet")
        stored = cmlflow.io.read_labels(serial / f"run{i}.parquet")
        for a, b in zip(stored, model.predict(events), strict=True):
            np.testing.assert_array_equal(a, b)
        note = read_provenance(serial / f"run{i}.parquet")
        assert note["source"] == f"run{i}.parquet"
        assert note["model"].startswith("compact-em-supcon ")
        assert note["size"] == (sources / f"run{i}.parquet").stat().st_size


@pytest.mark.slow
def test_processes_give_the_same(sources, serial, tmp_path):
    summary = distributed.cluster(sources / "*.parquet", tmp_path, workers=2)
    assert len(summary.done) == 6
    assert contents(tmp_path) == contents(serial)


@pytest.mark.slow
def test_a_killed_process_loses_nothing(sources, serial, tmp_path):
    killed = threading.Event()

    def kill_one():
        while not killed.is_set():
            for child in Path(f"/proc/{os.getpid()}/task").glob("*/children"):
                for pid in child.read_text().split():
                    if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes() and any(tmp_path.glob("*.parquet")):
                        os.kill(int(pid), signal.SIGKILL)
                        killed.set()
                        return
            time.sleep(0.02)

    thread = threading.Thread(target=kill_one)
    thread.start()
    summary = distributed.cluster(sources / "*.parquet", tmp_path, workers=2)
    killed.set()
    thread.join()
    assert (len(summary.done), summary.failed) == (6, {})
    assert contents(tmp_path) == contents(serial)
    assert not list(tmp_path.glob(".*.part"))


def test_a_second_run_skips_what_is_done(sources, serial):
    before = {p.name: p.stat().st_mtime_ns for p in serial.glob("*.parquet")}
    summary = distributed.cluster(sources / "*.parquet", serial)
    assert (summary.done, len(summary.skipped)) == ([], 6)
    assert {p.name: p.stat().st_mtime_ns for p in serial.glob("*.parquet")} == before


def test_skipping_does_not_need_torch(sources, serial):
    code = f"""
import sys
sys.modules["torch"] = None
from cmlflow.distributed import cluster
print(len(cluster({str(sources / "*.parquet")!r}, {str(serial)!r}).skipped))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "6"


def test_a_changed_source_or_model_runs_again(sources, serial, tmp_path):
    for name in ("run0.parquet", "run1.parquet"):
        (tmp_path / name).write_bytes((sources / name).read_bytes())
    out = tmp_path / "out"
    distributed.cluster(tmp_path / "*.parquet", out)
    cmlflow.write(cmlflow.simulate("compact-em", 1, seed=9, n_particles=1), tmp_path / "run1.parquet")
    summary = distributed.cluster(tmp_path / "*.parquet", out)
    assert [p.name for p in summary.done] == ["run1.parquet"]
    assert len(distributed.cluster(tmp_path / "*.parquet", out, readout="ward").done) == 2
    assert len(distributed.cluster(tmp_path / "*.parquet", out, readout="ward", format="parquet").done) == 2
    assert len(distributed.cluster(tmp_path / "*.parquet", out, readout="ward", format="parquet").skipped) == 2
    distributed.cluster(tmp_path / "*.parquet", out, readout="ward")
    (out / "run0.parquet").write_bytes((out / "run0.parquet").read_bytes()[:-20])  # half of it
    assert [p.name for p in distributed.cluster(tmp_path / "run0.parquet", out, readout="ward").done] == [
        "run0.parquet"
    ]


def test_shards_share_the_files(sources, serial, tmp_path):
    parts = [distributed.cluster(sources / "*.parquet", tmp_path, shard=(i, 4)) for i in (1, 2, 3, 4)]
    assert [len(p.done) for p in parts] == [2, 2, 1, 1]
    assert contents(tmp_path) == contents(serial)
    with pytest.raises(ValueError, match="shard is 5/4"):
        distributed.cluster(sources / "*.parquet", tmp_path, shard=(5, 4))


def test_a_bad_file_is_reported_once(sources, tmp_path, capsys):
    inputs = tmp_path / "in"
    inputs.mkdir()
    for name in ("run0.parquet", "run1.parquet", "run2.parquet"):
        (inputs / name).write_bytes((sources / name).read_bytes())
    (inputs / "run1.parquet").write_bytes((sources / "run1.parquet").read_bytes()[:500])
    arguments = ["cluster", str(inputs / "*.parquet"), "-o", str(tmp_path / "out")]
    assert main([*arguments, "--skip-bad-files"]) == 1
    shown = capsys.readouterr()
    assert "2 files clustered, 0 done before, 1 failed" in shown.out
    assert shown.out.count("run1.parquet failed") == 1
    assert "1 of the files failed, the first one" in shown.err
    assert not list((tmp_path / "out").glob(".*"))
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["run0.parquet", "run2.parquet"]
    assert main([*arguments[:3], str(tmp_path / "other")]) == 1
    assert [p.name for p in (tmp_path / "other").iterdir()] == ["run0.parquet"]


def test_outputs_that_would_be_one_are_refused(sources, tmp_path):
    (tmp_path / "run0.parquet").write_bytes((sources / "run0.parquet").read_bytes())
    with pytest.raises(ValueError, match=r"would both be written to .*run0\.parquet"):
        distributed.cluster([sources / "run0.parquet", tmp_path / "run0.parquet"], tmp_path / "out")
    with pytest.raises(ValueError, match="would be overwritten"):
        distributed.cluster(tmp_path / "run0.parquet", tmp_path)
    assert main(["cluster", str(sources / "*.parquet"), "-o", str(tmp_path / "one.parquet")]) == 1


def test_left_over_parts_of_own_outputs_go(sources, tmp_path):
    (tmp_path / ".run0.parquet.123.abcd.part").write_bytes(b"half")
    (tmp_path / ".other.parquet.123.abcd.part").write_bytes(b"of somebody else")
    distributed.cluster(sources / "run0.parquet", tmp_path)
    assert [p.name for p in tmp_path.glob(".*")] == [".other.parquet.123.abcd.part"]


@pytest.mark.parametrize("ntuple", [False, True])
def test_root_files_keep_their_branches_and_have_clusters_for_cpp(tmp_path, ntuple):
    source = tmp_path / "in.root"
    events = cmlflow.simulate("compact-em", 3, seed=1, n_particles=2)
    cmlflow.write(events, source)
    with uproot.open(source) as file:
        arrays = file["HGCALTBout"].arrays()
    with uproot.recreate(tmp_path / "own.root") as file:
        columns = {
            name: arrays[name]
            for name in arrays.fields
            if name not in ("nhit", "nPrimaryEnergies", "nPrimaryPDGIDs", "cmlflow_crc32")
        }
        columns |= {"weight": np.array([0.5, 1.5, 2.5]), "beam": arrays["hit_x"][:, :2]}
        make = file.mkrntuple if ntuple else file.mktree
        make("HGCALTBout", columns)
        file["cmlflow_detector"] = "hgcal"
    distributed.cluster(tmp_path / "own.root", tmp_path / "out")
    with uproot.open(tmp_path / "out" / "own.root") as file:
        found = file["HGCALTBout"].arrays()
        assert PROVENANCE in file
    assert found["weight"].tolist() == [0.5, 1.5, 2.5]
    assert found["beam"].tolist() == arrays["hit_x"][:, :2].tolist()
    again = cmlflow.read(tmp_path / "own.root")
    model = cmlflow.load("compact-em-supcon")
    for i, (labels, energies) in enumerate(zip(model.predict(again), model.predict_energies(again), strict=True)):
        assert found["hit_cluster"][i].tolist() == labels.tolist()
        np.testing.assert_allclose(found["cluster_energy"][i], energies, rtol=1e-5)
        assert found["cluster_nhits"][i].tolist() == np.bincount(labels[labels >= 0]).tolist()
        own = labels == 0
        centre = np.average(again[i].position[own], axis=0, weights=again[i].energy[own])
        np.testing.assert_allclose([found[f"cluster_{a}"][i][0] for a in "xyz"], centre, rtol=1e-4)
    plain = distributed.cluster(tmp_path / "own.root", tmp_path / "plain", keep_branches=False)
    with uproot.open(plain.done[0]) as file:
        assert "weight" not in file["HGCALTBout"]


def test_candidates_for_cpp(tmp_path):
    cmlflow.write(cmlflow.simulate("rho", 2, seed=1), tmp_path / "rho.parquet")
    (out,) = distributed.cluster(tmp_path / "rho.parquet", tmp_path / "out", "rho-supcon", suffix=".root").done
    with uproot.open(out) as file:
        found = file["HGCALTBout"].arrays()
    expected = cmlflow.load("rho-supcon").predict(cmlflow.read(tmp_path / "rho.parquet"))
    for i, c in enumerate(expected):
        assert found["candidate_pdg_id"][i].tolist() == c.pdg_id.tolist()
        np.testing.assert_allclose(found["candidate_e"][i], c.momentum[:, 3], rtol=1e-6)
        assert found["candidate_track"][i].tolist() == c.track.tolist()


@pytest.mark.parametrize(
    ("kind", "file", "words"),
    [("condor", "cluster.sub", "queue Number in 1 2 3"), ("slurm", "cluster.sbatch", "--array=1-3")],
)
def test_submission_files(sources, tmp_path, kind, file, words):
    arguments = ["cluster", str(sources / "*.parquet"), "-o", str(tmp_path / "out"), "--readout", "ward"]
    assert main([*arguments, "--write-submit", kind, "--jobs", "3"]) == 0
    assert words in (tmp_path / "out" / file).read_text()
    script = tmp_path / "out" / "job.sh"
    assert os.access(script, os.X_OK)
    assert "--readout ward" in script.read_text()
    subprocess.run(["sh", "-n", str(script)], check=True)


def test_a_job_of_an_array_runs(sources, tmp_path):
    assert (
        main(
            [
                "cluster",
                str(sources / "run[01].parquet"),
                "-o",
                str(tmp_path / "out"),
                "--write-submit",
                "slurm",
                "--jobs",
                "2",
            ]
        )
        == 0
    )
    subprocess.run([str(tmp_path / "out" / "job.sh"), "2"], check=True, capture_output=True)
    assert [p.name for p in (tmp_path / "out").glob("*.parquet")] == ["run1.parquet"]


@pytest.mark.slow
def test_dask(sources, serial, tmp_path):
    dask = pytest.importorskip("distributed", reason="Dask is not installed")
    with (
        dask.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        dask.Client(cluster) as client,
    ):
        summary = distributed.cluster(sources / "*.parquet", tmp_path, client=client)
    assert (len(summary.done), summary.failed) == (6, {})
    assert contents(tmp_path) == contents(serial)


def test_summary_reads_well():
    summary = distributed.Summary([Path("a")], [], {"b": "damaged"})
    assert str(summary) == "1 file clustered, 0 done before, 1 failed"
    assert json.dumps(summary.failed)
