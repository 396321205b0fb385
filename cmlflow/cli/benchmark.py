"""The command ``benchmark``: scores of one's own models, and the research benchmarks where they are installed."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from cmlflow.cli.arguments import command, count
from cmlflow.cli.running import output_folder

RESEARCH = ("speed", "physics", "flow")
"""Benchmarks of the package cmlflow_benchmarks, which need not be installed."""


def add_commands(commands: Any) -> None:
    """Add ``benchmark`` to the command line."""
    p = commands.add_parser(
        "benchmark", help="score models, reproduce the paper's comparison, measure particle flow, or time cmlflow"
    )
    kinds = p.add_subparsers(title="benchmarks", required=True, metavar="BENCHMARK")
    p.usual, p.choices = "multiplicity", kinds.choices
    p = command(kinds, "multiplicity", _benchmark, "score models with all their readouts by number of particles")
    p.add_argument("models", nargs="*", help="packaged models or folders (all packaged ones)")
    p.add_argument("-o", "--output", type=Path, required=True, help="folder for scores.json and scores.md")
    p.add_argument("-n", "--events", type=count, default=40, help="test events per number of particles (%(default)s)")
    p.add_argument("-p", "--particles", type=count, nargs="+", default=(2, 4, 8, 15))
    p.add_argument("-s", "--seed", type=int, default=1)
    p.add_argument("--sample", help="test sample (the -test companion of what each model was trained on)")
    _add_research(kinds)


def _add_research(kinds: Any) -> None:
    """Add the benchmarks of the second package, or commands that say how to get it."""
    try:
        from cmlflow_benchmarks.commands import add_commands
    except ModuleNotFoundError as err:
        if not str(err.name).startswith("cmlflow_benchmarks"):
            raise
        for name in RESEARCH:
            kinds.add_parser(name, help="needs the package cmlflow_benchmarks").missing = "cmlflow_benchmarks"
    else:
        add_commands(kinds)


def _benchmark(options: argparse.Namespace) -> None:
    from cmlflow.multiplicity import multiplicity_benchmark

    how = (options.events, options.particles, options.seed)
    multiplicity_benchmark(options.models, output_folder(options.output), *how, sample=options.sample)
