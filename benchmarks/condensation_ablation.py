"""Which changes make object condensation stronger at equal training time, on validation events.

python benchmarks/condensation_ablation.py -o runs/ablation [--variants NAME ...]

Each variant is the recipe compact-em-oc with something changed, trained on 4,000 events (250 in each of 16 epochs, six
minutes on one core) and read by three readouts on 30 events of 2-15 validation showers, with the thresholds of the
grid that suit them best there. No test or tuning event takes part. A run that was interrupted goes on.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cmlflow import MetricClusterer, simulate
from cmlflow.losses import Condensation
from cmlflow.recipes import recipe
from cmlflow.simulation import SimulatedEvents, sample

BASE = "compact-em-oc"
N_EPOCHS, N_EVENTS, N_SCORED = 16, 250, 30
READOUTS: dict[str, dict[str, list[float]] | None] = {
    "condensation": {
        "threshold": [0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
        "radius": [*np.linspace(0.1, 1.2, 12).round(2).tolist(), 1.5, 2.0],
    },
    "clue": None,
    "ward": None,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "q_min 1": {"loss": Condensation(q_min=1.0)},
    "q_min 0.03": {"loss": Condensation(q_min=0.03)},
    "q_min 0.5, centre the mean": {"loss": Condensation(q_min=0.5, mean=1.0)},
    "log attraction, mean 0.1": {"loss": Condensation(attraction="log", mean=0.1)},
    "later training code": {"loss": Condensation(1.5, 2.0, attraction="log", repulsion="gauss", mean=0.1)},
    "beta weight 0.3": {"loss": Condensation(beta_weight=0.3)},
    "learning rate 4e-3, warm-up": {"learning_rate": 4e-3, "training": {"warmup_steps": 100}},
    "2 events per step": {"batch_size": 2},
}


def trained(changes: dict[str, Any], folder: Path) -> MetricClusterer:
    """The model of a variant."""
    chosen = recipe(BASE)
    training = replace(chosen.parameters["training"], **changes.get("training", {}))
    parameters = chosen.parameters | changes | {"training": training, "max_epochs": N_EPOCHS}
    events = SimulatedEvents(sample(chosen.sample), N_EVENTS, seed=chosen.seed)
    validation = simulate(f"{chosen.sample}-validation", chosen.n_validation, seed=chosen.seed)
    return MetricClusterer(**parameters).fit(events, validation=validation, folder=folder)


def scored(model: MetricClusterer) -> dict[str, dict[str, float]]:
    """Of each readout the setting nearest to perfect efficiency, purity and ratio, and these."""
    wide = replace(sample(f"{recipe(BASE).sample}-validation"), n_particles=(2, 15))
    events = list(simulate(wide, N_SCORED, seed=7))
    out = {}
    for name, grid in READOUTS.items():
        table = model.tune(events, readouts=[name], grid=grid)[name].table
        out[name] = min(table, key=lambda row: row["distance"])
    return out


def main() -> None:
    """Train and score what is asked for, and write results.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="NAME")
    options = parser.parse_args()
    file = options.output / "results.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    for name in options.variants:
        model = trained(VARIANTS[name], options.output / name.replace(" ", "_").replace(",", ""))
        history = model.history_
        assert history is not None
        results[name] = {"validation_loss": history.records[-1]["validation_loss"]} | scored(model)
        file.write_text(json.dumps(results, indent=1) + "\n")
        print(name, results[name], flush=True)


if __name__ == "__main__":
    main()
