"""A CSV table with one row per hit.

python csv_table.py hits.csv
"""

import sys

import cmlflow


def main(path):
    """From the file to scores; the last fifth of the events is not trained on."""
    columns = cmlflow.Columns(
        position=("x", "y", "z"), length="mm", energy="energy", layer="layer", event="event", particle="track_id"
    )
    events = cmlflow.read(path, columns=columns)
    n = len(events) * 4 // 5
    model = cmlflow.MetricClusterer(readout="clue", max_epochs=10, batch_size=4, learning_rate=2e-3).fit(events[:n])
    model.tune(events[:n])
    return cmlflow.evaluate(events[n:], model.predict(events[n:]))


if __name__ == "__main__":
    print(main(sys.argv[1]))
