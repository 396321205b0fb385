"""The margin loss against a twin written from its formula."""

import numpy as np
import pytest
import torch

from cmlflow.losses import Margin, margin_loss

TERMS = ("variance", "distance", "regularisation")


def twin(z, particle_id, weight, pull_margin, push_margin):
    particles = sorted({int(p) for p in particle_id if p >= 0})
    zero = (z * 0).sum()
    if not particles:
        return dict.fromkeys(TERMS, zero)

    def norm(v):
        return v.norm() if bool((v != 0).any()) else (v * 0).sum()

    centres, variance = [], zero
    for c in particles:
        own = [i for i in range(len(z)) if particle_id[i] == c]
        total = sum(weight[i] for i in own)
        centre = sum(weight[i] * z[i] for i in own) / total
        centres.append(centre)
        for i in own:
            variance = variance + weight[i] * torch.clamp(norm(z[i] - centre) - pull_margin, min=0) ** 2 / total
    distance, pairs = zero, 0
    for a in range(len(centres)):
        for b in range(len(centres)):
            if a != b:
                distance = distance + torch.clamp(push_margin - norm(centres[a] - centres[b]), min=0) ** 2
                pairs += 1
    regularisation = 0.001 * sum(norm(c) for c in centres) / len(centres)
    return {
        "variance": variance / len(centres),
        "distance": distance / max(pairs, 1),
        "regularisation": regularisation,
    }


def sample(n, dim, n_particles, seed=0, unknown=0.1):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_particles, n)
    labels[rng.random(n) < unknown] = -1
    return (
        torch.from_numpy(rng.normal(size=(n, dim))),
        torch.from_numpy(labels),
        torch.from_numpy(rng.uniform(0.1, 3, n)),
    )


CASES = {
    "random": sample(60, 16, 4),
    "one hit": sample(1, 16, 1, unknown=0.0),
    "one particle": sample(20, 16, 1, unknown=0.0),
    "a single hit per particle": (sample(12, 16, 3)[0], torch.arange(12), torch.ones(12).double()),
    "nothing known": (sample(12, 16, 3)[0], torch.full((12,), -1), torch.ones(12).double()),
    "all equal": (torch.ones(15, 4).double(), torch.arange(15) % 3, torch.ones(15).double()),
    "duplicates": (sample(10, 4, 3)[0].repeat(3, 1), torch.arange(30) % 4, sample(30, 4, 3)[2]),
}


@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_agree_with_the_formulas(case):
    z, labels, weight = CASES[case]
    a, b = z.clone().requires_grad_(), z.float().requires_grad_()
    expected, found = twin(a, labels, weight, 0.5, 3.0), margin_loss(b, labels, weight.float())
    for name in TERMS:
        assert found[name].item() == pytest.approx(expected[name].item(), rel=1e-5, abs=1e-7), name
        (wanted,) = torch.autograd.grad(expected[name], a, retain_graph=True)
        (mine,) = torch.autograd.grad(found[name], b, retain_graph=True)
        scale = max(float(wanted.abs().max()), 1e-3)
        torch.testing.assert_close(mine.double(), wanted, rtol=0, atol=1e-5 * scale)


def test_gradient_in_double_precision():
    z, labels, weight = sample(14, 3, 3)
    assert torch.autograd.gradcheck(lambda x: sum(margin_loss(x, labels, weight).values()), z.requires_grad_())


def test_no_hits():
    z = torch.empty(0, 16, requires_grad=True)
    sum(margin_loss(z, torch.empty(0, dtype=torch.int64)).values()).backward()
    assert z.grad.shape == (0, 16)


def test_order_of_hits_does_not_matter():
    z, labels, weight = sample(100, 4, 5)
    order = torch.randperm(100, generator=torch.Generator().manual_seed(1))
    other = margin_loss(z[order], labels[order], weight[order])
    for name, value in margin_loss(z, labels, weight).items():
        assert float(value) == pytest.approx(float(other[name]), rel=1e-12)


def test_class_passes_margins_and_weights():
    z, labels, weight = sample(30, 4, 3)
    found = Margin(pull_margin=0.2, push_margin=5.0)({"embedding": z}, labels, weight)
    expected = margin_loss(z.numpy(), labels.numpy(), weight.numpy(), 0.2, 5.0)
    assert all(isinstance(v, np.ndarray) for v in expected.values())
    assert {k: float(v) for k, v in found.items()} == {k: float(v) for k, v in expected.items()}
