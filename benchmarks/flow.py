"""Measure particle flow beside systems without learning: what `cmlflow benchmark flow` does.

python benchmarks/flow.py -o benchmarks/results/flow
"""

import sys

from cmlflow.cli import main

if __name__ == "__main__":
    sys.exit(main(["benchmark", "flow", *sys.argv[1:]]))
