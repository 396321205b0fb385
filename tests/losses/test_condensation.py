"""Object condensation against a twin written from its formula."""

import math

import numpy as np
import pytest
import torch

from cmlflow.losses import Condensation, condensation_loss

TERMS = ("attraction", "repulsion", "beta")


def twin(beta, x, particle_id, q_min, largest=1 - 1e-3, attraction="square", repulsion="hinge", mean=0.0):
    """The formulas as loops over particles and hits."""
    n = len(beta)
    particles = sorted({int(p) for p in particle_id if p >= 0})
    charge = [torch.atanh(torch.clamp(b, max=largest)) ** 2 + q_min for b in beta]
    sums = dict.fromkeys(TERMS, (x * 0).sum() + (beta * 0).sum())
    for k in particles:
        own = [i for i in range(n) if particle_id[i] == k]
        alpha = max(own, key=lambda i: float(beta[i].detach()))
        centre = x[alpha]
        if mean:
            centre = (1 - mean) * centre + mean * sum(charge[i] * x[i] for i in own) / sum(charge[i] for i in own)
        for i in range(n):
            square = ((x[i] - centre) ** 2).sum()
            if i in own:
                well = square if attraction == "square" else torch.log(math.e * square / 2 + 1)
                sums["attraction"] = sums["attraction"] + charge[i] * charge[alpha] * well / len(own)
            else:
                distance = square.sqrt() if square > 0 else square
                wall = torch.clamp(1 - distance, min=0) if repulsion == "hinge" else torch.exp(-square / 2)
                sums["repulsion"] = sums["repulsion"] + charge[i] * charge[alpha] * wall / (n - len(own))
        sums["beta"] = sums["beta"] + 1 - beta[alpha]
    return {name: value / max(len(particles), 1) for name, value in sums.items()}


def value_and_gradients(function, beta, x, *rest):
    beta, x = beta.clone().requires_grad_(), x.clone().requires_grad_()
    terms = function(beta, x, *rest)
    out = {}
    for name in TERMS:
        gradients = torch.autograd.grad(terms[name], (beta, x), retain_graph=True, allow_unused=True)
        pair = zip(gradients, (beta, x), strict=True)
        out[name] = (terms[name].detach(), [torch.zeros_like(v) if g is None else g for g, v in pair])
    return out


def sample(n, dim, n_particles, seed=0, unknown=0.1):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_particles, n)
    labels[rng.random(n) < unknown] = -1
    x = rng.normal(size=(n, dim)) / dim**0.5  # near enough for repulsion
    return torch.from_numpy(rng.uniform(0.01, 0.99, n)), torch.from_numpy(x), torch.from_numpy(labels)


def with_labels(case, labels):
    return case[0], case[1], labels


CASES = {
    "random": sample(60, 16, 4),
    "four dimensions": sample(50, 4, 5, seed=1, unknown=0.0),
    "one hit": sample(1, 16, 1, unknown=0.0),
    "one particle": sample(20, 16, 1, unknown=0.0),
    "a single hit per particle": with_labels(sample(12, 16, 3), torch.arange(12)),
    "nothing known": with_labels(sample(12, 16, 3), torch.full((12,), -1)),
    "gaps in the names": with_labels(sample(12, 16, 3), torch.tensor([4, 9] * 6)),
    "all points equal": (sample(15, 16, 3)[0], torch.ones(15, 16, dtype=torch.float64), torch.arange(15) % 3),
    "all equal": (torch.full((15,), 0.3, dtype=torch.float64), torch.ones(15, 16).double(), torch.arange(15) % 3),
    "duplicates": (sample(30, 4, 3)[0], sample(10, 4, 3)[1].repeat(3, 1), torch.arange(30) % 4),
}


