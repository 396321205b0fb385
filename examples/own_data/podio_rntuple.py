"""Frames of podio in RNTuples (EDM4hep).

python podio_rntuple.py sim.root
"""

import sys

import cmlflow


def main(path):
    """From the file to scores; the last fifth of the events is not trained on."""
    events = cmlflow.read(path)
    n = len(events) * 4 // 5
    model = cmlflow.MetricClusterer(readout="clue", max_epochs=10, batch_size=4, learning_rate=2e-3).fit(events[:n])
    model.tune(events[:n])
    return cmlflow.evaluate(events[n:], model.predict(events[n:]))


if __name__ == "__main__":
    print(main(sys.argv[1]))
