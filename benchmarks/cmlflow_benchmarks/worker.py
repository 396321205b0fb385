"""The process that measures: all rows in one of them, and one more for each peak of memory.

``python -m cmlflow_benchmarks.worker JOB`` with a job as JSON; answers are lines of JSON on stdout, anything that is
printed meanwhile goes to stderr.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

import torch

from cmlflow_benchmarks import timing
from cmlflow_benchmarks.inputs import Inputs
from cmlflow_benchmarks.machine import threads, versions
from cmlflow_benchmarks.rows import OWN, ROWS, chosen, measured_sizes

SMALL = 300  # hits of the calls that warm up before memory is measured
Answer = Callable[[dict[str, Any]], None]


def main() -> None:
    """Do the job given as the only argument."""
    job = json.loads(sys.argv[1])
    torch.set_num_threads(1)
    with redirect_stdout(sys.stderr):
        inputs = Inputs(job["device"], job["model"])
        if "candidate" in job:
            measure_memory(job["row"], job["size"], job["candidate"], inputs, _answer)
        else:
            measure_times(job["rows"], job["quick"], job["repeats"], job["budget"], inputs, _answer)


def measure_times(
    rows: list[str] | None, quick: bool, repeats: int, budget: float, inputs: Inputs, answer: Answer
) -> None:
    """Answer with the machine's matrix-multiply rate, then with one entry per row and size, then the rate again."""
    start = timing.gemm_gflops(inputs.device)
    answer({"gemm_gflops": start, "threads": threads(), "versions": versions(), "model": inputs.model_name})
    for name, row in chosen(rows).items():
        for size in measured_sizes(row, quick):
            answer({"row": measure_case(name, size, repeats, budget, inputs)})
    answer({"gemm_gflops_at_the_end": timing.gemm_gflops(inputs.device)})


def measure_case(name: str, size: int, repeats: int, budget: float, inputs: Inputs) -> dict[str, Any]:
    """Times of all candidates of one case, their ratios and differences to cmlflow's result."""
    case = ROWS[name].case(size, inputs)
    seconds, results = timing.alternate(case.candidates, repeats, budget, inputs.device)
    own = results.pop(OWN)
    found: dict[str, Any] = {"row": name, "size": size, "flops": case.flops, "precision": case.precision}
    found["cmlflow"] = {"seconds": seconds[OWN], **timing.spread(seconds[OWN])}
    found["rivals"] = []
    for rival, result in results.items():
        ratio = timing.spread(timing.ratios(seconds[rival], seconds[OWN]))
        entry = {"name": rival, "seconds": seconds[rival], **timing.spread(seconds[rival]), "ratio": ratio}
        found["rivals"].append(entry | {"difference": case.difference(own, result)})
    return found


def measure_memory(name: str, size: int, candidate: str, inputs: Inputs, answer: Answer) -> None:
    """Answer with the peak memory of one call above the idle process [MB].

    Idle means: everything is imported, kernels are compiled, the input is there; a call on a small event came before.
    """
    small = ROWS[name].case(min(SMALL, size), inputs)
    small.candidates[candidate]()
    del small
    call = ROWS[name].case(size, inputs).candidates[candidate]
    answer({"peak_mb": timing.peak_memory(call, inputs.device)})


def _answer(message: dict[str, Any]) -> None:
    sys.__stdout__.write(json.dumps(message) + "\n")  # type: ignore[union-attr]
    sys.__stdout__.flush()  # type: ignore[union-attr]


if __name__ == "__main__":
    main()
