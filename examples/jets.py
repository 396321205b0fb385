"""Jets as particle flow sees them: charged candidates from tracks, neutral ones from the cells that are left.

    python examples/jets.py [N_EVENTS] [--model FOLDER] [--train]

leaves `jets.png`, response and resolution by jet energy, and `jets.html`, jets with their tracks in 3-D. `--train`
trains a poor model in FOLDER first, in seconds; `cmlflow train jets-supcon -o FOLDER` reaches more.
"""

import argparse
import sys

import cmlflow
from cmlflow.association import Associator
from cmlflow.metrics import SystemFigures, compare_candidates, compare_jets, true_candidates
from cmlflow.plots.event import event_display
from cmlflow.plots.flow import energy_figure


def train(folder: str) -> None:
    events = cmlflow.simulate("jets", 30, seed=1)
    model = cmlflow.MetricClusterer(
        tracks=True, readout="ward", network=cmlflow.NetworkConfig(k=8), max_epochs=1, batch_size=8
    )
    model.fit(events)
    # What makes candidates of clusters is fitted to other jets than the network.
    cmlflow.ParticleFlow(model, Associator(least=0.1)).fit(cmlflow.simulate("jets-tuning", 30, seed=1)).save(folder)


def main(n_events: int = 300, model: str = "jets-supcon") -> tuple[SystemFigures, SystemFigures]:
    flow = cmlflow.ParticleFlow.load(model, verbose=False)
    events = cmlflow.simulate("jets-test", n_events, seed=1)
    candidates = flow.predict(events)  # cells shared over candidates
    hard = flow.with_mode("hard").predict(events)  # each cell with one candidate

    # Charged candidates are judged by the cells of their own track's particle, neutral ones by any without a track.
    found = compare_candidates(events, {"soft": candidates, "hard": hard})
    for kind in ("charged", "neutral"):
        own = found["soft"]
        print(f"{kind:8} efficiency {own[f'{kind}_efficiency']}, purity {own[f'{kind}_purity']}")

    # The jet is the sum of its candidates. "truth" has perfect pattern recognition and the same momenta of tracks.
    perfect = [true_candidates(e) for e in events]
    jets = compare_jets(events, {"truth": perfect, "soft": candidates, "hard": hard}, against="soft")
    for name in jets:
        print(f"{name:8} jet response: bias {jets[name]['energy_bias']}, width {jets[name]['energy_sigma_eff']}")

    energy_figure(jets, ("energy_bias", "energy_sigma_eff"), label="true jet energy [GeV]").savefig("jets.png", dpi=150)
    event_display(events[:5], {"soft": candidates[:5], "hard": hard[:5]}, "jets.html", title="Jets")
    print("figure in jets.png, five jets in jets.html")
    return found, jets


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Particle-flow candidates of jets.")
    parser.add_argument("n_events", nargs="?", type=int, default=300)
    parser.add_argument("--model", default="jets-supcon", help="packaged model or folder")
    parser.add_argument("--train", action="store_true", help="train a small model in the folder first")
    options = parser.parse_args()
    try:
        if options.train:
            train(options.model)
        main(options.n_events, options.model)
    except (OSError, ValueError) as err:
        sys.exit(f"jets.py: {err}")
