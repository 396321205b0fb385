"""The commands ``cmlflow benchmark speed``, ``physics`` and ``flow``."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from cmlflow.cli.arguments import command, count


def add_commands(kinds: Any) -> None:
    """Add ``speed``, ``physics`` and ``flow`` to the kinds of benchmark."""
    p = command(kinds, "speed", _speed, "time and memory beside rivals on simulated events, one thread (extra bench)")
    p.add_argument("-o", "--output", type=Path, required=True, help="folder for speed.json and speed.md")
    p.add_argument("--quick", action="store_true", help="small events, few repeats: under a minute")
    p.add_argument("--rows", nargs="+", metavar="ROW", help="only these rows, as speed.json names them (all)")
    p.add_argument("--no-memory", dest="memory", action="store_false", help="times only")
    p.add_argument("--model", help="packaged model or folder whose embeddings are clustered")
    p.add_argument("--device", default="cpu", help="cpu, cuda")

    p = command(kinds, "physics", _physics, "compare SupCon and OC as arXiv:2603.23356 does: train, tune, test, report")
    p.add_argument("-o", "--output", type=Path, required=True, help="folder for models, results and report.html")
    p.add_argument(
        "--size", choices=("compact", "paper"), default="compact", help="for a CPU, or the paper's (%(default)s)"
    )
    p.add_argument("--quick", action="store_true", help="smallest trainings and few events: a minute")
    p.add_argument("--kinds", nargs="+", choices=("em", "had", "mixed"), metavar="KIND", help="em had mixed (all)")
    p.add_argument("--systems", nargs="+", metavar="SYSTEM", help="supcon oc best slopes raw projective oclong (all)")
    p.add_argument(
        "--dims", nargs="+", type=count, metavar="DIM", help="of the embedding; the largest has all seeds (16 4)"
    )
    p.add_argument("--seeds", nargs="+", type=count, metavar="SEED", help="1 is the recipe as it stands (1 2 3)")
    p.add_argument("-n", "--events", type=count, help="test events per number of particles, in place of the size's")
    p.add_argument("--tuning-events", type=count, help="auxiliary events, in place of the size's")
    p.add_argument(
        "--models", nargs="+", default=(), metavar="NAME",
        help="trained models in place of training: NAME=FOLDER with a name such as em-supcon-4d-seed2, names of "
        "packaged models, or 'packaged' for all of them",
    )  # fmt: skip
    p.add_argument("--no-training", dest="train", action="store_false", help="leave out what has no trained model")
    p.add_argument("--report-only", action="store_true", help="run nothing, write the report of what there is")
    p.add_argument("--again", action="store_true", help="make results anew that were kept with other settings")
    p.add_argument("--library", type=Path, help="showers to make all samples from, in place of the packaged ones")
    p.add_argument("--device", default="cpu", help="cpu, cuda")

    p = command(kinds, "flow", _flow, "particle flow on test samples: models beside nearest track and parametric")
    p.add_argument("-o", "--output", type=Path, required=True, help="folder for results and report.html")
    p.add_argument("-n", "--events", type=count, help="test events of each sample (1000), of jets in proportion (500)")
    p.add_argument("--samples", nargs="+", metavar="SAMPLE", help="rho pi-gun-2-5 ... jets (all)")
    p.add_argument(
        "--models", nargs="+", default=(), metavar="NAME=FOLDER",
        help="trained models, such as rho-supcon=runs/rho, beside the packaged ones; those that are absent are not run",
    )  # fmt: skip
    p.add_argument("--quick", action="store_true", help="few events: under a minute")
    p.add_argument("--report-only", action="store_true", help="run nothing, write the report of what there is")
    p.add_argument("--again", action="store_true", help="make results anew that were kept with other settings")


def _speed(options: argparse.Namespace) -> None:
    from cmlflow_benchmarks.speed import speed_benchmark

    settings = {name: getattr(options, name) for name in ("quick", "device", "model", "memory")}
    speed_benchmark(options.output, options.rows, **settings)
    print(f"speed.json and speed.md written to {options.output}")


def _physics(options: argparse.Namespace) -> None:
    from cmlflow_benchmarks.physics.matrix import KINDS, SIZES
    from cmlflow_benchmarks.physics.running import physics_benchmark

    usual: dict[str, Any] = {"kinds": KINDS, "dims": (16, 4), "seeds": (1, 2, 3)}
    if options.quick:
        usual |= {"kinds": ("em",), "dims": (16,), "seeds": (1,)}
    settings = {name: getattr(options, name) or value for name, value in usual.items()}
    names = ("systems", "models", "train", "again", "library", "device")
    settings |= {name: getattr(options, name) for name in names} | {"report_only": options.report_only}
    size = SIZES["quick" if options.quick else options.size].with_events(options.events, options.tuning_events)
    physics_benchmark(options.output, size, **settings, command=shlex.join(["cmlflow", *options.arguments]))


def _flow(options: argparse.Namespace) -> None:
    from cmlflow_benchmarks.flow.plan import SIZES
    from cmlflow_benchmarks.flow.running import flow_benchmark

    size = SIZES["quick" if options.quick else "full"].with_events(options.events)
    settings = {name: getattr(options, name) for name in ("samples", "models", "again")}
    settings |= {"run": not options.report_only, "command": shlex.join(["cmlflow", *options.arguments])}
    flow_benchmark(options.output, size, **settings)
