"""Learning rates and checks of the settings."""

import pytest

from cmlflow.training import TrainingConfig


def test_step_schedule_halves_every_25_epochs():
    config = TrainingConfig()
    assert [config.rate(10 * epoch, 10) for epoch in (0, 24, 25, 49, 50, 99)] == [
        3e-4, 3e-4, 1.5e-4, 1.5e-4, 0.75e-4, 3e-4 / 8,
    ]  # fmt: skip
    assert config.rate(249, 10) == 3e-4


def test_cosine_schedule_falls_to_zero():
    config = TrainingConfig(schedule="cosine", max_epochs=4, learning_rate=1.0)
    rates = [config.rate(step, 5) for step in range(21)]
    assert rates[0] == 1.0
    assert rates[10] == pytest.approx(0.5)
    assert rates[20] == pytest.approx(0.0, abs=1e-15)
    assert rates == sorted(rates, reverse=True)


def test_warmup_rises_linearly():
    config = TrainingConfig(warmup_steps=4, learning_rate=1.0)
    assert [config.rate(step, 100) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_epochs": 0}, "max_epochs is 0, expected 1 or more"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"hits_per_batch": 0}, "hits_per_batch is 0"),
        ({"checkpoint_steps": 0}, "checkpoint_steps is 0"),
        ({"step_epochs": 0}, "step_epochs is 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0, expected a positive"),
        ({"balance": -1.0}, "balance is -1.0, expected 0 or more"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"schedule": "linear"}, "schedule is 'linear', expected one of"),
        ({"precision": "half"}, "precision is 'half', expected one of"),
        ({"select": "best"}, "select is 'best', expected one of"),
        ({"select": "last", "patience": 3}, "patience is 3, expected None with select='last'"),
        ({"patience": 0}, "patience is 0, expected 1 or more"),
        ({"warmup_steps": -1}, "warmup_steps is -1, expected 0 or more"),
        ({"gradient_clip": 0.0}, "gradient_clip is 0.0, expected a positive number"),
    ],
)
def test_wrong_settings(change, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**change)
