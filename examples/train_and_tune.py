"""Train both heads on the same events, tune their readouts on an auxiliary sample, compare them on a test sample.

Sizes are such that it runs in under a minute on one core, which shows how it is done and not what can be reached:
`cmlflow train compact-em-supcon` and `compact-em-oc` train the packaged models.

    python examples/train_and_tune.py [FOLDER]
"""

import sys
from pathlib import Path

import cmlflow
from cmlflow.evaluation import Evaluation
from cmlflow.simulation import SimulatedEvents

N_TRAIN, N_HELD_OUT, N_EPOCHS = 20, 6, 2


def main(folder: str = "models") -> dict[str, Evaluation]:
    # Made when they are asked for, and anew in every epoch. Your own: train = cmlflow.read("train.root").
    train = SimulatedEvents("compact-em", N_TRAIN, seed=1, n_particles=2)
    # Three more samples, from other showers: to choose the epoch, to tune the readouts, to compare.
    validation = cmlflow.simulate("compact-em-validation", N_HELD_OUT, seed=1, n_particles=2)
    tuning = cmlflow.simulate("compact-em-tuning", N_HELD_OUT, seed=1, n_particles=2)
    test = cmlflow.simulate("compact-em-test", N_HELD_OUT, seed=1, n_particles=2)

    tables = {}
    for head, readout in (("supcon", "density"), ("oc", "condensation")):
        # Same seed: both start from the same backbone and see the same events in the same order.
        model = cmlflow.MetricClusterer(
            head,
            readout,
            max_epochs=N_EPOCHS,
            batch_size=4,
            learning_rate=2e-3,
            network=cmlflow.NetworkConfig(scaling="hgcal"),
        )
        # With a folder, a run that was interrupted goes on where it was, to the same weights.
        model.fit(train, validation=validation, folder=Path(folder) / head)
        tuned = model.tune(tuning)[readout]
        print(f"{head}: {readout} with {tuned.best}, at distance {tuned.distance:.3f} from perfect")
        model.save(Path(folder) / head)

        again = cmlflow.MetricClusterer.load(Path(folder) / head)  # the thresholds come with it
        tables[head] = cmlflow.evaluate(test, again.predict(test))
        print(f"{head}: {tables[head]!r}")
    return tables


if __name__ == "__main__":
    main(*sys.argv[1:2])
