"""Commands that tell what there is: packaged models, and the machine as cmlflow sees it."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from cmlflow import __version__
from cmlflow.cli.arguments import command

PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "numba", "awkward", "uproot", "pyarrow")
"""Packages whose versions matter for results."""
EXTRAS = ("distributed", "h5py", "onnx", "onnxruntime", "tritonclient", "tensorboard", "geant4-pybind", "fastjet")
"""Optional packages."""


def add_commands(commands: Any) -> None:
    """Add ``models`` and ``info`` to the command line."""
    p = command(commands, "models", _models, "list the packaged models: kind, detector, sample, head, readout")
    p.add_argument("--json", action="store_true", help="as JSON")
    p = command(commands, "info", _info, "versions, threads, devices and caches, for a report of a problem")
    p.add_argument("--json", action="store_true", help="as JSON")


def _models(options: argparse.Namespace) -> None:
    import json

    from cmlflow.loading import PackagedModel, models

    found = models()
    if options.json:
        print(json.dumps([model._asdict() for model in found], indent=1))
        return
    rows = [PackagedModel._fields, *found]
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(PackagedModel._fields))]
    for row in rows:
        print("  ".join(str(value).ljust(width) for value, width in zip(row, widths, strict=True)).rstrip())


def machine() -> dict[str, Any]:
    """Versions, threads, devices and caches.

    Returns
    -------
    dict
        ``cmlflow``, ``python``, ``platform`` (str); ``packages`` (name -> version, None where not installed);
        ``cores``, ``threads`` (int); ``OMP_NUM_THREADS`` (str or None); ``cuda`` (list of str); ``numba_cache`` (str).
    """
    import numba
    import torch

    def version(name: str) -> str | None:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            return None

    return {
        "cmlflow": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version(name) for name in (*PACKAGES, *EXTRAS)},
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
        "cuda": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "numba_cache": numba.config.CACHE_DIR or str(Path(__file__).parents[1] / "**" / "__pycache__"),
    }


def _info(options: argparse.Namespace) -> None:
    import json

    found = machine()
    if options.json:
        print(json.dumps(found, indent=1))
        return
    packages = found.pop("packages")
    for name, value in found.items():
        print(f"{name:16} {', '.join(value) if isinstance(value, list) else value}")
    for name, version in packages.items():
        print(f"{name:16} {version or '-'}")
    sys.stdout.flush()
