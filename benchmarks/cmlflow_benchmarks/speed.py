"""Times and memory of cmlflow beside those of its rivals, as JSON and as a Markdown page."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cmlflow.io.files import atomically
from cmlflow_benchmarks.machine import ONE_THREAD, machine
from cmlflow_benchmarks.tables import line, markdown, targets

FORMAT = 1
REPEATS, QUICK_REPEATS = 5, 3
BUDGET, QUICK_BUDGET = 30.0, 2.0


def speed_benchmark(
    folder: str | Path,
    rows: Sequence[str] | None = None,
    *,
    quick: bool = False,
    device: str = "cpu",
    model: str | Path | None = None,
    repeats: int | None = None,
    budget: float | None = None,
    memory: bool = True,
    verbose: bool = True,
) -> dict[str, Any]:
    """Time cmlflow and its rivals on the same events, alternating, with one thread.

    Parameters
    ----------
    folder : path
        Gets ``speed.json`` and ``speed.md``, written anew after each row, so that a run that is stopped leaves what
        it has measured.
    rows : sequence of str, optional
        Names of `cmlflow_benchmarks.rows.ROWS`; all by default.
    quick : bool
        Small events, few repeats, memory of the first row alone: under a minute.
    device : str
        ``"cpu"``, or a CUDA device, whose work is waited for before each reading of the clock. Rivals without a
        CUDA form (scikit-learn, faiss-cpu, hdbscan) get the data on the CPU.
    model : str or path, optional
        Trained model (head ``"supcon"``) whose embeddings are clustered; the packaged one by default.
    repeats : int, optional
        Rounds per case: 5, with `quick` 3.
    budget : float, optional [s]
        A candidate whose calls of one case add up to more sits out the other rounds: 30, with `quick` 2.
    memory : bool, default=True
        Measure peak memory, in a process of its own per candidate; with `quick` for the first row alone.
    verbose : bool
        Print what has been measured.

    Returns
    -------
    dict
        What ``speed.json`` holds: ``machine``, ``versions``, ``threads``, ``gemm_gflops`` (rate of matrix products,
        from which the floors follow), ``rows`` and ``targets``.

    Raises
    ------
    ValueError
        For a row that there is not.
    RuntimeError
        Where the measuring process fails; its last line of output is named.
    """
    from cmlflow_benchmarks.rows import OWN, ROWS, chosen

    names = list(chosen(list(rows) if rows else None))
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    common = {"device": device, "model": None if model is None else str(model)}
    found: dict[str, Any] = {"format": FORMAT, "date": time.strftime("%Y-%m-%d"), "quick": quick, "device": device}
    found |= {"machine": machine(device), "rows": []}
    job = common | {"rows": names, "quick": quick}
    job |= {"repeats": repeats or (QUICK_REPEATS if quick else REPEATS)}
    job |= {"budget": budget or (QUICK_BUDGET if quick else BUDGET)}
    for answer in _worker(job):
        if "row" not in answer:
            found |= answer
            continue
        found["rows"].append(answer["row"])
        if verbose:
            print(line(answer["row"], found), flush=True)
        _write(folder, found)
    for entry in found["rows"] if memory else []:
        if not (entry is found["rows"][0] if quick else entry["size"] in ROWS[entry["row"]].memory):
            continue
        for part in [entry["cmlflow"], *entry["rivals"]]:
            candidate = part.get("name", OWN)
            one = common | {"row": entry["row"], "size": entry["size"], "candidate": candidate}
            (answer,) = _worker(one)
            part |= answer
            if verbose:
                print(f"{ROWS[entry['row']].title}, {entry['size']}: {candidate} {part['peak_mb']:.0f} MB", flush=True)
        _write(folder, found)
    _write(folder, found)
    return found


def _worker(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The answers of a measuring process, as they come."""
    command = [sys.executable, "-m", "cmlflow_benchmarks.worker", json.dumps(job)]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command, env=os.environ | ONE_THREAD, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        assert process.stdout is not None
        try:
            for text in process.stdout:
                yield json.loads(text)
            if process.wait() != 0:
                errors.seek(0)
                last = (errors.read().strip().splitlines() or [""])[-1]
                what = job.get("row", "the rows")
                raise RuntimeError(f"the process that measures {what} ended with {process.returncode}: {last}")
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def _write(folder: Path, found: dict[str, Any]) -> None:
    found["targets"] = targets(found["rows"], found.get("gemm_gflops", {}))
    with atomically(folder / "speed.json") as path:
        path.write_text(json.dumps(found, indent=1) + "\n")
    with atomically(folder / "speed.md") as path:
        path.write_text(markdown(found))
