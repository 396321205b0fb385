"""The prototype loss against a twin written from its formula."""

import math

import numpy as np
import pytest
import torch

from cmlflow.losses import Prototype, prototype_loss

TERMS = ("assignment", "variance", "distance")


def twin(z, particle_id, weight, sigma, pull_margin, push_margin):
    z, weight = z.tolist(), weight.tolist()
    particles = sorted({int(p) for p in particle_id if p >= 0})
    if not particles:
        return dict.fromkeys(TERMS, 0.0)
    own = {c: [i for i in range(len(z)) if particle_id[i] == c] for c in particles}
    total = {c: sum(weight[i] for i in own[c]) for c in particles}
    centre = {c: [sum(weight[i] * z[i][d] for i in own[c]) / total[c] for d in range(len(z[0]))] for c in particles}
    out = dict.fromkeys(TERMS, 0.0)
    for c in particles:
        for i in own[c]:
            share = weight[i] / total[c] / len(particles)
            energy = {k: math.dist(z[i], centre[k]) ** 2 / (2 * sigma**2) for k in particles}
            low = min(energy.values())
            norm = sum(math.exp(low - e) for e in energy.values())
            out["assignment"] += share * (energy[c] - low + math.log(norm))
            out["variance"] += share * max(0.0, math.dist(z[i], centre[c]) - pull_margin) ** 2
    pairs = [(a, b) for a in particles for b in particles if a != b]
    for a, b in pairs:
        out["distance"] += max(0.0, push_margin - math.dist(centre[a], centre[b])) ** 2 / len(pairs)
    return out


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
    "random": sample(60, 4, 4),
    "one hit": sample(1, 4, 1, unknown=0.0),
    "one particle": sample(20, 4, 1, unknown=0.0),
    "a single hit per particle": (sample(12, 4, 3)[0], torch.arange(12), torch.ones(12).double()),
    "nothing known": (sample(12, 4, 3)[0], torch.full((12,), -1), torch.ones(12).double()),
    "all equal": (torch.ones(15, 4).double(), torch.arange(15) % 3, torch.ones(15).double()),
    "gaps in the labels": (sample(9, 4, 3)[0], torch.arange(9) % 3 * 5, torch.ones(9).double()),
    "no hit": (torch.zeros(0, 4).double(), torch.zeros(0, dtype=torch.int64), torch.zeros(0).double()),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("margins", [(0.5, 0.25, 3.0), (1.3, 0.0, 1.0)])
def test_as_the_formula_says(case, margins):
    z, particle_id, weight = CASES[case]
    found = prototype_loss(z, particle_id, weight, *margins)
    expected = twin(z, particle_id, weight, *margins)
    for name in TERMS:
        assert float(found[name]) == pytest.approx(expected[name], abs=1e-10), name


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_finite(case):
    z, particle_id, weight = CASES[case]
    z = z.clone().requires_grad_()
    sum(prototype_loss(z, particle_id, weight).values()).backward()
    assert torch.isfinite(z.grad).all()


def test_gradient_by_differences():
    z, particle_id, weight = sample(14, 3, 3, seed=4)
    z.requires_grad_()
    assert torch.autograd.gradcheck(lambda v: sum(prototype_loss(v, particle_id, weight).values()), z)


def test_well_separated_particles_cost_nothing():
    z = torch.tensor([[0.0, 0.0], [0.1, 0.0], [9.0, 0.0], [9.0, 0.1]])
    terms = prototype_loss(z, torch.tensor([0, 0, 1, 1]))
    assert all(float(v) < 1e-6 for v in terms.values())


def test_order_of_hits_does_not_matter():
    z, particle_id, weight = sample(50, 4, 5)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    a, b = prototype_loss(z, particle_id, weight), prototype_loss(z[order], particle_id[order], weight[order])
    assert all(float(a[name]) == pytest.approx(float(b[name]), rel=1e-12) for name in TERMS)


def test_arrays_give_arrays():
    z, particle_id, weight = (t.numpy() for t in sample(10, 4, 2))
    assert isinstance(prototype_loss(z, particle_id, weight)["assignment"], np.ndarray)


def test_class_weights_hits_by_a_power_of_their_energy():
    z, particle_id, energy = sample(30, 4, 3)
    found = Prototype(sigma=0.7, energy_power=0.5)({"embedding": z}, particle_id, energy)
    expected = twin(z, particle_id, energy.sqrt(), 0.7, 0.25, 3.0)
    assert float(found["assignment"]) == pytest.approx(expected["assignment"])
    equal = Prototype(energy_power=0.0)({"embedding": z}, particle_id, energy)
    assert float(equal["variance"]) == pytest.approx(twin(z, particle_id, energy**0, 0.5, 0.25, 3.0)["variance"])


def test_sigma_must_be_positive():
    with pytest.raises(ValueError, match="sigma is 0"):
        prototype_loss(torch.zeros(2, 2), torch.tensor([0, 1]), sigma=0)
