"""Commands that make models: train and tune them."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from cmlflow.cli.arguments import command, count, reads_tables
from cmlflow.cli.running import events_of, output_folder


def add_commands(commands: Any) -> None:
    """Add ``train`` and ``tune`` to the command line."""
    p = command(commands, "train", _train, "train a model from a recipe or a file of events; continues if interrupted")
    p.add_argument("source", help="name of a recipe, for example compact-em-supcon, or a file of events")
    p.add_argument("-o", "--output", type=Path, required=True, help="folder for checkpoint, log and model")
    p.add_argument("--validation", help="file of events that chooses the epoch")
    p.add_argument("--tuning", help="file of events for the thresholds of the readout")
    reads_tables(p)
    p.add_argument("--head", help="supcon, margin, prototype, oc, axes: what is trained on a file of events (supcon)")
    p.add_argument("--library", type=Path, help="showers for the recipe's samples, in place of the packaged ones")
    p.add_argument("--epochs", dest="max_epochs", type=count)
    p.add_argument("--batch-size", type=count, help="events per step")
    p.add_argument("--learning-rate", type=float)
    p.add_argument("--dim", type=count, help="dimension of the embedding")
    p.add_argument("--seed", dest="random_state", type=int)
    p.add_argument("--precision", choices=("float32", "bfloat16", "float16"))
    p.add_argument("--device", help="cpu, cuda")
    p.add_argument("--tensorboard", action="store_true", help="also log for TensorBoard (extra tensorboard)")

    p = command(commands, "tune", _tune, "find the readout's thresholds on an auxiliary sample")
    p.add_argument("model", help="packaged model or folder")
    p.add_argument("events", help="file of events with truth, used for nothing else")
    reads_tables(p)
    p.add_argument("-o", "--output", type=Path, required=True, help="folder for the tuned model")
    p.add_argument("--readout", action="append", help="readout to tune, may be repeated (the model's)")
    p.add_argument("--preset", choices=("paper", "ticl", "ticl-2024"), default="paper")


def _train(options: argparse.Namespace) -> None:
    from cmlflow.methods import method
    from cmlflow.recipes import CELL_RECIPES, RECIPES, recipe
    from cmlflow.recipes.cells import run_cell_recipe
    from cmlflow.recipes.running import run_recipe
    from cmlflow.training import TrainingConfig
    from cmlflow.training.parallel import is_first

    output_folder(options.output)
    names = ("max_epochs", "batch_size", "learning_rate", "dim", "random_state", "device")
    changes = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    if options.source in RECIPES or options.source in CELL_RECIPES:
        for name in ("validation", "tuning", "head"):
            if getattr(options, name):
                raise ValueError(f"--{name} goes with a file of events; the recipe {options.source} has its own")
    if options.source in CELL_RECIPES:
        if options.precision is not None:
            raise ValueError(f"--precision is not for {options.source}, whose network is trained in float32")
        how = {"verbose": sys.stderr.isatty(), "tensorboard": options.tensorboard}
        chosen_cells = CELL_RECIPES[options.source]()
        run_cell_recipe(chosen_cells, options.output, library=options.library, **how, **changes)
    elif options.source in RECIPES:
        chosen = recipe(options.source)
        if options.precision is not None:
            changes["training"] = replace(
                chosen.parameters.get("training", TrainingConfig()), precision=options.precision
            )
        run_recipe(
            chosen, options.output, library=options.library, verbose=sys.stderr.isatty(),
            tensorboard=options.tensorboard, **changes,
        )  # fmt: skip
    elif Path(options.source).is_file() or any(mark in options.source for mark in ("*", "?", "://")):
        if options.library:
            raise ValueError("--library goes with a recipe, which simulates its events")
        from cmlflow.clusterer import MetricClusterer

        head = options.head or "supcon"
        readout = method(head).readouts[0]
        if options.precision is not None:
            changes["training"] = TrainingConfig(precision=options.precision)
        model = MetricClusterer(head=head, readout=readout, verbose=sys.stderr.isatty(), **changes)
        events = events_of(options.source, options)
        others = (options.validation, options.tuning)
        held_out, auxiliary = (None if file is None else events_of(file, options) for file in others)
        model.fit(events, validation=held_out, folder=options.output, tensorboard=options.tensorboard)
        if is_first():
            model.save(options.output)
            if auxiliary is not None:
                model.tune(auxiliary)
                model.save(options.output)
    else:
        raise ValueError(
            f"{options.source}: neither a file nor a recipe; recipes are {', '.join(sorted([*RECIPES, *CELL_RECIPES]))}"
        )
    if is_first():
        print(f"model written to {options.output}")


def _tune(options: argparse.Namespace) -> None:
    from cmlflow.clusterer import MetricClusterer
    from cmlflow.particle_flow import ParticleFlow, is_particle_flow
    from cmlflow.readouts import build_readout

    events, verbose = events_of(options.events, options), sys.stderr.isatty()
    for name in options.readout or ():
        build_readout(name)  # a wrong name is told before the work
    output_folder(options.output)
    flow = ParticleFlow.load(options.model, verbose=verbose) if is_particle_flow(options.model) else None
    model = MetricClusterer.load(options.model, verbose=verbose) if flow is None else flow.clusterer
    found = model.tune(events, readouts=options.readout, preset=options.preset)
    for name, tuning in found.items():
        chosen = next(row for row in tuning.table if tuning.best.items() <= row.items())
        scores = ", ".join(f"{figure} {chosen[figure]:.3f}" for figure in ("efficiency", "purity", "ratio"))
        print(f"{name}: {tuning.best} ({scores})")
    (model if flow is None else flow.fit(events)).save(options.output)
    print(f"model written to {options.output}")