FORMS = {
    "paper": (0.1, 1 - 1e-3, "square", "hinge", 0.0),
    "large q_min, low limit": (1.0, 0.7, "square", "hinge", 0.0),
    "later training code": (1.5, 1 / 1.01, "log", "gauss", 0.1),
    "centre is the mean": (0.5, 1 - 1e-3, "log", "hinge", 1.0),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_agree_with_the_formulas(case, form):
    beta, x, labels = CASES[case]
    expected = value_and_gradients(twin, beta, x, labels, *FORMS[form])
    found = value_and_gradients(condensation_loss, beta.float(), x.float(), labels, *FORMS[form])
    for name in TERMS:
        value, gradients = expected[name]
        assert float(found[name][0]) == pytest.approx(float(value), rel=1e-5, abs=1e-7), name
        for mine, wanted in zip(found[name][1], gradients, strict=True):
            scale = max(float(wanted.abs().max()), 1e-6)
            torch.testing.assert_close(mine.double(), wanted, rtol=0, atol=1e-5 * scale)


def test_gradient_in_double_precision():
    beta, x, labels = sample(14, 3, 3)
    for name in TERMS:
        assert torch.autograd.gradcheck(
            lambda b, y, name=name: condensation_loss(b, y, labels)[name],
            (beta.requires_grad_(), x.requires_grad_()),
        )


def test_no_hits():
    x = torch.empty(0, 16, requires_grad=True)
    terms = condensation_loss(torch.empty(0), x, torch.empty(0, dtype=torch.int64))
    sum(terms.values()).backward()
    assert {name: value.item() for name, value in terms.items()} == dict.fromkeys(TERMS, 0.0)


def test_order_of_hits_does_not_matter():
    beta, x, labels = sample(200, 16, 5)
    order = torch.randperm(200, generator=torch.Generator().manual_seed(1))
    one, other = condensation_loss(beta, x, labels), condensation_loss(beta[order], x[order], labels[order])
    for name in TERMS:
        assert float(one[name]) == pytest.approx(float(other[name]), rel=1e-12)


def test_beta_of_one_and_zero_stay_finite():
    beta = torch.tensor([1.0, 0.0, 1.0, 0.0], requires_grad=True)
    x = torch.zeros(4, 2, requires_grad=True)
    terms = condensation_loss(beta, x, torch.tensor([0, 0, 1, 1]))
    sum(terms.values()).backward()
    assert all(math.isfinite(v.item()) for v in terms.values())
    assert bool(torch.isfinite(beta.grad).all())
    assert bool(torch.isfinite(x.grad).all())


def test_the_limit_of_beta_bounds_charges_and_their_gradients():
    """Two hits of one particle at distance 1, the first sure of itself: the attraction is the product of charges."""
    x, labels = torch.tensor([[0.0], [1.0]]), torch.zeros(2, dtype=torch.int64)
    for largest in (0.9, 1 - 1e-3, 1.0):
        beta = torch.tensor([1.0, 0.5], requires_grad=True)
        terms = condensation_loss(beta, x, labels, 0.1, largest)
        limit = torch.tensor(largest).clamp(max=1 - torch.finfo(torch.float32).eps)
        product = (torch.atanh(limit) ** 2 + 0.1) * (math.atanh(0.5) ** 2 + 0.1)
        assert terms["attraction"].item() == pytest.approx(float(product) / 2, rel=1e-5)
        (slope,) = torch.autograd.grad(terms["attraction"], beta, retain_graph=True)
        assert float(slope[0]) == 0  # beyond the limit the charge is constant
        assert float(slope[1]) == pytest.approx(
            float(torch.atanh(limit) ** 2 + 0.1) * math.atanh(0.5) / (1 - 0.25), rel=1e-5
        )
        (slope,) = torch.autograd.grad(terms["beta"], beta)
        assert slope.tolist() == [-1.0, 0.0]
    assert math.atanh(1 - 1e-3) ** 2 == pytest.approx(14.4, abs=0.1)


def test_below_the_limit_nothing_changes():
    beta, x, labels = sample(60, 4, 3)
    one, other = (value_and_gradients(condensation_loss, beta, x, labels, 0.1, v) for v in (0.995, 1.0))
    for name in TERMS:
        assert torch.equal(one[name][0], other[name][0])
        assert all(torch.equal(a, b) for a, b in zip(one[name][1], other[name][1], strict=True))


def test_noise_term_is_the_mean_beta_of_unknown_hits():
    beta, x, labels = sample(40, 4, 3, unknown=0.3)
    output = {"beta": beta, "coordinates": x}
    found = Condensation(noise_weight=2.0)(output, labels)
    assert float(found["noise"]) == pytest.approx(2 * float(beta[labels < 0].mean()), rel=1e-12)
    assert "noise" not in Condensation()(output, labels)
    assert float(Condensation(noise_weight=2.0)(output, labels.clamp(min=0))["noise"]) == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"largest": 1.5}, "largest is 1.5, expected a beta above 0 and up to 1"),
        ({"attraction": "cube"}, "attraction is 'cube', expected one of \\('square', 'log'\\)"),
        ({"repulsion": "none"}, "repulsion is 'none', expected one of \\('hinge', 'gauss'\\)"),
        ({"mean": -0.1}, "mean is -0.1, expected 0 to 1"),
    ],
)
def test_wrong_forms(changes, message):
    beta, x, labels = sample(10, 4, 2)
    with pytest.raises(ValueError, match=message):
        Condensation(**changes)({"beta": beta, "coordinates": x}, labels)


def test_unknown_hits_are_repelled_only():
    beta, x, labels = sample(30, 4, 2, unknown=0.0)
    marked = labels.clone()
    marked[:10] = -1
    terms, without = condensation_loss(beta, x, marked), condensation_loss(beta[10:], x[10:], labels[10:])
    assert float(terms["attraction"]) == pytest.approx(float(without["attraction"]), rel=1e-12)
    assert float(terms["beta"]) == pytest.approx(float(without["beta"]), rel=1e-12)
    assert float(terms["repulsion"]) != pytest.approx(float(without["repulsion"]), rel=1e-3)


def test_gives_back_the_kind_it_got():
    beta, x, labels = sample(30, 4, 3)
    found = condensation_loss(beta.numpy(), x.numpy(), labels.numpy())
    for name, value in condensation_loss(beta, x, labels).items():
        assert isinstance(value, torch.Tensor)
        assert isinstance(found[name], np.ndarray)
        assert float(found[name]) == float(value)


def test_class_weights_the_beta_term_alone():
    beta, x, labels = sample(30, 4, 3)
    terms = condensation_loss(beta, x, labels, 0.5)
    found = Condensation(q_min=0.5, beta_weight=3.0)({"beta": beta, "coordinates": x}, labels)
    assert {k: float(v) for k, v in found.items()} == {
        k: float(v) * (3.0 if k == "beta" else 1.0) for k, v in terms.items()
    }


def test_wrong_input():
    with pytest.raises(ValueError, match=r"beta has shape \(2,\), expected \(3,\)"):
        condensation_loss(torch.zeros(2), torch.zeros(3, 4), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"x has shape \(3,\)"):
        condensation_loss(torch.zeros(3), torch.zeros(3), torch.zeros(3, dtype=torch.int64))


@pytest.mark.parametrize(("beta", "shown"), [([0.2, 1.5], "hit 1 is 1.5"), ([-0.25, 0.2], "hit 0 is -0.25")])
def test_beta_outside_of_its_range(beta, shown):
    with pytest.raises(ValueError, match=f"beta of {shown}, expected a value in 0..1"):
        condensation_loss(np.array(beta), np.zeros((2, 2)), np.array([0, 0]))
