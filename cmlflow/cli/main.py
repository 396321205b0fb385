"""The command ``cmlflow``: arguments in, one call into the library, one line on failure.

Each group of commands is a module with ``add_commands``. Nothing heavy is imported before a command is known, so that
``cmlflow --help`` answers at once.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence

from cmlflow import __version__
from cmlflow.cli import benchmark, clusters, events, export, models
from cmlflow.cli.arguments import Command

GROUPS = (clusters, events, models, export, benchmark)
"""Modules that add commands, in the order of ``cmlflow --help``."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it is done, 1 with one line on stderr when it failed, 130 when interrupted."""
    options = build_parser().parse_args(arguments)
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


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="cmlflow", description="Clustering of detector point clouds by metric learning."
    )
    parser.add_argument("--version", action="version", version=f"cmlflow {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=Command)
    for group in GROUPS:
        group.add_commands(commands)
    return parser


def _one_line(err: BaseException) -> str:
    text = " ".join(str(err).split()) or type(err).__name__
    return f"missing package: {text}" if isinstance(err, ModuleNotFoundError) else text
