"""Seconds per request of a model on a Triton server, beside the same model in this process.

python benchmarks/serving_latency.py 127.0.0.1:8001 compact-em-supcon
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import torch

import cmlflow
from cmlflow import Event
from cmlflow.serving import RemoteClusterer

SIZES = {10: 2, 2_000: 2, 8_000: 9, 14_500: 18}
"""Number of particles of an event with about so many hits, or with more that are left out."""


def fastest(call: Callable[[], object], repeats: int) -> float:
    """Seconds of the fastest of several calls, after one to warm up: other work of the machine only adds."""
    call()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", help="host and gRPC port of the server")
    parser.add_argument("name", help="of the model on the server")
    parser.add_argument("--model", help="the same model here: packaged or folder (that of the name)")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model, remote = (
        cmlflow.MetricClusterer.load(options.model or options.name),
        RemoteClusterer(options.url, options.name),
    )
    print("| hits | over gRPC | in this process |", "|---|---|---|", sep="\n")
    for most, n_particles in SIZES.items():
        e = cmlflow.simulate("compact-em-test", 1, seed=3, n_particles=n_particles)[0]
        n = 10 if most == 10 else e.n_hits
        events = [Event(e.position[:n], e.energy[:n], e.layer[:n])]
        assert (remote.predict(events)[0] == model.predict(events)[0]).all()
        repeats = options.repeats * (5 if n < 100 else 1)
        there, here = (fastest(partial(one.predict, events), repeats) for one in (remote, model))
        print(f"| {n:,} | {1e3 * there:.1f} ms | {1e3 * here:.1f} ms |", flush=True)


if __name__ == "__main__":
    main()
