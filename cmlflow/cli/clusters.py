"""Commands that use models: cluster events and score clusters."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from cmlflow.cli.arguments import command, count, reads_events, reads_tables, shard
from cmlflow.cli.running import check_replaced, events_of, output_file, output_folder, predictions, progress, say


def add_commands(commands: Any) -> None:
    """Add ``demo``, ``cluster`` and ``evaluate`` to the command line."""
    p = command(commands, "demo", _demo, "cluster packaged events with the packaged models; a table and a page")
    p.add_argument("-o", "--output", type=Path, default=Path("cmlflow-demo.html"), help="page (%(default)s)")
    p.add_argument("-n", "--events", type=count, default=6, help="events per sample (%(default)s)")

    p = command(commands, "cluster", _cluster, "cluster the events of a file, or of many files into a folder")
    p.add_argument("input", nargs="+", help="files of events, patterns such as 'runs/*.root', URLs")
    reads_tables(p)
    p.add_argument(
        "-o", "--output", type=Path, required=True, help="file to write, .parquet or .root; of many inputs a folder"
    )
    p.add_argument("--model", default="compact-em-supcon", help="packaged model or folder (%(default)s)")
    p.add_argument("--readout", help="in place of the model's")
    p.add_argument("--device", default="cpu", help="cpu, cuda (%(default)s)")
    p.add_argument("--force", action="store_true", help="replace the input, where the output is the same file")
    many = p.add_argument_group("many files, one output for each; a second run skips what is done")
    many.add_argument("--workers", type=count, default=1, help="processes on this machine (%(default)s)")
    many.add_argument("--dask", metavar="ADDRESS", help="scheduler of a Dask cluster (extra dask)")
    many.add_argument("--shard", type=shard, metavar="I/N", help="this is job I of N: every N-th file")
    many.add_argument("--suffix", choices=(".parquet", ".root"), help="of the outputs (that of each input)")
    many.add_argument(
        "--skip-bad-files", action="store_true", help="go on with the other files after one that can't be clustered"
    )
    many.add_argument(
        "--keep-branches",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="from ROOT to ROOT, copy the branches that events do not hold (yes)",
    )
    many.add_argument(
        "--write-submit",
        choices=("condor", "slurm"),
        help="run nothing: write a submission file for a job array into the output folder",
    )
    many.add_argument("--jobs", type=count, default=10, help="of the job array (%(default)s)")

    p = command(commands, "evaluate", _evaluate, "score the clusters in a file, or those of a model, against the truth")
    reads_events(p)
    p.add_argument("--model", help="packaged model or folder; by default the clusters stored in the file are scored")
    p.add_argument("--readout", help="in place of the model's")
    p.add_argument("--preset", choices=("paper", "ticl", "ticl-2024"), default="paper")
    p.add_argument("--json", type=Path, help="also write all figures to this file")


def _demo(options: argparse.Namespace) -> None:
    from cmlflow.cli.demo import run_demo

    output_file(options.output)
    run_demo(output=options.output, n_events=options.events)


def _cluster(options: argparse.Namespace) -> None:
    if _many(options):
        _cluster_many(options)
        return
    from cmlflow.io import write

    (options.input,) = options.input
    events = events_of(options.input, options)
    check_replaced(options.input, output_file(options.output), options.force)
    clusters, candidates = predictions(options.model, progress(events), options.readout, device=options.device)
    labels = None if clusters is None else (found.labels for found in clusters)
    if candidates is not None and options.output.suffix.lower() == ".root":
        labels, candidates = (c.labels for c in candidates), None
    write(events, options.output, labels=labels, candidates=candidates)
    say(f"{len(events)} events of {options.input} clustered with {options.model}, written to {options.output}")


def _many(options: argparse.Namespace) -> bool:
    """Whether outputs go into a folder: several inputs, a pattern, or an output that is no name of a file."""
    one = len(options.input) == 1 and not any(c in options.input[0] for c in "*?[")
    is_file = bool(options.output.suffix) and not options.output.is_dir()
    if is_file and not one:
        raise ValueError(f"-o {options.output} is one file, but there are several inputs: expected a folder")
    return not is_file


def _cluster_many(options: argparse.Namespace) -> None:
    from cmlflow.distributed import cluster

    output_folder(options.output)
    if options.write_submit:
        from cmlflow.cli.submission import write_submission

        print(f"written: {write_submission(options)}")
        return
    client = None
    if options.dask:
        try:
            import distributed
        except ImportError as err:
            raise ImportError('Dask is not installed: pip install "cmlflow[dask]"') from err
        connect: Any = distributed.Client
        client = connect(options.dask)
    read = {name: getattr(options, name) for name in ("format", "columns", "tree")}
    names = ("readout", "workers", "suffix", "device", "keep_branches")
    settings = {name: getattr(options, name) for name in names}
    summary = cluster(
        options.input, options.output, options.model, client, **settings, shard=options.shard or (1, 1),
        stop_at_failure=not options.skip_bad_files, progress=lambda text: print(text, flush=True),
        **{name: value for name, value in read.items() if value is not None},
    )  # fmt: skip
    print(summary)
    if summary.failed:
        source, error = next(iter(summary.failed.items()))
        more = "" if options.skip_bad_files else "; --skip-bad-files goes on with the others"
        raise ValueError(f"{len(summary.failed)} of the files failed, the first one {source}: {error}{more}")


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
    say(str(table), options.json)
    if options.json is not None:
        with atomically(options.json) as path:
            path.write_text(json.dumps(table.to_dict(), indent=1) + "\n")
