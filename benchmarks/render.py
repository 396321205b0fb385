"""Put the tables of benchmarks/results/compact/scores.json into README.md and docs/results.md.

python benchmarks/render.py
"""

import json
import re
from pathlib import Path

from cmlflow.benchmark.multiplicity import markdown
from cmlflow.recipes import READOUTS_TO_TUNE

ROOT = Path(__file__).parents[1]
SCORES = ROOT / "benchmarks" / "results" / "compact" / "scores.json"
BLOCK = re.compile(r"(?<=<!-- scores -->\n).*?(?=<!-- /scores -->)", re.DOTALL)
NONE_YET = "The benchmark of the packaged models has not been run yet.\n"


def tables() -> dict[Path, str]:
    """What belongs between the marks of each document."""
    rows = json.loads(SCORES.read_text()) if SCORES.exists() else []
    own = [r for r in rows if r["readout"] == READOUTS_TO_TUNE[r["model"].rsplit("-", 1)[1]][0]]
    shown = {ROOT / "README.md": own, ROOT / "docs" / "results.md": rows}
    return {path: f"\n{markdown(chosen)}\n" if rows else NONE_YET for path, chosen in shown.items()}


def main() -> None:
    """Rewrite the documents."""
    for path, table in tables().items():
        path.write_text(BLOCK.sub(lambda _, table=table: table, path.read_text(), count=1))


if __name__ == "__main__":
    main()
