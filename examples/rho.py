"""Charged rho mesons, π± π⁰ → π± γγ: which cells are the track's? A learned model beside what needs no learning.

    python examples/rho.py [N_EVENTS] [--model FOLDER] [--train]

leaves `rho.png`, F1 of the cell-to-track association, and `rho.html`, events with their track in 3-D. `--train` trains
a poor model in FOLDER first, in seconds; `cmlflow train rho-supcon -o FOLDER` takes minutes and reaches more.
"""

import argparse
import sys

import cmlflow
from cmlflow.association import Associator
from cmlflow.baselines.pflow import always, nearest_track, parametric
from cmlflow.metrics import SystemFigures, association_counts, compare_association, track_shares
from cmlflow.plots.event import event_display
from cmlflow.plots.flow import bar_figure


def train(folder: str) -> None:
    events = cmlflow.simulate("rho", 40, seed=1)
    model = cmlflow.MetricClusterer(
        tracks=True, readout="ward", network=cmlflow.NetworkConfig(k=8), max_epochs=1, batch_size=8
    )
    model.fit(events)
    # What makes candidates of clusters is fitted to other events than the network.
    cmlflow.ParticleFlow(model, Associator(least=0.1)).fit(cmlflow.simulate("rho-tuning", 40, seed=1)).save(folder)


def main(n_events: int = 200, model: str = "rho-supcon") -> SystemFigures:
    flow = cmlflow.ParticleFlow.load(model, verbose=False)
    events = cmlflow.simulate("rho-test", n_events, seed=1)
    candidates = flow.predict(events)  # of each event: shares of hits, kinds, four-momenta [GeV], tracks
    first = candidates[0]
    print(f"event 0: {first}, energies {first.momentum[:, 3].round(1)} GeV, kinds {first.pdg_id}")

    # Each track's part of every cell. The first candidates of an event are those of its tracks, in their order.
    shares = {
        "cmlflow": [c.share[c.charged] for c in candidates],
        "parametric": [parametric(e) for e in events],
        "nearest track": [nearest_track(e, radius=0.5) for e in events],
        "always 1": [always(e, 1) for e in events],
    }
    # Right where prediction and truth are both above one half; one sum of cells, or of their energies, over events.
    counts = {
        name: [association_counts(p, track_shares(e), e.energy) for p, e in zip(found, events, strict=True)]
        for name, found in shares.items()
    }
    scores = compare_association(counts, against="always 1")
    for name in scores:
        print(f"{name:14} energy-weighted F1 {scores[name]['weighted_f1']}")

    bar_figure(scores.figures).savefig("rho.png", dpi=150)
    event_display(events[:5], {"cmlflow": candidates[:5]}, "rho.html", title="Charged rho mesons")
    print("figure in rho.png, five events in rho.html")
    return scores


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Cells of the track of charged rho mesons.")
    parser.add_argument("n_events", nargs="?", type=int, default=200)
    parser.add_argument("--model", default="rho-supcon", help="packaged model or folder")
    parser.add_argument("--train", action="store_true", help="train a small model in the folder first")
    options = parser.parse_args()
    try:
        if options.train:
            train(options.model)
        main(options.n_events, options.model)
    except (OSError, ValueError) as err:
        sys.exit(f"rho.py: {err}")
