"""ONNX files against torch: labels, CPU seconds and memory; also with other versions of onnxruntime.

    python benchmarks/onnx_files.py -o benchmarks/results/onnx --python old/bin/python

Each interpreter given by ``--python`` needs onnxruntime and numpy alone; this one's own is always measured. Every size
is measured in a process of its own, on one thread: the fastest of three calls, torch's after one to warm up. Memory is
the peak of the process, Python and libraries included.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

MODELS = {
    "compact-em-supcon": "compact-em-test",
    "compact-em-oc": "compact-em-test",
    "compact-had-supcon": "compact-had-test",
    "compact-had-oc": "compact-had-test",
    "rho-supcon": "rho-test",
    "rho-oc": "rho-test",
    "jets-supcon": "jets-test",
}
N_EVENTS = 20
SIZED = "compact-em-supcon"
SIZES = {2_000: 2, 8_000: 9, 30_000: 42}
"""Number of particles that gives about so many hits."""

WITH_ONNX = """
import json, re, sys, time
import numpy as np, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
data = np.load(sys.argv[2])
points, ptr, seconds = data["points"], data["ptr"], []
for _ in range(int(sys.argv[3])):
    start = time.process_time()
    (labels,) = session.run(["labels"], {"points": points, "ptr": ptr})
    seconds.append(time.process_time() - start)
rows = data["rows"]
wrong = (labels[rows] != data["labels"])
events = np.searchsorted(ptr, rows, side="right")
print(json.dumps({"version": onnxruntime.__version__, "hits": len(rows), "hits_wrong": int(wrong.sum()),
    "events_wrong": len(set(events[wrong].tolist())), "cpu_s": min(seconds),
    "peak_mb": int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024}))
"""
WITH_TORCH = """
import json, re, sys, time
import numpy as np, torch, cmlflow
torch.set_num_threads(1)
model, data, seconds = cmlflow.MetricClusterer.load(sys.argv[1]), np.load(sys.argv[2]), []
x = data["points"]
event = cmlflow.Event(x[:, :3], x[:, 3], x[:, 4].astype(int))
model.predict([event])
for _ in range(int(sys.argv[3])):
    start = time.process_time()
    model.predict([event])
    seconds.append(time.process_time() - start)
print(json.dumps({"version": torch.__version__, "cpu_s": min(seconds),
    "peak_mb": int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024}))
"""


def measured(python: str, code: str, *arguments: object) -> dict[str, Any]:
    """The figures that a process prints."""
    done = subprocess.run([python, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{python}: {done.stderr[-2000:]}")
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def write_sample(path: Path, name: str, sample: str, n_events: int, n_particles: int | None) -> int:
    """Points of events and the labels of `predict`, as arrays; gives the number of hits."""
    import cmlflow
    from cmlflow.sampling import event_points

    model = cmlflow.MetricClusterer.load(name)
    events = list(cmlflow.simulate(sample, n_events, seed=7, n_particles=n_particles))
    points = [event_points(event, model.tracks).x for event in events]
    ptr = np.cumsum([0, *map(len, points)])
    rows = np.concatenate([a + np.arange(e.n_hits) for a, e in zip(ptr[:-1], events, strict=True)])
    np.savez(path, points=np.concatenate(points), ptr=ptr, rows=rows, labels=np.concatenate(model.predict(events)))
    return len(rows)


def main() -> None:
    import cmlflow

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for onnx.json and onnx.md")
    parser.add_argument("--python", action="append", default=[], help="further interpreter with onnxruntime and numpy")
    options = parser.parse_args()
    pythons = [sys.executable, *options.python]
    labels, sizes = [], []
    with tempfile.TemporaryDirectory() as folder:
        sample = Path(folder) / "sample.npz"
        path = cmlflow.export_onnx(SIZED, Path(folder) / "model.onnx")
        for n_particles in SIZES.values():
            hits = write_sample(sample, SIZED, MODELS[SIZED], 1, n_particles)
            rows = [("torch", measured(sys.executable, WITH_TORCH, SIZED, sample, 3))]
            rows += [("onnxruntime", measured(python, WITH_ONNX, path, sample, 3)) for python in pythons]
            sizes += [{"system": system, "hits": hits} | row for system, row in rows]
            print(*sizes[-len(rows) :], sep="\n", flush=True)
        for name, events in MODELS.items():
            path = cmlflow.export_onnx(name, Path(folder) / "model.onnx")
            write_sample(sample, name, events, N_EVENTS, None)
            for python in pythons:
                row = {"model": name, "sample": events, "events": N_EVENTS}
                labels.append(row | measured(python, WITH_ONNX, path, sample, 1))
                print(labels[-1], flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "onnx.json").write_text(json.dumps({"labels": labels, "sizes": sizes}, indent=1) + "\n")
    (options.output / "onnx.md").write_text(tables(labels, sizes))


def tables(labels: list[dict[str, Any]], sizes: list[dict[str, Any]]) -> str:
    """Both tables as Markdown."""
    lines = [
        "| model | onnxruntime | events | hits | events that differ | hits that differ |",
        "|---|---|---|---|---|---|",
    ]
    names = ("model", "version", "events", "hits", "events_wrong", "hits_wrong")
    lines += ["| " + " | ".join(f"{row[n]:,}" if n == "hits" else str(row[n]) for n in names) + " |" for row in labels]
    lines += ["", "| hits | runs on | CPU seconds | peak memory |", "|---" * 4 + "|"]
    for row in sizes:
        lines.append(
            f"| {row['hits']:,} | {row['system']} {row['version']} | {row['cpu_s']:.2f} | {row['peak_mb']:.0f} MB |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
