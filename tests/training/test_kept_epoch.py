"""The epoch that is kept reconstructs, and no worse than the last one, for every head with its default settings."""

import copy

import numpy as np
import pytest

from cmlflow import Event, MetricClusterer
from cmlflow.methods import METHODS
from cmlflow.nets.network import NetworkConfig
from cmlflow.training import TrainingConfig, load_checkpoint

HEADS = sorted(name for name, method in METHODS.items() if method.head is not None)
SETTINGS = {"dim": 8, "max_epochs": 10, "batch_size": 2, "learning_rate": 4e-3}
SETTINGS["training"] = TrainingConfig(schedule="cosine", gradient_clip=1.0)
NOISE = 0.1  # of the distance from perfect reconstruction on ten events


def showers(n_events, seed):
    """Two to four showers of a hundred hits that are much alike."""
    rng = np.random.default_rng(seed)
    events = []
    for _ in range(n_events):
        n = int(rng.integers(2, 5))
        direction = np.column_stack([rng.uniform(-0.08, 0.08, (n, 2)), np.ones(n)])
        ids = np.repeat(np.arange(n), 100)
        layer = np.clip(np.round(rng.gamma(6.0, 1.8, len(ids))), 1, 28)
        z = 319.8 + 2.5 * (layer - 1)
        xy = direction[ids, :2] * z[:, None] + rng.normal(size=(len(ids), 2)) * (0.6 + 0.12 * layer[:, None])
        particles = np.full(n, 11), np.full(n, 50.0), direction / np.linalg.norm(direction, axis=1, keepdims=True)
        energy = rng.exponential(20.0, len(ids)) + 0.5
        events.append(Event(np.column_stack([xy, z]), energy, layer.astype(int), ids, particles=particles))
    return events


def kept_and_last(head, folder, dropout=None):
    """Smallest distances from perfect reconstruction on validation, with the weights kept and the last ones."""
    validation, readout = showers(10, 2), METHODS[head].readouts[0]
    network = NetworkConfig(k=8, scaling="hgcal", dropout=dropout)
    model = MetricClusterer(head=head, readout=readout, network=network, **SETTINGS)
    model.fit(showers(28, 1), validation=validation, folder=folder)
    last = copy.deepcopy(model)
    last.embedder_.network.load_state_dict(load_checkpoint(folder / "checkpoint.pt")["network"])
    return [min(row["distance"] for row in m.tune(validation)[readout].table) for m in (model, last)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:epoch . of 10 was kept")  # ten events choose among epochs that are much alike
@pytest.mark.parametrize("head", HEADS)
def test_kept_epoch_reconstructs_no_worse_than_the_last(head, tmp_path):
    """A validation loss that has nothing to do with reconstruction, or a network that is another one at inference,
    fails here: with dropout, object condensation reconstructs nothing."""
    kept, last = kept_and_last(head, tmp_path)  # parted losses, see `cmlflow.training.signs`, fail too
    assert kept <= last + NOISE
    assert kept < 0.2


@pytest.mark.slow
def test_object_condensation_takes_dropout_badly(tmp_path):
    """Why it has none by default; if this fails, the default can be that of the other heads."""
    with pytest.warns(UserWarning, match="epoch 1 of 10 was kept|the validation loss is") as found:
        kept, last = kept_and_last("oc", tmp_path, dropout=0.05)
    assert sum("epoch 1 of 10 was kept" in str(w.message) or "validation loss is" in str(w.message) for w in found) == 2
    assert kept > max(0.2, last + NOISE)
