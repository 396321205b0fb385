"""Crystals of the Belle II calorimeter: Parquet with one row per crystal, and the energies of several particles in it.

python belle2.py bbbar_train.parquet
"""

import sys

import cmlflow


def main(path, max_epochs=20):
    """From the file to scores; the last fifth of the events is not trained on."""
    columns = cmlflow.Columns(
        position=("x", "y", "z"), energy="rec_energy", event="event", particle="particle_idx", deposit="particle_edep",
        pdg_id="particle_pdg", features={"time": "tc_time"}, detector="belle2",
    )  # fmt: skip
    events = cmlflow.read(path, columns=columns)
    n = len(events) * 4 // 5
    model = cmlflow.MetricClusterer(readout="clue", max_epochs=max_epochs, learning_rate=2e-3).fit(events[:n])
    model.tune(events[:n])
    return cmlflow.evaluate(events[n:], model.predict(events[n:]))


if __name__ == "__main__":
    print(main(sys.argv[1]))
