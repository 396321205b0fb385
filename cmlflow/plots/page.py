"""Pages that need nothing but themselves: no file beside them and no network."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

from cmlflow.io.files import atomically

WEB = Path(__file__).parent.parent / "assets" / "web"

DISPLAY = '<div class="event-display">'
"""Start of every 3-D display; a page that holds one gets plotly.js, once."""


def html_page(title: str, body: str) -> str:
    """A complete HTML page with styles and scripts inside.

    Parameters
    ----------
    title : str
        Plain text.
    body : str
        HTML of the page's content.

    Returns
    -------
    str
    """
    scripts = ""
    if DISPLAY in body:
        from plotly.offline import get_plotlyjs

        sources = (get_plotlyjs(), (WEB / "display.js").read_text(encoding="utf-8"))
        scripts = "".join(f"<script>{text}</script>\n" for text in sources)
    style = (WEB / "page.css").read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n{scripts}</body>\n</html>\n"
    )


def write_page(path: str | Path, html: str) -> Path:
    """Write a page, whole or not at all.

    Raises
    ------
    OSError
        The file cannot be written; one that was there before is kept.
    """
    with atomically(path) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return Path(path)


def figure_html(figure: Any, caption: str, *, alt: str | None = None) -> str:
    """A matplotlib figure as HTML, drawn as SVG within the page.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    caption : str
        Plain text below the figure.
    alt : str, optional
        Text for readers who do not see the figure; the caption by default.
    """
    out = BytesIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    data = b64encode(out.getvalue()).decode()
    image = f'<img alt="{escape(caption if alt is None else alt)}" src="data:image/svg+xml;base64,{data}">'
    return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def table_html(
    head: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "", marked: Iterable[int] = ()
) -> str:
    """A table; intervals are shown as their value with the limits small beside it.

    Parameters
    ----------
    head : sequence of str
    rows : iterable of sequences
        As many cells as `head`: text, numbers or `cmlflow.metrics.Interval`.
    caption : str
    marked : iterable of int
        Numbers of the rows to print bold.

    Raises
    ------
    ValueError
        A row has another length than the head.
    """
    bold = set(marked)
    lines = []
    for i, row in enumerate(rows):
        if len(row) != len(head):
            raise ValueError(f"row {i} of the table has {len(row)} cells, but the head has {len(head)}")
        cells = "".join(f"<td>{_cell(value)}</td>" for value in row)
        start = '<tr class="marked">' if i in bold else "<tr>"
        lines.append(f"{start}{cells}</tr>")
    top = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    body = "\n".join(lines)
    return f'<div class="scroll"><table>{title}<thead><tr>{top}</tr></thead><tbody>\n{body}\n</tbody></table></div>'


def _cell(value: Any) -> str:
    text = escape(str(value))
    head, bracket, limits = text.partition(" [")
    return f"{head}<small>[{limits}</small>" if bracket and limits.endswith("]") else text
