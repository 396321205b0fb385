"""Compare SupCon and object condensation as arXiv:2603.23356 does: what `cmlflow benchmark physics` does.

python benchmarks/physics.py -o benchmarks/results/physics
"""

import sys

from cmlflow.cli import main

if __name__ == "__main__":
    sys.exit(main(["benchmark", "physics", *sys.argv[1:]]))
