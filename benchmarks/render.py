"""Put tables of results into pages: whatever stands between <!-- NAME --> and <!-- /NAME -->.

python benchmarks/render.py
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmlflow.multiplicity import markdown as all_scores
from cmlflow.recipes import recipe
from cmlflow_benchmarks.flow.summary import goals_markdown as flow_goals
from cmlflow_benchmarks.flow.summary import markdown as flow_tables
from cmlflow_benchmarks.physics.summary import markdown as physics_tables
from cmlflow_benchmarks.tables import markdown as speed_table

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
RESULTS = ROOT / "benchmarks" / "results"
NO_RUN_YET = "The full run is still to be made.\n"


def scores_in_short(rows: list[dict[str, Any]]) -> str:
    """Efficiency, purity and ratio of every model with its own readout, a line each, without intervals."""
    own = [r for r in rows if r["readout"] == recipe(r["model"]).readouts[0]]
    numbers = sorted({r["particles"] for r in own})
    lines = ["| model | readout | " + " | ".join(f"{n} particles" for n in numbers) + " |"]
    lines.append("|---|---|" + "---|" * len(numbers))
    for model in dict.fromkeys(r["model"] for r in own):
        by_number = {r["particles"]: r for r in own if r["model"] == model}
        cells = [" / ".join(f"{by_number[n][f][0]:.2f}" for f in ("efficiency", "purity", "ratio")) for n in numbers]
        lines.append(f"| {model} | {by_number[numbers[0]]['readout']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Block:
    """A part of a page that is made of results."""

    page: Path
    results: Path
    make: Callable[[Any], str]

    def wanted(self) -> str:
        """What belongs there."""
        return f"\n{self.make(json.loads(self.results.read_text()))}\n" if self.results.exists() else NO_RUN_YET


BLOCKS = {
    "scores-in-short": Block(ROOT / "README.md", RESULTS / "compact" / "scores.json", scores_in_short),
    "scores": Block(DOCS / "reference" / "results.md", RESULTS / "compact" / "scores.json", all_scores),
    "speed": Block(DOCS / "explanation" / "speed.md", RESULTS / "speed" / "speed.json", speed_table),
    "physics": Block(RESULTS / "physics" / "README.md", RESULTS / "physics" / "results.json", physics_tables),
    "flow-goals": Block(RESULTS / "flow" / "README.md", RESULTS / "flow" / "results.json", flow_goals),
}


TABLES: dict[str, Callable[[Any], str]] = {"flow": flow_tables, "physics": physics_tables}
"""What ``results.md`` holds, by the folder of the results."""


def pattern(name: str) -> re.Pattern[str]:
    """Matches what stands between the marks of a block."""
    return re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", re.DOTALL)


def main() -> None:
    """Rewrite the pages, and the tables beside the results."""
    for folder, make in TABLES.items():
        found = json.loads((RESULTS / folder / "results.json").read_text())
        (RESULTS / folder / "results.md").write_text(make(found))
    for name, block in BLOCKS.items():
        wanted = block.wanted()
        block.page.write_text(pattern(name).sub(lambda _, text=wanted: text, block.page.read_text(), count=1))


if __name__ == "__main__":
    main()
