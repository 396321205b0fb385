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


def test_cyclic_rate_warms_up_and_falls_three_times():
    config = TrainingConfig(max_epochs=10, learning_rate=1.0, schedule="cyclic")
    rates = [config.rate(step, 10) for step in range(100)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    third = 95 / 3
    peaks = [5, 5 + int(third) + 1, 5 + int(2 * third) + 1]
    assert [rates[p] for p in peaks] == pytest.approx([1.0, 0.6, 0.36], rel=0.02)
    assert [rates[p - 1] for p in peaks[1:]] == pytest.approx([0.02, 0.012], rel=0.3)
    for begin, end in zip(peaks, [*peaks[1:], 100], strict=True):
        assert all(a > b for a, b in zip(rates[begin : end - 1], rates[begin + 1 : end], strict=True))


def test_ramp_rises_holds_and_decays():
    config = TrainingConfig(max_epochs=40, learning_rate=0.1, schedule="ramp", ramp_epochs=2, hold_epochs=3)
    assert [config.rate(step, 2) for step in range(4)] == pytest.approx([0.025, 0.05, 0.075, 0.1])
    assert {config.rate(step, 2) for step in range(4, 10)} == {0.1}
    assert config.rate(10, 2) == pytest.approx(0.07)
    assert config.rate(12, 2) == pytest.approx(0.049)
    assert config.rate(79, 2) == pytest.approx(1e-5)


def test_optimizers_by_name():
    from torch import nn

    from cmlflow.training.optimizers import build_optimizer

    parameters = list(nn.Linear(2, 1).parameters())
    kinds = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD"}
    for name, kind in kinds.items():
        made = build_optimizer(parameters, TrainingConfig(optimizer=name, weight_decay=0.01, learning_rate=0.5))
        assert type(made).__name__ == kind
        assert made.param_groups[0]["weight_decay"] == 0.01
        assert made.param_groups[0]["lr"] == 0.5
    assert made.param_groups[0]["nesterov"]
    with pytest.raises(ValueError, match="optimizer is 'lion', expected one of"):
        TrainingConfig(optimizer="lion")
    with pytest.raises(ValueError, match="momentum is 1"):
        TrainingConfig(momentum=1)
