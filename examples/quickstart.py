"""Simulate events, cluster them with a packaged model, score the clusters and look at them.

python examples/quickstart.py [N_EVENTS] [PAGE.html]
"""

import sys

import cmlflow
from cmlflow.evaluation import Evaluation
from cmlflow.plots.event import event_display


def main(n_events: int = 10, page: str = "quickstart.html") -> Evaluation:
    # Electrons of 10-200 GeV, four in every event, laid over each other from single Geant4 showers. The showers of
    # `-test` samples were used neither for training the packaged models nor for tuning their thresholds.
    events = cmlflow.simulate("compact-em-test", n_events, seed=1, n_particles=4)
    event = events[0]
    print(f"the first of {len(events)} events has {event.n_hits} hits of {event.n_particles} particles")

    # A model is a network, and a readout that turns its embedding into clusters.
    model = cmlflow.MetricClusterer.load("compact-em-supcon")
    embeddings = model.transform(events)  # per event: unit vectors, one row per hit
    print(f"its embedding has shape {embeddings[0].shape}")

    # Cluster numbers per event: 0, 1, 2, ... and -1 for hits in no cluster.
    labels = {"density": model.predict(events), "ward": model.set_params(readout="ward").predict(events)}

    # Efficiency, purity, number of clusters per particle, energy resolution: with intervals over events.
    for readout, clusters in labels.items():
        table = cmlflow.evaluate(events, clusters)
        print(f"{readout:8} efficiency {table.efficiency}, purity {table.purity}, ratio {table.ratio}")
    print(table)

    # Truth beside clusters in 3-D; the page needs no network.
    event_display(events[:3], {name: found[:3] for name, found in labels.items()}, path=page)
    print(f"three events shown in {page}")
    return table


if __name__ == "__main__":
    main(*(kind(text) for kind, text in zip((int, str), sys.argv[1:], strict=False)))
