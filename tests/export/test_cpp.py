"""The C++ example, built against onnxruntime and run: it prints the labels of `predict`."""

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import cmlflow
from cmlflow import MetricClusterer
from cmlflow.export import export_onnx
from cmlflow.sampling import event_points

EXAMPLE = Path(__file__).parents[2] / "examples" / "onnx_cpp"
INCLUDES = [os.environ.get("ONNXRUNTIME_INCLUDE", ""), "/usr/include/onnxruntime", "/usr/local/include/onnxruntime"]
EM = list(cmlflow.simulate("compact-em-test", 2, seed=3, n_particles=1))
FLOW = list(cmlflow.simulate("rho-test", 4, seed=3))


def headers():
    return next((p for p in map(Path, INCLUDES) if (p / "onnxruntime_cxx_api.h").is_file()), None)


def library():
    """That of the system, or of the Python package."""
    folders = [Path(p) for p in ("/usr/lib/x86_64-linux-gnu", "/usr/lib", "/usr/local/lib")]
    found = importlib.util.find_spec("onnxruntime")
    if found is not None:
        folders.insert(0, Path(found.submodule_search_locations[0]) / "capi")
    return next((file for folder in folders for file in sorted(folder.glob("libonnxruntime.so*"))), None)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    if not (shutil.which("cmake") and shutil.which("c++")):
        pytest.skip("needs cmake and a C++ compiler")
    if headers() is None or library() is None:
        pytest.skip("needs onnxruntime's C++ headers (ONNXRUNTIME_INCLUDE, libonnxruntime-dev) and its library")
    pytest.importorskip("onnx", reason="needs the package onnx")
    folder = tmp_path_factory.mktemp("cpp")
    (folder / "lib").mkdir()
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (folder / "lib" / name).symlink_to(library())
    (folder / "include").symlink_to(headers())
    build = folder / "build"
    for command in (
        ["cmake", "-S", EXAMPLE, "-B", build, "-D", f"ONNXRUNTIME_ROOT={folder}"],
        ["cmake", "--build", build],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return build / "cluster"


def by_event(text):
    """Labels of each event; an empty line ends one."""
    events = [[]]
    for line in text.splitlines():
        if line:
            events[-1].append(int(line))
        else:
            events.append([])
    assert events.pop() == []
    return [np.array(labels, np.int64) for labels in events]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "events"), [("compact-em-supcon", EM), ("rho-supcon", FLOW)])
def test_program_prints_the_labels_of_the_model(program, tmp_path, name, events):
    model = MetricClusterer.load(name)
    path = export_onnx(model, tmp_path / "model.onnx")
    points = [event_points(event, model.tracks).x for event in events]
    points.insert(1, points[0][:0])
    text = "".join("".join(" ".join(map(repr, row)) + "\n" for row in x.tolist()) + "\n" for x in points)
    (tmp_path / "events.txt").write_text(text)
    done = subprocess.run([program, path, tmp_path / "events.txt"], capture_output=True, text=True, check=True)
    found = by_event(done.stdout)
    assert [len(labels) for labels in found] == [len(x) for x in points]
    del found[1]
    for event, labels, want in zip(events, found, model.predict(events), strict=True):
        np.testing.assert_array_equal(labels[: event.n_hits], want)


@pytest.mark.slow
def test_program_says_what_is_wrong(program, tmp_path):
    path = export_onnx("compact-em-supcon", tmp_path / "model.onnx")
    (tmp_path / "bad.txt").write_text("1 2 350 5 3\n1 2 350 5\n")
    for arguments, message in (
        ((path, tmp_path / "bad.txt"), "bad.txt: line 2 is not 5 numbers"),
        ((path, tmp_path / "absent.txt"), "absent.txt: cannot be read"),
        ((tmp_path / "absent.onnx", tmp_path / "bad.txt"), "absent.onnx"),
    ):
        done = subprocess.run([program, *arguments], capture_output=True, text=True)
        assert done.returncode == 1
        assert message in done.stderr
        assert done.stderr.startswith("cluster: ")
