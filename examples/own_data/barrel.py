"""A toy barrel around the beam, made here with numpy: events from arrays, with coordinates of the barrel as features.

python barrel.py
"""

import numpy as np

import cmlflow


def toy(rng, n_particles=4, n_hits=25):
    """Straight particles from the origin through eight cylinders of 150 cm and more."""
    truth = np.repeat(np.arange(n_particles), n_hits)
    layer = rng.integers(1, 9, len(truth))
    r = 150 + 2.0 * layer
    phi = rng.uniform(-np.pi, np.pi, n_particles)[truth] + rng.normal(0, 2, len(truth)) / r
    z = rng.uniform(-100, 100, n_particles)[truth] * r / 150 + rng.normal(0, 2, len(truth))
    barrel = {"circle": np.stack([np.cos(phi), np.sin(phi)], axis=1), "slope": z / r}
    position = np.stack([r * np.cos(phi), r * np.sin(phi), z], axis=1)
    return cmlflow.Event(position, rng.exponential(1, len(truth)), layer, truth, features=barrel, detector="barrel")


def main():
    """From events to scores; the last fifth of them is not trained on."""
    rng = np.random.default_rng(1)
    events = [toy(rng) for _ in range(40)]
    how = {"features": ("circle", "slope", "energy", "layer"), "max_epochs": 10, "batch_size": 4}
    model = cmlflow.MetricClusterer(readout="clue", learning_rate=2e-3, **how).fit(events[:32])
    model.tune(events[:32])
    return cmlflow.evaluate(events[32:], model.predict(events[32:]))


if __name__ == "__main__":
    print(main())
