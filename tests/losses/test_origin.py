import math

import numpy as np
import pytest
import torch

from cmlflow.losses.origin import balance_loss, origin_loss


def slow(scores, parts, weight):
    above = below = 0.0
    for s, f, w in zip(scores.tolist(), parts.tolist(), weight.tolist(), strict=True):
        if sum(f) == 0:
            continue
        norm = sum(math.exp(v) for v in s)
        above -= w * sum(p * math.log(math.exp(v) / norm) for v, p in zip(s, f, strict=True))
        below += w
    return above / below if below else 0.0


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_loops(seed):
    rng = np.random.default_rng(seed)
    scores, weight = rng.normal(size=(9, 3)), rng.random(9)
    parts = rng.dirichlet(np.ones(3), 9)
    parts[[1, 5]] = 0  # tracks, and hits without deposits
    np.testing.assert_allclose(origin_loss(scores, parts, weight), slow(scores, parts, weight), rtol=1e-5)


def slow_balance(scores, parts, weight, softening):
    off, total = [0.0] * 3, 0.0
    for s, f, w in zip(scores.tolist(), parts.tolist(), weight.tolist(), strict=True):
        if sum(f) == 0:
            continue
        norm = sum(math.exp(v) for v in s)
        off = [o + w * (math.exp(v) / norm - p) for o, v, p in zip(off, s, f, strict=True)]
        total += w
    return math.sqrt(sum((o / total) ** 2 for o in off) + softening**2) - softening if total else 0.0


@pytest.mark.parametrize("softening", [0.03, 0.5])
def test_balance_agrees_with_loops(softening):
    rng = np.random.default_rng(7)
    scores, weight = rng.normal(size=(9, 3)), rng.random(9)
    parts = rng.dirichlet(np.ones(3), 9)
    parts[[1, 5]] = 0
    found = balance_loss(scores, parts, weight, softening)
    np.testing.assert_allclose(found, slow_balance(scores, parts, weight, softening), rtol=1e-5)


def test_errors_of_hits_balance_each_other():
    parts, weight = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), np.array([2.0, 2.0])
    exchanged = np.log(parts[::-1] + 1e-12)  # each hit wrong, the sums right
    assert balance_loss(exchanged, parts, weight) == pytest.approx(0, abs=1e-6)
    assert origin_loss(exchanged, parts, weight) > 10
    all_charged = np.log(np.array([[1.0, 0.0, 0.0]] * 2) + 1e-12)
    assert balance_loss(all_charged, parts, weight, 0.0) == pytest.approx(math.sqrt(0.5))


def test_smallest_at_the_mean_parts():
    parts, weight = torch.tensor([[0.7, 0.3, 0.0], [0.1, 0.7, 0.2]]), torch.tensor([1.0, 3.0])
    mean = (weight[:, None] * parts).sum(0) / 4
    scores = mean.log().repeat(2, 1).requires_grad_()
    gradient = torch.autograd.grad(origin_loss(scores, parts, weight), scores)[0].sum(0)
    np.testing.assert_allclose(gradient, 0, atol=1e-6)


def test_nothing_known_is_zero_and_shapes_are_checked():
    for loss in (origin_loss, balance_loss):
        scores = torch.zeros(4, 3, requires_grad=True)
        assert loss(scores, torch.zeros(4, 3), torch.ones(4)).item() == 0
        assert torch.isfinite(torch.autograd.grad(loss(scores, torch.zeros(4, 3), torch.ones(4)), scores)[0]).all()
        assert float(loss(torch.zeros(0, 3), torch.zeros(0, 3), torch.zeros(0))) == 0
    with pytest.raises(ValueError, match=r"parts \(4, 2\)"):
        origin_loss(torch.zeros(4, 3), torch.zeros(4, 2), torch.ones(4))
