"""Reports: self-contained HTML pages made of titled sections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from cmlflow.plots.page import html_page, table_html, write_page

SCORES = ("efficiency", "purity", "ratio")


@dataclass(frozen=True)
class Section:
    """A part of a report with a title.

    Attributes
    ----------
    title : str
        Plain text.
    parts : sequence of str
        HTML: from `text`, `cmlflow.plots.page.table_html`, `cmlflow.plots.page.figure_html`,
        `cmlflow.plots.event.display_html`.
    """

    title: str
    parts: Sequence[str]


def text(paragraph: str, kind: str = "") -> str:
    """A paragraph of plain text; `kind` is ``"lead"`` or ``"note"`` for softer ones."""
    return f'<p class="{escape(kind)}">{escape(paragraph)}</p>' if kind else f"<p>{escape(paragraph)}</p>"


def columns(*parts: str) -> str:
    """Parts beside each other where the screen is wide enough."""
    return f'<div class="columns">{"".join(f"<div>{part}</div>" for part in parts)}</div>'


def score_table(
    evaluations: Mapping[str, Mapping[str, Any]],
    caption: str = "",
    *,
    figures: Sequence[str] = SCORES,
    marked: Iterable[str] = (),
) -> str:
    """One row for each clustering, each figure with its interval.

    Parameters
    ----------
    evaluations : dict of str to Evaluation, or to dict of Interval
        By the name of the clustering.
    caption : str
    figures : sequence of str
    marked : iterable of str
        Clusterings to print bold.
    """
    bold = set(marked)
    return table_html(
        ["clustering", *(name.replace("_", " ") for name in figures)],
        [[name, *(e[figure] for figure in figures)] for name, e in evaluations.items()],
        caption,
        [i for i, name in enumerate(evaluations) if name in bold],
    )


def write_report(path: str | Path, title: str, sections: Sequence[Section], lead: str = "") -> Path:
    """Write a page of sections, with links to them at the top.

    Parameters
    ----------
    path : path
    title : str
    sections : sequence of Section
    lead : str
        Plain text below the title.

    Returns
    -------
    Path
        The file, self-contained: no file beside it, no network.

    Raises
    ------
    OSError
        The file cannot be written; one that was there before is kept.
    """
    links = "".join(f'<a href="#part-{i}">{escape(s.title)}</a>' for i, s in enumerate(sections))
    parts = "\n".join(
        f'<section id="part-{i}"><h2>{escape(s.title)}</h2>\n' + "\n".join(s.parts) + "</section>"
        for i, s in enumerate(sections)
    )
    intro = text(lead, "lead") if lead else ""
    return write_page(path, html_page(title, f"<h1>{escape(title)}</h1>{intro}<nav>{links}</nav>\n{parts}"))
