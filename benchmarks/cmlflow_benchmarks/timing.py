"""How the speed benchmark measures: alternating calls, memory of a single call, the machine's matrix-multiply rate."""

from __future__ import annotations

import ctypes
import gc
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

Call = Callable[[], Any]

SLOW = 4.0  # [s]: from here on a first call is a measurement too, not a warm-up


def synchronised(device: str) -> Callable[[], None]:
    """What waits for all work of the device: nothing to wait for on a CPU."""
    return torch.cuda.synchronize if torch.device(device).type == "cuda" else lambda: None


def seconds_of(call: Call, device: str = "cpu") -> tuple[float, Any]:
    """Wall time of one call [s] and what it returned."""
    wait = synchronised(device)
    wait()
    start = time.perf_counter()
    result = call()
    wait()
    return time.perf_counter() - start, result


def alternate(
    candidates: Mapping[str, Call], repeats: int, budget: float, device: str = "cpu"
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Time candidates in turn: a, b, c, a, b, c, ..., so that all meet the same moods of the machine.

    Parameters
    ----------
    candidates : mapping of str to callable
    repeats : int
        Rounds.
    budget : float [s]
        A candidate that has used up this time sits out the rounds that follow.
    device : str

    Returns
    -------
    seconds : dict of str to list of float
        The first call of each candidate warms up and is not counted, unless it took more than `SLOW` seconds.
    results : dict of str to object
        What the first call of each returned.
    """
    seconds: dict[str, list[float]] = {}
    results: dict[str, Any] = {}
    for name, call in candidates.items():
        first, results[name] = seconds_of(call, device)
        seconds[name] = [first] if first > SLOW else []
    gc.collect()
    for _ in range(repeats):
        for name, call in candidates.items():
            had = seconds[name]
            if len(had) < repeats and (not had or sum(had) < budget):
                had.append(seconds_of(call, device)[0])
    return seconds, results


def spread(values: list[float]) -> dict[str, float]:
    """Median, smallest and largest."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def ratios(rival: list[float], own: list[float]) -> list[float]:
    """Rival over own time of each pair of calls; the last own ones pair with a rival that was called less often."""
    n = min(len(rival), len(own))
    return [a / b for a, b in zip(rival[:n], own[-n:], strict=True)]


def peak_memory(call: Call, device: str = "cpu") -> float:
    """Peak memory of one call above what the process held before [MB].

    On Linux the process' high-water mark is reset first, so that neither imports nor the preparation of the input
    count; where that is not allowed, what stays below an earlier peak is not seen. On CUDA: memory of the device.
    """
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - held) / 1e6
    gc.collect()
    give_back_memory()
    try:
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
    except OSError:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    call()
    try:
        after = _status("VmHWM")
    except OSError:
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return max(after - before, 0) * 1024 / 1e6


def give_back_memory() -> None:
    """Return freed memory to the system, where the C library can: else later calls would reuse it unseen."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def gemm_gflops(device: str = "cpu", size: int = 1024, repeats: int = 5) -> dict[str, float]:
    """Rate of square matrix products, the best of several [10^9 operations per second], by precision."""
    rates = {}
    for kind in (torch.float32, torch.float64):
        a = torch.rand(size, size, dtype=kind, device=device)
        multiply = _product(a)
        seconds_of(multiply, device)
        best = min(seconds_of(multiply, device)[0] for _ in range(repeats))
        rates[str(kind).removeprefix("torch.")] = 2 * size**3 / best / 1e9
    return rates


def _product(a: torch.Tensor) -> Call:
    return lambda: a @ a


def _status(name: str) -> int:
    """A number of /proc/self/status, in kB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise OSError(f"/proc/self/status has no {name}")
