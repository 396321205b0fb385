"""Single particles of a key4hep detector (EDM4hep), laid over each other to events with several of them.

python edm4hep_overlay.py odd_pi_10GeV.root
"""

import sys

import cmlflow


def main(path, n_events=30, max_epochs=3):
    """From the file to scores; the showers of the last events are not trained on."""
    single = cmlflow.read(path)
    n = len(single) * 2 // 3
    train = cmlflow.overlay(single[:n], (1, 3), n_events, seed=1, rotate=True)
    test = cmlflow.overlay(single[n:], (1, 3), n_events // 3, seed=2, rotate=True)
    model = cmlflow.MetricClusterer(readout="clue", max_epochs=max_epochs, batch_size=4, learning_rate=2e-3).fit(train)
    model.tune(train)
    return cmlflow.evaluate(test, model.predict(test))


if __name__ == "__main__":
    print(main(sys.argv[1]))
