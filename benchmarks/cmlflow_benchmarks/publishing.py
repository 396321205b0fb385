"""What a comparison prints and writes: a line for each step, then results as JSON, Markdown and one page."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cmlflow import __version__
from cmlflow.io.files import atomically
from cmlflow_benchmarks.keeping import write_json

FORMAT = 1
Say = Callable[[str], None]


def printer(verbose: bool) -> Say:
    """Prints a line at once, or nothing."""
    return (lambda line: print(line, flush=True)) if verbose else (lambda line: None)


def facts(command: str) -> dict[str, str]:
    """The version, date and command that results are marked with."""
    return {"cmlflow": __version__, "date": time.strftime("%Y-%m-%d"), "command": command}


def publish(
    folder: Path,
    results: dict[str, Any],
    markdown: Callable[[dict[str, Any]], str],
    write_page: Callable[[Path], Any],
    say: Say,
    *,
    indent: int | None = None,
) -> dict[str, Any]:
    """Write ``results.json``, ``results.md`` and ``report.html``.

    Returns
    -------
    dict
        What ``results.json`` holds: its ``format``, then `results`.
    """
    out: dict[str, Any] = {"format": FORMAT} | results
    write_json(folder / "results.json", out, indent=indent)
    with atomically(folder / "results.md") as path:
        path.write_text(markdown(out))
    write_page(folder / "report.html")
    say(f"results.json, results.md and report.html written to {folder}")
    return out
