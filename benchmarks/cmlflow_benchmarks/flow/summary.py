"""The results in short, as Markdown: goals, then the tables of every sample with its paired comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cmlflow_benchmarks.flow.plan import SAMPLES, TRANSFER
from cmlflow_benchmarks.flow.superres import HEAD, superres_rows
from cmlflow_benchmarks.flow.tables import TABLES, choices, goal_rows, pair_rows, speeds, states, system_rows


def markdown(found: Mapping[str, Any]) -> str:
    """Tables of what ``results.json`` holds.

    Parameters
    ----------
    found : dict
        As `cmlflow_benchmarks.flow.running.flow_benchmark` returns it.
    """
    lines = goals_markdown(found).splitlines()
    samples = found["samples"]
    for sample in SAMPLES:
        lines += ["", f"**{sample}**"]
        if sample not in samples:
            lines += ["", "Not run."]
            continue
        result = samples[sample]
        lines += ["", choices(sample, result)]
        for table in TABLES[sample]:
            lines += ["", f"{table.title}:", "", *_table(*system_rows(result, table, sample))]
        if speeds(result):
            lines += ["", speeds(result)]
        for title, transfer in (("Paired, on the same events:", False), (_TRANSFER, True)):
            head, rows = pair_rows(result, TABLES[sample], transfer=transfer)
            if rows:
                lines += ["", title, "", *_table(head, rows)]
    if "superresolution" in found:
        lines += ["", "**Super-resolution**", "", *_table(HEAD, superres_rows(found["superresolution"]))]
    lines += ["", "Models: " + "; ".join(f"{name} ({on})" for name, on in states(samples).items()) + "."]
    return "\n".join(lines) + "\n"


def goals_markdown(found: Mapping[str, Any]) -> str:
    """The goals alone."""
    lines = ["Goals, with 95 % intervals over test events:", "", *_table(*goal_rows(found["goals"]))]
    return "\n".join(lines) + "\n"


_TRANSFER = f"Transfer: {TRANSFER}, trained on events of 1–3 tracks, against the model trained on jets:"


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
