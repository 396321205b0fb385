"""Commands about events: make them, look at them."""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path
from typing import Any

from cmlflow.cli.arguments import command, count, reads_events
from cmlflow.cli.running import events_of, output_file, predictions, progress, say


def add_commands(commands: Any) -> None:
    """Add ``simulate``, ``inspect`` and ``show`` to the command line."""
    p = command(commands, "simulate", _simulate, "make events of a sample, or single showers with Geant4")
    p.add_argument("sample", help="name of a sample, as compact-em-test or rho; with --geant4 a particle: e-, pi-")
    p.add_argument("-o", "--output", type=Path, required=True, help="file to write: .parquet, .root; showers .npz")
    p.add_argument("-n", "--events", type=count, default=100, help="number of events or showers (%(default)s)")
    p.add_argument("-s", "--seed", type=int, default=1, help="%(default)s")
    p.add_argument("-p", "--particles", type=count, help="particles in every event, in place of the sample's range")
    p.add_argument("--library", type=Path, help="showers to lay over each other, in place of the packaged ones")
    p.add_argument("--workers", type=count, default=1, help="processes that make the events (%(default)s)")
    p.add_argument("--geant4", action="store_true", help="simulate single showers (extra geant4)")
    p.add_argument("--detector", choices=("hgcal", "slab-base"), help="what --geant4 simulates (hgcal)")
    p.add_argument(
        "--energy", type=float, nargs=2, metavar=("LOW", "HIGH"), help="of --geant4, in GeV, log-uniform (10 200)"
    )

    p = command(commands, "inspect", _inspect, "list what is in a file, and propose what its columns mean (TOML)")
    p.add_argument("input", help="ROOT, Parquet, HDF5 or CSV file")
    p.add_argument("-o", "--output", type=Path, metavar="FILE.toml", help="write there what is printed else")

    p = command(commands, "show", _show, "3-D display of events as one page, with the clusters stored in the file")
    reads_events(p)
    p.add_argument("-o", "--output", type=Path, default=Path("events.html"), help="page (%(default)s)")
    p.add_argument("-e", "--event", type=int, nargs="+", help="positions in the file (the first five)")
    p.add_argument("--model", help="cluster with this packaged model or folder")
    p.add_argument("--colour-by", metavar="NAME", help="energy, layer or a feature, in place of particles and clusters")


def _simulate(options: argparse.Namespace) -> None:
    for name in ("particles", "library") if options.geant4 else ("energy", "detector"):
        if getattr(options, name) is not None:
            raise ValueError(f"--{name} goes {'with a sample, not with' if options.geant4 else 'with'} --geant4")
    if options.geant4:
        from cmlflow.simulation.geant4 import simulate_showers

        low, high = options.energy or (10.0, 200.0)
        energy = (float(low), float(high))
        with progress(total=options.events, unit="shower") as bar:
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
    from cmlflow.simulation.parallel import simulated_by

    events = SimulatedEvents(options.sample, options.events, options.seed, options.particles, options.library)
    made = progress(simulated_by(events, options.workers), total=len(events))
    write(made, options.output)
    print(f"{options.events} events of {options.sample} written to {options.output}")


def _show(options: argparse.Namespace) -> None:
    from cmlflow.io import FormatError, read_candidates, read_labels
    from cmlflow.plots.event import event_display

    events = events_of(options.input, options)
    output_file(options.output)
    chosen = list(range(min(len(events), 5))) if options.event is None else options.event
    if absent := [i for i in chosen if not 0 <= i < len(events)]:
        raise ValueError(f"{options.input} has events 0..{len(events) - 1}, event {absent[0]} is asked for")
    shown = [events[i] for i in chosen]
    if options.model is not None:
        found, candidates = predictions(options.model, shown)
        labels: Any = [one.labels for one in found] if candidates is None else list(candidates)
    else:
        labels = None
        for stored in (read_candidates, read_labels):
            with suppress(FormatError):
                everything: Any = stored(options.input, format=options.format)
                labels = [everything[i] for i in chosen]
                break
    event_display(shown, labels, path=options.output, colour_by=options.colour_by)
    say(f"{len(shown)} events of {options.input} shown in {options.output}", options.output)


def _inspect(options: argparse.Namespace) -> None:
    from cmlflow.io import known_format
    from cmlflow.io.files import atomically
    from cmlflow.io.inspection import listing

    text = listing(options.input, known_format(options.input))
    if options.output is None:
        print(text, end="")
        return
    with atomically(output_file(options.output)) as path:
        path.write_text(text)
    print(f"columns of {options.input} written to {options.output}: check the proposal")
