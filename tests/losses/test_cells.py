"""Losses of cells: numbers worked out by hand, and loops over samples."""

import math

import numpy as np
import pytest
import torch

from cmlflow.losses import cells
from cmlflow.losses.origin import balance_loss, origin_loss


def logit(p):
    return math.log(p / (1 - p))


SCORE = torch.tensor([logit(0.8), logit(0.25)])
TARGET, WEIGHT, ONE = torch.tensor([1.0, 0.0]), torch.tensor([3.0, 1.0]), torch.tensor([0, 0])


def test_cross_entropy_by_hand():
    # (3 · −ln 0.8 + 1 · −ln 0.75) / 4
    want = (-3 * math.log(0.8) - math.log(0.75)) / 4
    assert cells.cross_entropy(SCORE, TARGET, WEIGHT, ONE, 1).item() == pytest.approx(want, rel=1e-6)


def test_focal_by_hand():
    # (3 · 0.2² · −ln 0.8 + 1 · 0.25² · −ln 0.75) / 4
    want = (3 * 0.04 * -math.log(0.8) + 0.0625 * -math.log(0.75)) / 4
    assert cells.focal(SCORE, TARGET, WEIGHT, ONE, 1).item() == pytest.approx(want, rel=1e-6)
    half = cells.focal(SCORE, TARGET, WEIGHT, ONE, 1, alpha=0.5).item()
    assert half == pytest.approx(want / 2, rel=1e-6)


def test_focal_without_gamma_is_cross_entropy():
    torch.testing.assert_close(
        cells.focal(SCORE, TARGET, WEIGHT, ONE, 1, gamma=0.0), cells.cross_entropy(SCORE, TARGET, WEIGHT, ONE, 1)
    )


def test_dice_by_hand():
    # weights 0.75 and 0.25: 1 − (2 · 0.75 · 0.8 + 0.01) / (0.75 · 0.8 + 0.25 · 0.25 + 0.75 + 0.01)
    want = 1 - (2 * 0.6 + 0.01) / (0.6 + 0.0625 + 0.75 + 0.01)
    assert cells.dice(SCORE, TARGET, WEIGHT, ONE, 1).item() == pytest.approx(want, rel=1e-6)


def test_squared_by_hand():
    # (3 · (0.5 − 1)² + 1 · (0.25 − 0)²) / 4
    got = cells.squared(torch.tensor([0.5, 0.25]), TARGET, WEIGHT, ONE, 1)
    assert got.item() == pytest.approx((0.75 + 0.0625) / 4)


def test_tssr_by_hand():
    got = cells.tssr(torch.tensor([-2.0, 0.5, 1.0, 4.0]))
    torch.testing.assert_close(got, torch.tensor([-0.02, 0.5, 1.0, 1.1]))


def test_tssr_has_gradients_everywhere():
    x = torch.tensor([-1.0, 0.5, 4.0], requires_grad=True)
    cells.tssr(x).sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([0.01, 1.0, 0.025]))


def test_weights_by_hand():
    energy = torch.tensor([-2.0, 0.04, 0.5])
    assert cells.cell_weights(energy).tolist() == pytest.approx([2.0, 0.04, 0.5])
    assert cells.cell_weights(energy, "energy2").tolist() == pytest.approx([4.0, 0.0016, 0.25])
    assert cells.cell_weights(energy, "threshold").tolist() == [0, 0, 1]
    assert cells.cell_weights(energy, "none").tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="weight is 'all', expected one of"):
        cells.cell_weights(energy, "all")


def test_parts_of_a_batch_are_those_of_each_sample():
    rng = np.random.default_rng(0)
    sample = torch.tensor([0, 0, 0, 1, 1, 2])
    score = torch.from_numpy(rng.normal(size=(6, 3)).astype(np.float32))
    parts = torch.from_numpy(rng.dirichlet(np.ones(3), 6).astype(np.float32))
    parts[1] = 0  # not known
    weight = torch.from_numpy(rng.random(6).astype(np.float32))
    loss = cells.parts_loss(score, parts, weight, sample, 3)
    balance = cells.parts_balance(score, parts, weight, sample, 3)
    for b in range(3):
        of = sample == b
        torch.testing.assert_close(loss[b], origin_loss(score[of], parts[of], weight[of]))
        torch.testing.assert_close(balance[b], balance_loss(score[of], parts[of], weight[of]))


@pytest.mark.parametrize("loss", [cells.cross_entropy, cells.focal, cells.dice, cells.squared])
def test_samples_do_not_mix_and_unknown_cells_do_not_count(loss):
    rng = np.random.default_rng(1)
    score = torch.from_numpy(rng.normal(size=5).astype(np.float32))
    target = torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0])
    weight = torch.tensor([1.0, 2.0, 0.0, 3.0, 1.0])
    sample = torch.tensor([0, 0, 0, 1, 1])
    both = loss(score, target, weight, sample, 2)
    for b, of in enumerate((torch.tensor([0, 1]), torch.tensor([3, 4]))):
        alone = loss(score[of], target[of], weight[of], torch.zeros(2, dtype=torch.long), 1)
        torch.testing.assert_close(both[b : b + 1], alone)
    assert loss(score, target, 0 * weight, sample, 2).tolist() == [0, 0]
