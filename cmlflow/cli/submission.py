"""Submission files for job arrays of ``cmlflow cluster``: HTCondor and SLURM."""

from __future__ import annotations

import argparse
import shlex
import stat
import sys
from pathlib import Path

from cmlflow.io.files import atomically

RUN = """#!/bin/sh
# Job $1 of {jobs}: every {jobs}-th file. Outputs that are done are skipped, so jobs can be submitted again.
set -e
export OMP_NUM_THREADS=1
# Compiled kernels are kept here; on nodes without a home folder name one that all jobs can write.
export NUMBA_CACHE_DIR="${{NUMBA_CACHE_DIR:-{cache}}}"
exec {command} --shard "$1/{jobs}"
"""

CONDOR = """universe = vanilla
executable = {run}
arguments = $(Number)
output = {folder}/logs/$(Number).out
error = {folder}/logs/$(Number).err
log = {folder}/logs/jobs.log
request_cpus = 1
request_memory = 2 GB
max_retries = 2
queue Number in {numbers}
"""

SLURM = """#!/bin/sh
#SBATCH --job-name=cmlflow
#SBATCH --array=1-{jobs}
#SBATCH --cpus-per-task=1
#SBATCH --mem=2G
#SBATCH --output={folder}/logs/%a.out
exec {run} "$SLURM_ARRAY_TASK_ID"
"""


def write_submission(options: argparse.Namespace) -> Path:
    """Write the script of one job and the submission file of the array into the output folder.

    Returns
    -------
    Path
        The submission file, for ``condor_submit`` or ``sbatch``.
    """
    folder = options.output.resolve()
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-m", "cmlflow", "cluster", *(_absolute(name) for name in options.input)]
    words += ["-o", str(folder), "--model", _absolute(options.model), "--skip-bad-files"]
    for name in ("readout", "device", "suffix", "format", "tree"):
        value = getattr(options, name)
        words += [] if value is None else [f"--{name}", value]
    words += ["--columns", _absolute(options.columns)] if options.columns else []
    words += [] if options.keep_branches else ["--no-keep-branches"]
    values: dict[str, object] = {
        "jobs": options.jobs,
        "folder": folder,
        "run": folder / "job.sh",
        "command": shlex.join(words),
    }
    values["numbers"] = " ".join(str(number) for number in range(1, options.jobs + 1))
    values["cache"] = str(folder / "logs" / "numba")
    with atomically(folder / "job.sh") as path:
        path.write_text(RUN.format(**values))
        path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP)
    condor = options.write_submit == "condor"
    target: Path = folder / ("cluster.sub" if condor else "cluster.sbatch")
    with atomically(target) as path:
        path.write_text((CONDOR if condor else SLURM).format(**values))
    return target


def _absolute(name: str) -> str:
    """A path as jobs in other folders find it; URLs and names of packaged models as they are."""
    if "://" in name or not (Path(name).parent.exists() and ("/" in name or Path(name).exists() or "*" in name)):
        return name
    return str(Path(name).absolute())
