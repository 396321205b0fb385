"""The command ``cmlflow``: arguments in, one call into the library, one line on failure.

Each group of commands is a module with ``add_commands``. Nothing heavy is imported before a command is known, so that
``cmlflow --help`` answers at once.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from cmlflow import __version__
from cmlflow.cli import benchmark, clusters, events, export, info, models
from cmlflow.cli.arguments import Command

GROUPS = (clusters, events, models, export, benchmark, info)
"""Modules that add commands, in the order of ``cmlflow --help``."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns
    -------
    int
        0 when it is done, 1 with one line on stderr when it failed, 130 when interrupted, 143 when terminated.
    """
    options = build_parser().parse_args(arguments)
    options.arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        with warnings.catch_warnings(), _terminable():
            warnings.showwarning = lambda message, *_, **__: print(f"cmlflow: {message}", file=sys.stderr)
            options.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("cmlflow: interrupted", file=sys.stderr)
        return 130
    except Terminated:
        print("cmlflow: terminated", file=sys.stderr)
        return 143
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, ValueError, TypeError, RuntimeError, ArithmeticError, ImportError, MemoryError) as err:
        if options.debug:
            raise
        print(f"cmlflow: {_one_line(err)}", file=sys.stderr)
        return 1
    except Exception as err:  # a fault of cmlflow, or of a library on input that nobody thought of
        if options.debug:
            raise
        text = " ".join(f"{type(err).__name__}: {err}".split())[:300]
        print(f"cmlflow: internal error ({text}); --debug shows where", file=sys.stderr)
        return 1
    return 0


class Terminated(BaseException):
    """SIGTERM, as batch systems send it: ends a command as Ctrl-C does, so that nothing half-written is left."""


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM raises `Terminated` in this process; those that are forked from it end by the signal as usual."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    process = os.getpid()

    def end(number: int, frame: object) -> None:
        if os.getpid() == process:
            signal.signal(number, signal.SIG_IGN)  # once is enough: what follows removes temporary files
            raise Terminated
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        if os.getpid() == process:
            signal.signal(signal.SIGTERM, before)


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
