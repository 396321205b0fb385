"""Time cmlflow beside its rivals: what `cmlflow benchmark speed` does.

python benchmarks/speed.py -o benchmarks/results/speed
"""

import sys

from cmlflow.cli import main

if __name__ == "__main__":
    sys.exit(main(["benchmark", "speed", *sys.argv[1:]]))
