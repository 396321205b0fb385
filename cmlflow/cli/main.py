"""The command ``cmlflow``: arguments in, one call into the library, one line on failure.

Nothing heavy is imported before a command is known, so that ``cmlflow --help`` answers at once.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from cmlflow import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it is done, 1 with one line on stderr when it failed, 130 when interrupted."""
    options = _parser().parse_args(arguments)
    options.arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: print(f"cmlflow: {message}", file=sys.stderr)
            options.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("cmlflow: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, ValueError, TypeError, RuntimeError, ArithmeticError, ImportError, MemoryError) as err:
        if options.debug:
            raise
        print(f"cmlflow: {_one_line(err)}", file=sys.stderr)
        return 1
    return 0


def _file(path: Path) -> Path:
    """A path to write a file to, checked before the work."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, expected the name of a file")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {path.parent}")
    return path


def _folder(path: Path) -> Path:
    """A path of a folder to write to, checked before the work."""
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(f"{path} is a file, expected the name of a folder")
    return path


def _demo(options: argparse.Namespace) -> None:
    from cmlflow.cli.demo import run_demo

    _file(options.output)
    run_demo(output=options.output, n_events=options.events)


def _simulate(options: argparse.Namespace) -> None:
    for name in ("particles", "library") if options.geant4 else ("energy", "detector"):
        if getattr(options, name) is not None:
            raise ValueError(f"--{name} goes {'with a sample, not with' if options.geant4 else 'with'} --geant4")
    if options.geant4:
        from cmlflow.simulation.geant4 import simulate_showers

        low, high = options.energy or (10.0, 200.0)
        energy = (float(low), float(high))
        with _progress(total=options.events, unit="shower") as bar:
            simulate_showers(
                options.sample,
                options.events,
                options.output,
                seed=options.seed,
                energy_range=energy,
                detector=options.detector or "hgcal",
                progress=lambda done, _: bar.update(done - bar.n),
            )
        print(f"{options.events} showers of {options.sample} written to {options.output}")
        return
    from cmlflow.io import write
    from cmlflow.simulation import SimulatedEvents

    events = SimulatedEvents(options.sample, options.events, options.seed, options.particles, options.library)
    write(_progress(events), options.output)
    print(f"{options.events} events of {options.sample} written to {options.output}")


def _train(options: argparse.Namespace) -> None:
    from cmlflow.methods import METHODS
    from cmlflow.recipes import RECIPES, recipe
    from cmlflow.recipes.running import run_recipe
    from cmlflow.training import TrainingConfig
    from cmlflow.training.parallel import is_first

    _folder(options.output)
    names = ("max_epochs", "batch_size", "learning_rate", "dim", "random_state", "device")
    changes = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    if options.source in RECIPES:
        for name in ("validation", "tuning", "head"):
            if getattr(options, name):
                raise ValueError(f"--{name} goes with a file of events; the recipe {options.source} has its own")
        chosen = recipe(options.source)
        if options.precision is not None:
            changes["training"] = replace(
                chosen.parameters.get("training", TrainingConfig()), precision=options.precision
            )
        run_recipe(
            chosen, options.output, library=options.library, verbose=sys.stderr.isatty(),
            tensorboard=options.tensorboard, **changes,
        )  # fmt: skip
    elif Path(options.source).is_file():
        if options.library:
            raise ValueError("--library goes with a recipe, which simulates its events")
        from cmlflow.clusterer import MetricClusterer
        from cmlflow.io import read

        head = options.head or "supcon"
        readout = METHODS[head].readouts[0]
        if options.precision is not None:
            changes["training"] = TrainingConfig(precision=options.precision)
        model = MetricClusterer(head=head, readout=readout, verbose=sys.stderr.isatty(), **changes)
        held_out, auxiliary = (None if f is None else read(f) for f in (options.validation, options.tuning))
        model.fit(read(options.source), validation=held_out, folder=options.output, tensorboard=options.tensorboard)
        if is_first():
            model.save(options.output)
            if auxiliary is not None:
                model.tune(auxiliary)
                model.save(options.output)
    else:
        raise ValueError(f"{options.source}: neither a file nor a recipe; recipes are {', '.join(sorted(RECIPES))}")
    if is_first():
        print(f"model written to {options.output}")


def _tune(options: argparse.Namespace) -> None:
    from cmlflow.clusterer import MetricClusterer
    from cmlflow.io import read
    from cmlflow.particle_flow import ParticleFlow, is_particle_flow
    from cmlflow.readouts import build_readout

    events, verbose = read(options.events), sys.stderr.isatty()
    for name in options.readout or ():
        build_readout(name)  # a wrong name is told before the work
    _folder(options.output)
    flow = ParticleFlow.load(options.model, verbose=verbose) if is_particle_flow(options.model) else None
    model = MetricClusterer.load(options.model, verbose=verbose) if flow is None else flow.clusterer
    found = model.tune(events, readouts=options.readout or [model.readout], preset=options.preset)
    for name, tuning in found.items():
        chosen = next(row for row in tuning.table if tuning.best.items() <= row.items())
        scores = ", ".join(f"{figure} {chosen[figure]:.3f}" for figure in ("efficiency", "purity", "ratio"))
        print(f"{name}: {tuning.best} ({scores})")
    (model if flow is None else flow.fit(events)).save(options.output)
    print(f"model written to {options.output}")


def _cluster(options: argparse.Namespace) -> None:
    from cmlflow.io import read, write

    events = read(options.input, format=options.format)
    _file(options.output)
    clusters, candidates = _predictions(options.model, _progress(events), options.readout, device=options.device)
    labels = None if clusters is None else (found.labels for found in clusters)
    if candidates is not None and options.output.suffix.lower() == ".root":
        labels, candidates = (c.labels for c in candidates), None
    write(events, options.output, labels=labels, candidates=candidates)
    print(f"{len(events)} events of {options.input} clustered with {options.model}, written to {options.output}")


def _evaluate(options: argparse.Namespace) -> None:
    import itertools
    import json

    from cmlflow.evaluation import evaluate
    from cmlflow.io import read, read_labels
    from cmlflow.io.files import atomically

    events = read(options.input, format=options.format)
    if options.json is not None:
        _file(options.json)
    labels: Any = None
    energies = None
    if options.model is None:
        labels = read_labels(options.input, format=options.format)
    else:
        clusters, candidates = _predictions(options.model, _progress(events), options.readout)
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


def _benchmark(options: argparse.Namespace) -> None:
    from cmlflow_benchmarks.multiplicity import multiplicity_benchmark

    how = (options.events, options.particles, options.seed)
    multiplicity_benchmark(options.models, _folder(options.output), *how, sample=options.sample)


def _speed(options: argparse.Namespace) -> None:
    from cmlflow_benchmarks.speed import speed_benchmark

    settings = {name: getattr(options, name) for name in ("quick", "device", "model", "memory")}
    speed_benchmark(options.output, options.rows, **settings)
    print(f"speed.json and speed.md written to {options.output}")


def _physics(options: argparse.Namespace) -> None:
    import shlex

    from cmlflow_benchmarks.physics.matrix import KINDS, SIZES
    from cmlflow_benchmarks.physics.running import physics_benchmark

    usual: dict[str, Any] = {"kinds": KINDS, "dims": (16, 4), "seeds": (1, 2, 3)}
    if options.quick:
        usual |= {"kinds": ("em",), "dims": (16,), "seeds": (1,)}
    settings = {name: getattr(options, name) or value for name, value in usual.items()}
    names = ("systems", "models", "train", "again", "library", "device")
    settings |= {name: getattr(options, name) for name in names} | {"run": not options.report_only}
    size = SIZES["quick" if options.quick else options.size].with_events(options.events, options.tuning_events)
    physics_benchmark(options.output, size, **settings, command=shlex.join(["cmlflow", *options.arguments]))


def _flow(options: argparse.Namespace) -> None:
    import shlex

    from cmlflow_benchmarks.flow.plan import SIZES
    from cmlflow_benchmarks.flow.running import flow_benchmark

    size = SIZES["quick" if options.quick else "full"].with_events(options.events)
    settings = {name: getattr(options, name) for name in ("samples", "models", "again")}
    settings |= {"run": not options.report_only, "command": shlex.join(["cmlflow", *options.arguments])}
    flow_benchmark(options.output, size, **settings)


def _show(options: argparse.Namespace) -> None:
    from cmlflow.io import FormatError, read, read_candidates, read_labels
    from cmlflow.plots.event import event_display

    events = read(options.input, format=options.format)
    _file(options.output)
    chosen = list(range(min(len(events), 5))) if options.event is None else options.event
    if absent := [i for i in chosen if not 0 <= i < len(events)]:
        raise ValueError(f"{options.input} has events 0..{len(events) - 1}, event {absent[0]} is asked for")
    shown = [events[i] for i in chosen]
    if options.model is not None:
        found, candidates = _predictions(options.model, shown)
        labels: Any = list(found if candidates is None else candidates)
    else:
        labels = None
        for stored in (read_candidates, read_labels):
            with suppress(FormatError):
                everything: Any = stored(options.input, format=options.format)
                labels = [everything[i] for i in chosen]
                break
    event_display(shown, labels, path=options.output)
    print(f"{len(shown)} events of {options.input} shown in {options.output}")


def _predictions(name: str, events: Any, readout: str | None = None, **changes: Any) -> tuple[Any, Any]:
    """Iterators over clusters, or over candidates where the model is one of particle flow; the other is None."""
    from cmlflow.particle_flow import ParticleFlow, is_particle_flow

    changes |= {"verbose": False} | ({} if readout is None else {"readout": readout})
    if is_particle_flow(name):
        return None, ParticleFlow.load(name, **changes).predict_iter(events)
    from cmlflow.clusterer import MetricClusterer

    return MetricClusterer.load(name, **changes).iter(events), None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cmlflow", description="Clustering of detector point clouds by metric learning."
    )
    parser.add_argument("--version", action="version", version=f"cmlflow {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=_Command)

    p = _command(commands, "demo", _demo, "cluster packaged events with the packaged models; a table and a page")
    p.add_argument("-o", "--output", type=Path, default=Path("cmlflow-demo.html"), help="page (%(default)s)")
    p.add_argument("-n", "--events", type=_count, default=6, help="events per sample (%(default)s)")

    p = _command(commands, "simulate", _simulate, "make events of a sample, or single showers with Geant4")
    p.add_argument("sample", help="name of a sample, as compact-em-test or rho; with --geant4 a particle: e-, pi-")
    p.add_argument("-o", "--output", type=Path, required=True, help="file to write: .parquet, .root; showers .npz")
    p.add_argument("-n", "--events", type=_count, default=100, help="number of events or showers (%(default)s)")
    p.add_argument("-s", "--seed", type=int, default=1, help="%(default)s")
    p.add_argument("-p", "--particles", type=_count, help="particles in every event, in place of the sample's range")
    p.add_argument("--library", type=Path, help="showers to lay over each other, in place of the packaged ones")
    p.add_argument("--geant4", action="store_true", help="simulate single showers (extra geant4)")
    p.add_argument("--detector", choices=("hgcal", "slab-base"), help="what --geant4 simulates (hgcal)")
    p.add_argument(
        "--energy", type=float, nargs=2, metavar=("LOW", "HIGH"), help="of --geant4, in GeV, log-uniform (10 200)"
    )

    p = _command(commands, "train", _train, "train a model from a recipe or a file of events; continues if interrupted")
    p.add_argument("source", help="name of a recipe, for example compact-em-supcon, or a file of events")
    p.add_argument("-o", "--output", type=Path, required=True, help="folder for checkpoint, log and model")
    p.add_argument("--validation", type=Path, help="file of events that chooses the epoch")
    p.add_argument("--tuning", type=Path, help="file of events for the thresholds of the readout")
    p.add_argument(
        "--head",
        choices=("supcon", "margin", "prototype", "oc", "axes"),
        help="what is trained, for a file of events (supcon)",
    )
    p.add_argument("--library", type=Path, help="showers for the recipe's samples, in place of the packaged ones")
    p.add_argument("--epochs", dest="max_epochs", type=_count)
    p.add_argument("--batch-size", type=_count, help="events per step")
    p.add_argument("--learning-rate", type=float)
    p.add_argument("--dim", type=_count, help="dimension of the embedding")
    p.add_argument("--seed", dest="random_state", type=int)
    p.add_argument("--precision", choices=("float32", "bfloat16", "float16"))
    p.add_argument("--device", help="cpu, cuda")
    p.add_argument("--tensorboard", action="store_true", help="also log for TensorBoard (extra tensorboard)")

    p = _command(commands, "tune", _tune, "find the readout's thresholds on an auxiliary sample")
    p.add_argument("model", help="packaged model or folder")
    p.add_argument("events", type=Path, help="file of events with truth, used for nothing else")
    p.add_argument("-o", "--output", type=Path, required=True, help="folder for the tuned model")
    p.add_argument("--readout", action="append", help="readout to tune, may be repeated (the model's)")
    p.add_argument("--preset", choices=("paper", "ticl"), default="paper")

    p = _command(commands, "cluster", _cluster, "cluster the events of a file")
    _reads_events(p)
    p.add_argument("-o", "--output", type=Path, required=True, help="file to write: .parquet or .root")
    p.add_argument("--model", default="compact-em-supcon", help="packaged model or folder (%(default)s)")
    p.add_argument("--readout", help="in place of the model's")
    p.add_argument("--device", default="cpu")

    p = _command(
        commands, "evaluate", _evaluate, "score the clusters in a file, or those of a model, against the truth"
    )
    _reads_events(p)
    p.add_argument("--model", help="packaged model or folder; by default the clusters stored in the file are scored")
    p.add_argument("--readout", help="in place of the model's")
    p.add_argument("--preset", choices=("paper", "ticl"), default="paper")
    p.add_argument("--json", type=Path, help="also write all figures to this file")

    p = commands.add_parser(
        "benchmark", help="score models, reproduce the paper's comparison, measure particle flow, or time cmlflow"
    )
    kinds = p.add_subparsers(title="benchmarks", required=True, metavar="BENCHMARK")
    p.usual, p.choices = "multiplicity", kinds.choices
    p = _command(kinds, "multiplicity", _benchmark, "score models with all their readouts by number of particles")
    p.add_argument("models", nargs="*", help="packaged models or folders (all packaged ones)")
    p.add_argument("-o", "--output", type=Path, required=True, help="folder for scores.json and scores.md")
    p.add_argument("-n", "--events", type=_count, default=40, help="test events per number of particles (%(default)s)")
    p.add_argument("-p", "--particles", type=_count, nargs="+", default=(2, 4, 8, 15))
    p.add_argument("-s", "--seed", type=int, default=1)
    p.add_argument("--sample", help="test sample (the -test companion of what each model was trained on)")
    p = _command(kinds, "speed", _speed, "time and memory beside rivals on simulated events, one thread (extra bench)")
    p.add_argument("-o", "--output", type=Path, required=True, help="folder for speed.json and speed.md")
    p.add_argument("--quick", action="store_true", help="small events, few repeats: under a minute")
    p.add_argument("--rows", nargs="+", metavar="ROW", help="only these rows, as speed.json names them (all)")
    p.add_argument("--no-memory", dest="memory", action="store_false", help="times only")
    p.add_argument("--model", help="packaged model or folder whose embeddings are clustered")
    p.add_argument("--device", default="cpu", help="cpu, cuda")

    p = _command(
        kinds, "physics", _physics, "compare SupCon and OC as arXiv:2603.23356 does: train, tune, test, report"
    )
    p.add_argument("-o", "--output", type=Path, required=True, help="folder for models, results and report.html")
    p.add_argument(
        "--size", choices=("compact", "paper"), default="compact", help="for a CPU, or the paper's (%(default)s)"
    )
    p.add_argument("--quick", action="store_true", help="smallest trainings and few events: a minute")
    p.add_argument("--kinds", nargs="+", choices=("em", "had", "mixed"), metavar="KIND", help="em had mixed (all)")
    p.add_argument("--systems", nargs="+", metavar="SYSTEM", help="supcon oc best slopes raw projective oclong (all)")
    p.add_argument(
        "--dims", nargs="+", type=_count, metavar="DIM", help="of the embedding; the largest has all seeds (16 4)"
    )
    p.add_argument("--seeds", nargs="+", type=_count, metavar="SEED", help="1 is the recipe as it stands (1 2 3)")
    p.add_argument("-n", "--events", type=_count, help="test events per number of particles, in place of the size's")
    p.add_argument("--tuning-events", type=_count, help="auxiliary events, in place of the size's")
    p.add_argument(
        "--models", nargs="+", default=(), metavar="NAME",
        help="trained models in place of training: CELL=FOLDER with a cell such as em-supcon-4d-seed2, names of "
        "packaged models, or 'packaged' for all of them",
    )  # fmt: skip
    p.add_argument("--no-training", dest="train", action="store_false", help="cells without a model are not run")
    p.add_argument("--report-only", action="store_true", help="run nothing, write the report of what there is")
    p.add_argument("--again", action="store_true", help="make results anew that were kept with other settings")
    p.add_argument("--library", type=Path, help="showers to make all samples from, in place of the packaged ones")
    p.add_argument("--device", default="cpu", help="cpu, cuda")

    p = _command(kinds, "flow", _flow, "particle flow on test samples: models beside nearest track and parametric")
    p.add_argument("-o", "--output", type=Path, required=True, help="folder for results and report.html")
    p.add_argument("-n", "--events", type=_count, help="test events of each sample (1000, of jets 500)")
    p.add_argument("--samples", nargs="+", metavar="SAMPLE", help="rho pi-gun-2-5 ... jets (all)")
    p.add_argument(
        "--models", nargs="+", default=(), metavar="NAME=FOLDER",
        help="trained models, such as rho-supcon=runs/rho, beside the packaged ones; those that are absent are not run",
    )  # fmt: skip
    p.add_argument("--quick", action="store_true", help="few events: under a minute")
    p.add_argument("--report-only", action="store_true", help="run nothing, write the report of what there is")
    p.add_argument("--again", action="store_true", help="make results anew that were kept with other settings")

    p = _command(commands, "show", _show, "3-D display of events as one page, with the clusters stored in the file")
    _reads_events(p)
    p.add_argument("-o", "--output", type=Path, default=Path("events.html"), help="page (%(default)s)")
    p.add_argument("-e", "--event", type=int, nargs="+", help="positions in the file (the first five)")
    p.add_argument("--model", help="cluster with this packaged model or folder")
    return parser


class _Command(argparse.ArgumentParser):
    """A command whose first word may be left out where one is usual: ``benchmark [multiplicity] MODEL``."""

    usual: str | None = None
    choices: Collection[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if self.usual and args and args[0] not in (*self.choices, "-h", "--help"):
            args = [self.usual, *args]
        return super().parse_known_args(args, namespace)


def _command(commands: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(run=run)
    return parser


def _reads_events(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", type=Path, help="file of events: .parquet or .root")
    parser.add_argument(
        "--format", choices=("parquet", "hgcaltb", "mltree", "edm4hep"), help="where the file does not tell"
    )


def _count(text: str) -> int:
    value = int(text) if text.lstrip("+-").isdigit() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} given, expected 1 or more")
    return value


def _progress(events: Any = None, **settings: Any) -> Any:
    """A progress bar on terminals, nothing elsewhere."""
    from tqdm import tqdm

    return tqdm(events, **({"unit": "event"} | settings), disable=not sys.stderr.isatty(), dynamic_ncols=True)


def _one_line(err: BaseException) -> str:
    text = " ".join(str(err).split()) or type(err).__name__
    return f"missing package: {text}" if isinstance(err, ModuleNotFoundError) else text
