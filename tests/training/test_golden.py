"""The loss curve of a fixed small training, kept in a file.

``python tests/training/test_golden.py`` writes the file again, for changes that are meant to change the numbers.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from cmlflow import Event, MetricClusterer
from cmlflow.nets.network import NetworkConfig
from cmlflow.training import TrainingConfig

GOLDEN = Path(__file__).parents[1] / "golden" / "smoke.json"


def sample(n_events, seed):
    """Showers as cones on the cell grid, without the shower library: its contents may change, this must not."""
    rng = np.random.default_rng(seed)
    events = []
    for number in range(n_events):
        n_particles = int(rng.integers(2, 5))
        direction = rng.uniform(-0.06, 0.06, (n_particles, 2))
        ids = np.repeat(np.arange(n_particles), 40)
        layer = np.clip(np.round(rng.gamma(6.0, 1.8, len(ids))), 1, 28)
        z = 319.8 + 2.5 * (layer - 1)
        xy = (
            np.round(direction[ids] * z[:, None] + rng.normal(size=(len(ids), 2)) * (0.4 + 0.08 * layer[:, None])) + 0.5
        )
        cell, first = np.unique(np.column_stack([xy, layer]), axis=0, return_index=True)
        energy = rng.exponential(20.0, len(cell)) + 0.5
        events.append(Event(np.column_stack([cell[:, :2], z[first]]), energy, layer[first], ids[first], number=number))
    return events


def curves():
    train, validation = sample(24, 1), sample(6, 2)
    settings = {"max_epochs": 4, "batch_size": 4, "learning_rate": 2e-3}
    settings["network"] = NetworkConfig(scaling="hgcal", dropout=0.0)
    settings["training"] = TrainingConfig(schedule="cosine", gradient_clip=1.0)
    out = {}
    for head in ("supcon", "oc", "margin"):
        model = MetricClusterer(head=head, **settings)
        records = model.fit(train, validation=validation).history_.records
        out[head] = {name: [r[name] for r in records] for name in ("loss", "validation_loss")}
    return out


def test_loss_curve_is_the_one_on_file():
    golden = json.loads(GOLDEN.read_text())
    for head, found in curves().items():
        for name, values in found.items():
            assert values == pytest.approx(golden[head][name], rel=1e-3), (head, name)


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(curves(), indent=1) + "\n")
