"""Many mutations by hand: ``python -m tests.hostile --n 100000``."""

from __future__ import annotations

import argparse
import json
import sys

from tests.hostile.campaign import campaign, summary


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--targets", nargs="+")
    parser.add_argument("--json", help="write the results to this file")
    options = parser.parse_args()
    results = []
    for result in campaign(options.n, options.seed, options.targets):
        results.append(result)
        if len(results) % 1000 == 0 or len(results) == options.n:
            found = summary(results)
            print(len(results), found["total"], flush=True)
            if options.json:
                with open(options.json, "w") as file:
                    json.dump(found, file, indent=1)
    for fault in summary(results)["faults"][:40]:
        print(fault)
    return bool(summary(results)["faults"])


if __name__ == "__main__":
    sys.exit(main())
