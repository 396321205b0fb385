"""On what the speed benchmark ran: processor, versions, threads; no names of hosts or users."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "cmlflow", "torch", "numpy", "numba", "scipy", "scikit-learn", "hdbscan", "uproot", "awkward",
    "pyarrow", "torch-geometric", "torch-cluster", "faiss-cpu", "pytorch-metric-learning", "object-condensation",
)  # fmt: skip

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS"), "1"
)


def machine(device: str) -> dict[str, Any]:
    """Processor, cores, memory [GB], operating system, and the GPU where one is used."""
    out = {
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
    if device != "cpu":
        import torch

        out["gpu"] = torch.cuda.get_device_name(device)
    return out


def versions() -> dict[str, str]:
    """Of the packages that are measured, where they are installed."""
    out = {}
    for name in PACKAGES:
        try:
            out[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return out


def threads() -> dict[str, int]:
    """Threads that torch, numba and each loaded BLAS or OpenMP library use."""
    import numba
    import torch
    from threadpoolctl import threadpool_info

    out = {"torch": torch.get_num_threads(), "numba": numba.get_num_threads()}
    for pool in threadpool_info():
        name = f"{pool['internal_api']} ({Path(pool['filepath']).name.split('-')[0].split('.')[0]})"
        out[name] = max(int(pool["num_threads"]), out.get(name, 0))
    return out


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
