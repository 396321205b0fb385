"""PointNet segmentation of the cells around each track, beside metric learning and a rule, on charged rho mesons.

    python examples/pointnet.py [N_EVENTS] [--model FOLDER] [--train]

prints scores and leaves `pointnet.png`, residuals of the neutral energy. `--train` trains a poor model in FOLDER first,
in seconds; `cmlflow train rho-pointnet -o FOLDER` takes minutes and reaches more.
"""

import argparse
import sys

import cmlflow
from cmlflow.baselines.learned import PointNetConfig, PointNetRegressor
from cmlflow.baselines.pflow import parametric
from cmlflow.metrics import SystemFigures, association_counts, compare_association, neutral_scores, track_shares
from cmlflow.plots.flow import residual_figure


def train(folder: str) -> None:
    events = cmlflow.simulate("rho", 60, seed=1)
    training = cmlflow.TrainingConfig(max_epochs=3, batch_size=8, learning_rate=3e-3, optimizer="adamw", augment=True)
    model = PointNetRegressor(PointNetConfig(width=0.1), training).fit(events[:50], events[50:])
    # Sums of charged and neutral energy are made unbiased on other events.
    model.calibrate(cmlflow.simulate("rho-tuning", 40, seed=1)).save(folder)


def main(n_events: int = 200, model: str = "rho-pointnet") -> SystemFigures:
    events = cmlflow.simulate("rho-test", n_events, seed=1)
    found = {
        "PointNet": cmlflow.load(model).cell_shares(events),
        "SupCon": cmlflow.load("rho-supcon", verbose=False).cell_shares(events),
    }
    first = found["PointNet"][0]  # share (T + 1, n_hits): the tracks, then what is neutral; the rest is noise
    print(f"event 0: {first}, neutral energy {first.neutral @ events[0].energy:.2f} GeV")

    # Right where prediction and truth are both above one half, without hits of noise.
    shares = {name: [s.charged for s in listed] for name, listed in found.items()}
    shares["parametric"] = [parametric(e) for e in events]
    counts = {
        name: [
            association_counts(p, track_shares(e), e.energy, (e.particle_id >= 0)[None])
            for p, e in zip(listed, events, strict=True)
        ]
        for name, listed in shares.items()
    }
    scores = compare_association(counts, against="parametric")
    for name in scores:
        print(f"{name:10} energy-weighted F1 {scores[name]['weighted_f1']}")
    residuals = {
        name: [neutral_scores(e, s)["residual"] for e, s in zip(events, listed, strict=True)]
        for name, listed in (found | {"parametric": shares["parametric"]}).items()
    }
    residual_figure(residuals).savefig("pointnet.png", dpi=150)
    print("residuals of the neutral energy in pointnet.png")
    return scores


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="PointNet segmentation of the cells of a track.")
    parser.add_argument("n_events", nargs="?", type=int, default=200)
    parser.add_argument("--model", default="rho-pointnet", help="packaged model or folder")
    parser.add_argument("--train", action="store_true", help="train a small model in the folder first")
    options = parser.parse_args()
    try:
        if options.train:
            train(options.model)
        main(options.n_events, options.model)
    except (OSError, ValueError) as err:
        sys.exit(f"pointnet.py: {err}")
