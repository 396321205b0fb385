"""Parts of the parser that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection
from typing import Any


class Command(argparse.ArgumentParser):
    """A command, perhaps one whose first word may be left out, or one of a package that is not installed.

    Attributes
    ----------
    usual, choices : str, collection of str
        What is meant where none of the choices is the first word: ``benchmark [multiplicity] MODEL``.
    missing : str
        Package that the command needs and that is not installed.
    """

    usual: str | None = None
    choices: Collection[str] = ()
    missing: str | None = None

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if self.missing:
            self.exit(1, f"cmlflow: missing package: {self.prog} needs {self.missing}, which is not installed\n")
        if self.usual and args and args[0] not in (*self.choices, "-h", "--help"):
            args = [self.usual, *args]
        return super().parse_known_args(args, namespace)


def command(commands: Any, name: str, run: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
    """Add a command that calls `run` with its options; `text` is its one-line help."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(run=run)
    return parser


def reads_events(parser: argparse.ArgumentParser) -> None:
    """Add the file of events and how it is read."""
    parser.add_argument("input", help="file of events; a pattern such as 'runs/*.root', or a URL")
    reads_tables(parser)


def reads_tables(parser: argparse.ArgumentParser) -> None:
    """Add how files of events are read, see `cmlflow.cli.running.events_of`."""
    parser.add_argument("--format", help="parquet, hgcaltb, mltree, edm4hep or table, where the file does not tell")
    parser.add_argument(
        "--columns", metavar="FILE.toml", help="what the columns of a table of one's own mean: see cmlflow inspect"
    )
    parser.add_argument("--tree", help="with --columns: tree, RNTuple or group, where the file has several")


def shard(text: str) -> tuple[int, int]:
    """I/N with I in 1..N."""
    number, _, total = text.partition("/")
    if not (number.isdigit() and total.isdigit() and 1 <= int(number) <= int(total)):
        raise argparse.ArgumentTypeError(f"{text} given, expected I/N with I in 1..N")
    return int(number), int(total)


def count(text: str) -> int:
    """A whole number of 1 or more."""
    value = int(text) if text.lstrip("+-").isdigit() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} given, expected 1 or more")
    return value
