"""A ROOT tree of one's own: lengths in mm, layers from 0, the time of each hit.

python root_tree.py mine.root
"""

import sys

import cmlflow


def main(path):
    """From the file to scores; the last fifth of the events is not trained on."""
    columns = cmlflow.Columns(
        position=("hit_x", "hit_y", "hit_z"), length="mm", energy="hit_e", layer="hit_layer", first_layer=0,
        particle="hit_truth", features=["hit_time"],
    )  # fmt: skip
    events = cmlflow.read(path, tree="events", columns=columns)
    n = len(events) * 4 // 5
    model = cmlflow.MetricClusterer(readout="clue", max_epochs=10, batch_size=4, learning_rate=2e-3).fit(events[:n])
    model.tune(events[:n])
    return cmlflow.evaluate(events[n:], model.predict(events[n:]))


if __name__ == "__main__":
    print(main(sys.argv[1]))
