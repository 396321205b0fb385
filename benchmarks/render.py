"""Put the tables of benchmarks/results/compact/scores.json into README.md and docs/results.md, and those of
speed/speed.json, physics/results.json and flow/results.json into docs/speed.md, docs/physics.md and
docs/particle-flow.md.

python benchmarks/render.py
"""

import json
import re
from pathlib import Path

from cmlflow.benchmark.flow.summary import markdown as flow_markdown
from cmlflow.benchmark.multiplicity import markdown
from cmlflow.benchmark.physics.summary import markdown as physics_markdown
from cmlflow.benchmark.tables import markdown as speed_markdown
from cmlflow.recipes import recipe

ROOT = Path(__file__).parents[1]
SCORES = ROOT / "benchmarks" / "results" / "compact" / "scores.json"
BLOCK = re.compile(r"(?<=<!-- scores -->\n).*?(?=<!-- /scores -->)", re.DOTALL)
SPEED = ROOT / "benchmarks" / "results" / "speed" / "speed.json"
SPEED_BLOCK = re.compile(r"(?<=<!-- speed -->\n).*?(?=<!-- /speed -->)", re.DOTALL)
PHYSICS = ROOT / "benchmarks" / "results" / "physics" / "results.json"
PHYSICS_BLOCK = re.compile(r"(?<=<!-- physics -->\n).*?(?=<!-- /physics -->)", re.DOTALL)
FLOW = ROOT / "benchmarks" / "results" / "flow" / "results.json"
FLOW_BLOCK = re.compile(r"(?<=<!-- flow -->\n).*?(?=<!-- /flow -->)", re.DOTALL)
NO_RUN_YET = "The full run is still to be made.\n"
NONE_YET = "The benchmark of the packaged models has not been run yet.\n"


def tables() -> dict[Path, str]:
    """What belongs between the marks of each document."""
    rows = json.loads(SCORES.read_text()) if SCORES.exists() else []
    own = [r for r in rows if r["readout"] == recipe(r["model"]).readouts[0]]
    shown = {ROOT / "README.md": own, ROOT / "docs" / "results.md": rows}
    return {path: f"\n{markdown(chosen)}\n" if rows else NONE_YET for path, chosen in shown.items()}


def speed_table() -> str:
    """What belongs between the marks of docs/speed.md."""
    return f"\n{speed_markdown(json.loads(SPEED.read_text()))}\n" if SPEED.exists() else NO_RUN_YET


def physics_tables() -> str:
    """What belongs between the marks of docs/physics.md."""
    return f"\n{physics_markdown(json.loads(PHYSICS.read_text()))}\n" if PHYSICS.exists() else NO_RUN_YET


def flow_tables() -> str:
    """What belongs between the marks of docs/particle-flow.md."""
    return f"\n{flow_markdown(json.loads(FLOW.read_text()))}\n" if FLOW.exists() else NO_RUN_YET


def main() -> None:
    """Rewrite the documents."""
    page = ROOT / "docs" / "particle-flow.md"
    page.write_text(FLOW_BLOCK.sub(lambda _: flow_tables(), page.read_text(), count=1))
    page = ROOT / "docs" / "physics.md"
    page.write_text(PHYSICS_BLOCK.sub(lambda _: physics_tables(), page.read_text(), count=1))
    page = ROOT / "docs" / "speed.md"
    page.write_text(SPEED_BLOCK.sub(lambda _: speed_table(), page.read_text(), count=1))
    for path, table in tables().items():
        path.write_text(BLOCK.sub(lambda _, table=table: table, path.read_text(), count=1))


if __name__ == "__main__":
    main()
