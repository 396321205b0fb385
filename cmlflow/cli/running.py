"""What commands share while they run: outputs checked before the work, predictions of any model, progress."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any


def output_file(path: Path) -> Path:
    """A path to write a file to, checked before the work."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, expected the name of a file")
    if is_standard_output(path):
        return path
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {path.parent}")
    return path


def is_standard_output(path: Path) -> bool:
    """Whether what is written there goes to the standard output, where no other text may be."""
    from cmlflow.io.writing import STANDARD_OUTPUT

    return str(path) in STANDARD_OUTPUT


def say(text: str, output: Path | None = None) -> None:
    """Print a line for people, to stderr where the output itself goes to the standard output."""
    print(text, file=sys.stderr if output is not None and is_standard_output(output) else sys.stdout)


def check_replaced(source: str, output: Path, force: bool) -> None:
    """Refuse to replace the file that is read, unless it is asked for and nothing in it gets lost.

    Raises
    ------
    ValueError
        Without `force`; or where the file has more than a Parquet file of cmlflow can hold.
    """
    if not output.exists() or not Path(source).exists() or not output.samefile(source):
        return
    if not force:
        raise ValueError(f"{output} is the file that is read; --force replaces it, or give another -o")
    from cmlflow.io.parquet import lost_columns

    if lost := lost_columns(output):
        raise ValueError(f"{output} cannot be replaced, as {lost} would be lost; give another -o")


def output_folder(path: Path) -> Path:
    """A path of a folder to write to, checked before the work."""
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(f"{path} is a file, expected the name of a folder")
    return path


def predictions(name: str, events: Any, readout: str | None = None, **changes: Any) -> tuple[Any, Any]:
    """Iterators over clusters, or over candidates where the model is one of particle flow; the other is None."""
    from cmlflow.baselines.learned.folder import is_cell_network
    from cmlflow.particle_flow import ParticleFlow, is_particle_flow

    if is_cell_network(name):
        raise ValueError(f"{name}: is a network of cells, which finds no clusters; use cmlflow.load(...).cell_shares")
    changes |= {"verbose": False} | ({} if readout is None else {"readout": readout})
    if is_particle_flow(name):
        return None, ParticleFlow.load(name, **changes).predict_iter(events)
    from cmlflow.clusterer import MetricClusterer

    return MetricClusterer.load(name, **changes).iter(events), None


def progress(events: Any = None, **settings: Any) -> Any:
    """A progress bar on terminals, nothing elsewhere."""
    from tqdm import tqdm

    return tqdm(events, **({"unit": "event"} | settings), disable=not sys.stderr.isatty(), dynamic_ncols=True)


def events_of(path: str, options: argparse.Namespace) -> Any:
    """Events of what a command is given, by its options --format, --tree and --columns."""
    from cmlflow.io import read

    return read(path, options.format, tree=options.tree, columns=options.columns)
