"""Commands that use models: cluster events and score clusters."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from cmlflow.cli.arguments import command, count, reads_events
from cmlflow.cli.running import events_of, output_file, predictions, progress


def add_commands(commands: Any) -> None:
    """Add ``demo``, ``cluster`` and ``evaluate`` to the command line."""
    p = command(commands, "demo", _demo, "cluster packaged events with the packaged models; a table and a page")
    p.add_argument("-o", "--output", type=Path, default=Path("cmlflow-demo.html"), help="page (%(default)s)")
    p.add_argument("-n", "--events", type=count, default=6, help="events per sample (%(default)s)")

    p = command(commands, "cluster", _cluster, "cluster the events of a file")
    reads_events(p)
    p.add_argument("-o", "--output", type=Path, required=True, help="file to write: .parquet or .root")
    p.add_argument("--model", default="compact-em-supcon", help="packaged model or folder (%(default)s)")
    p.add_argument("--readout", help="in place of the model's")
    p.add_argument("--device", default="cpu")

    p = command(commands, "evaluate", _evaluate, "score the clusters in a file, or those of a model, against the truth")
    reads_events(p)
    p.add_argument("--model", help="packaged model or folder; by default the clusters stored in the file are scored")
    p.add_argument("--readout", help="in place of the model's")
    p.add_argument("--preset", choices=("paper", "ticl"), default="paper")
    p.add_argument("--json", type=Path, help="also write all figures to this file")


def _demo(options: argparse.Namespace) -> None:
    from cmlflow.cli.demo import run_demo

    output_file(options.output)
    run_demo(output=options.output, n_events=options.events)


def _cluster(options: argparse.Namespace) -> None:
    from cmlflow.io import write

    events = events_of(options.input, options)
    output_file(options.output)
    clusters, candidates = predictions(options.model, progress(events), options.readout, device=options.device)
    labels = None if clusters is None else (found.labels for found in clusters)
    if candidates is not None and options.output.suffix.lower() == ".root":
        labels, candidates = (c.labels for c in candidates), None
    write(events, options.output, labels=labels, candidates=candidates)
    print(f"{len(events)} events of {options.input} clustered with {options.model}, written to {options.output}")


def _evaluate(options: argparse.Namespace) -> None:
    import itertools
    import json

    from cmlflow.evaluation import evaluate
    from cmlflow.io import read_labels
    from cmlflow.io.files import atomically

    events = events_of(options.input, options)
    if options.json is not None:
        output_file(options.json)
    labels: Any = None
    energies = None
    if options.model is None:
        labels = read_labels(options.input, format=options.format)
    else:
        clusters, candidates = predictions(options.model, progress(events), options.readout)
        if candidates is not None:
            labels = (found.labels for found in candidates)
        else:
            one, other = itertools.tee(clusters)
            labels = (found.labels for found in one)
            energies = (found.energies(event) for event, found in zip(events, other, strict=True))
    table = evaluate(events, labels, preset=options.preset, energies=energies)
    print(table)
    if options.json is not None:
        with atomically(options.json) as path:
            path.write_text(json.dumps(table.to_dict(), indent=1) + "\n")
