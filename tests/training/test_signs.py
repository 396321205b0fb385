"""Warnings about the epoch that was kept, on logs made by hand and on trainings."""

import warnings

import numpy as np
import pytest

from cmlflow.losses import SupCon
from cmlflow.training import TrainingConfig, train
from cmlflow.training.signs import signs


def log(loss, validation=None):
    rows = [{"epoch": i + 1, "loss": float(value)} for i, value in enumerate(loss)]
    return rows if validation is None else [r | {"validation_loss": v} for r, v in zip(rows, validation, strict=True)]


# of object condensation with a dropout of 0.01 on electrons, epochs 1-20
TRAINING = [0.369, 0.312, 0.306, 0.302, 0.291, 0.250, 0.228, 0.220, 0.213, 0.205,
            0.202, 0.193, 0.196, 0.191, 0.186, 0.187, 0.191, 0.181, 0.185, 0.181]  # fmt: skip
VALIDATION = [0.309, 0.312, 0.310, 0.304, 0.293, 0.963, 0.986, 0.984, 0.973, 0.965,
              0.971, 0.981, 0.976, 0.975, 0.943, 0.972, 0.972, 0.972, 0.972, 0.972]  # fmt: skip


def test_a_log_of_object_condensation_with_dropout_shows_both():
    kept = 1 + int(np.argmin(VALIDATION))
    early, parted = signs(log(TRAINING, VALIDATION), kept)
    assert early.startswith("epoch 5 of 20 was kept, but the training loss fell from 0.291 to 0.185 after it")
    assert parted.startswith("the validation loss is 0.972, the training loss 0.185 at the end")
    (parted,) = signs(log(TRAINING, VALIDATION), 20)
    assert "0.972" in parted


def test_a_good_log_shows_nothing():
    falling = np.linspace(1, 0.5, 20)
    assert signs(log(falling, falling * 1.2), 20) == []
    assert signs(log(falling), 20) == []
    assert signs(log([1.0] + [0.5] * 19, [0.5] * 20), 3) == []  # kept early, nothing gained after it
    assert signs(log(falling[:9], falling[:9] * 9), 1) == []  # too short to tell
    assert signs([], 0) == []


def test_half_and_factor_are_limits():
    falling = np.linspace(1, 0.5, 20)
    assert len(signs(log(falling, falling), 10)) == 1
    assert signs(log(falling, falling), 11) == []
    assert len(signs(log(falling, falling * 2.01), 20)) == 1
    assert len(signs(log(falling, falling / 2.01), 20)) == 1


def test_train_warns(make_events, make_network):
    config = TrainingConfig(max_epochs=10, batch_size=4, learning_rate=3e-3)
    scores = iter(range(10))
    with pytest.warns(UserWarning, match=r"epoch 1 of 10 was kept, but the training loss fell"):
        train(make_network(), SupCon(), make_events(8), config=config, score=lambda _: next(scores))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(make_network(), SupCon(), make_events(8), config=config)
