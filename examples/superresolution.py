"""Super-resolution: neutral energy in fine cells from an event in coarse ones, and the mass of the neutral pion.

    python examples/superresolution.py FOLDER [N_EVENTS] [--train]

scores the model in FOLDER beside an even split. `--train` trains a poor one there first, in seconds;
`cmlflow train superres-graph -o FOLDER` takes minutes and reaches more.
"""

import argparse
import sys

import numpy as np

import cmlflow
from cmlflow.baselines.learned import FineCells, SuperConfig, SuperResolver
from cmlflow.baselines.learned.fine import neutral_in_cells
from cmlflow.baselines.learned.superresolution import even_split
from cmlflow.detectors import slab_detector
from cmlflow.event import vertex_of
from cmlflow.metrics.superresolution import mass_width, photon_pair_mass
from cmlflow.simulation.pairs import EventPairs


def train(folder: str) -> None:
    training = cmlflow.TrainingConfig(max_epochs=2, batch_size=8, learning_rate=2e-3, augment=True)
    SuperResolver(SuperConfig("graph"), training).fit(EventPairs("pi-gun-2-5", 40, seed=1)).save(folder)


def fine_truth(event: cmlflow.Event) -> FineCells:
    fine = slab_detector("slab-hg")
    cell = np.flatnonzero(energy := neutral_in_cells(event))
    layer = np.searchsorted(fine.offset, cell, side="right")
    ix, iy = np.divmod(cell - fine.offset[layer - 1], fine.n_cells[layer - 1])
    return FineCells(fine.position(layer, ix, iy), energy[cell], np.full(len(cell), -1))


def main(folder: str, n_events: int = 200) -> dict[str, dict[str, float]]:
    model = cmlflow.load(folder)
    pairs = list(EventPairs("pi-gun-2-5-test", n_events, seed=1))
    coarse = [event for event, _ in pairs]
    predicted = model.predict(coarse)
    # The same neutral energy of every coarse cell, divided evenly over its fine cells.
    total = [
        np.bincount(p.parent, p.energy, e.n_hits) / np.maximum(e.energy, 1e-9)
        for e, p in zip(coarse, predicted, strict=True)
    ]
    found = {
        "super-resolution": predicted,
        "even split": [even_split(e, t) for e, t in zip(coarse, total, strict=True)],
        "truth, fine cells": [fine_truth(fine) for _, fine in pairs],
    }
    out = {}
    for name, cells in found.items():
        masses = [photon_pair_mass(c.position, c.energy, vertex_of(e)) for e, c in zip(coarse, cells, strict=True)]
        out[name] = mass_width(masses)
        print(f"{name:18} width of the mass {out[name]['width']:.3f} of 135 MeV, none in {out[name]['missing']:.0f}")
    return out


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Neutral energy in fine cells from coarse ones.")
    parser.add_argument("model", help="packaged model or folder")
    parser.add_argument("n_events", nargs="?", type=int, default=200)
    parser.add_argument("--train", action="store_true", help="train a small model in the folder first")
    options = parser.parse_args()
    try:
        if options.train:
            train(options.model)
        main(options.model, options.n_events)
    except (OSError, ValueError) as err:
        sys.exit(f"superresolution.py: {err}")
