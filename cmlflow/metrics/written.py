"""Figures of systems as rows: for data frames, CSV files and LaTeX."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from math import isnan
from os import PathLike
from pathlib import Path
from typing import Any

from cmlflow.metrics.intervals import Interval

COLUMNS = ("system", "against", "figure", "value", "low", "high")
_SPECIAL = {c: rf"\{c}" for c in "&%$#_{}"} | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\^{}"}

Figures = Mapping[str, Mapping[str, Interval]]


class Grid(tuple[list[str], list[list[Any]]]):
    """Head and rows of a table; prints aligned."""

    __slots__ = ()

    def __str__(self) -> str:
        return aligned(*self)

    __repr__ = __str__


def rows(figures: Figures, versus: Figures, against: str | None) -> Iterator[tuple[Any, ...]]:
    """One row for each figure of each system, and for each comparison: the columns of `COLUMNS`."""
    for of, other in ((figures, ""), (versus, against or "")):
        for system, own in of.items():
            for name, value in own.items():
                yield system, other, name, value.value, value.low, value.high


def frame(figures: Figures, versus: Figures, against: str | None) -> Any:
    """The rows as a pandas data frame.

    Raises
    ------
    ImportError
        pandas is not installed; says how to.
    """
    try:
        import pandas  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError as err:
        raise ImportError("to_frame needs pandas: pip install pandas") from err
    return pandas.DataFrame(list(rows(figures, versus, against)), columns=list(COLUMNS))


def write_csv(path: str | PathLike[str], figures: Figures, versus: Figures, against: str | None) -> None:
    """The rows as a CSV file; an empty field for what is not known."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for row in rows(figures, versus, against):
            writer.writerow(["" if isinstance(x, float) and isnan(x) else x for x in row])


def latex(figures: Figures, versus: Figures, against: str | None) -> str:
    """A tabular, to be input in a document: a row for each figure, a column for each system; then the comparisons."""
    blocks = [_tabular("figure", figures)]
    if versus:
        blocks.append(_tabular(f"against {against}", versus))
    return "\n\n".join(blocks) + "\n"


def write_latex(path: str | PathLike[str] | None, text: str) -> str:
    """The text, which is also written where there is a path."""
    if path is not None:
        Path(path).write_text(text, encoding="utf-8")
    return text


def aligned(head: list[str], rows: list[list[Any]]) -> str:
    """A table of text."""
    text = [head, *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in text) for i in range(len(head))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in text]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _tabular(corner: str, figures: Figures) -> str:
    names = list(dict.fromkeys(n for own in figures.values() for n in own))
    names = [n for n in names if not all(isnan(own.get(n, Interval(float("nan")))) for own in figures.values())]
    lines = [r"\begin{tabular}{l" + "c" * len(figures) + "}", r"\hline"]
    lines += [" & ".join(map(_escaped, (corner, *figures))) + r" \\", r"\hline"]
    for name in names:
        cells = [_cell(own.get(name, Interval(float("nan")))) for own in figures.values()]
        lines.append(" & ".join([_escaped(name.replace("_", " ")), *cells]) + r" \\")
    return "\n".join([*lines, r"\hline", r"\end{tabular}"])


def _cell(value: Interval) -> str:
    if isnan(value):
        return "--"
    if isnan(value.low):
        return f"${value.value:.3f}$"
    return f"${value.value:.3f}_{{-{value.value - value.low:.3f}}}^{{+{value.high - value.value:.3f}}}$"


def _escaped(text: str) -> str:
    return "".join(_SPECIAL.get(c, c) for c in text)
