"""SupCon against a twin written from its formula, and its memory."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from cmlflow.losses import SupCon, supcon_loss


def twin(z: torch.Tensor, particle_id: torch.Tensor, temperature: float) -> torch.Tensor:
    """The formula as loops over hits, in the precision of z (float64)."""
    unit = [v / v.norm() for v in z]
    terms = []
    for i in range(len(z)):
        positives = [p for p in range(len(z)) if p != i and particle_id[p] == particle_id[i] and particle_id[i] >= 0]
        if not positives:
            continue
        all_others = torch.stack([unit[i] @ unit[a] / temperature for a in range(len(z)) if a != i]).logsumexp(0)
        terms.append(-sum(unit[i] @ unit[p] / temperature - all_others for p in positives) / len(positives))
    return torch.stack(terms).mean() if terms else (z * 0).sum()


def value_and_gradient(function, z, *rest):
    z = z.clone().requires_grad_()
    loss = function(z, *rest)
    loss.backward()
    return loss.detach(), z.grad


def sample(n, dim, n_particles, seed=0, unknown=0.1):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_particles, n)
    labels[rng.random(n) < unknown] = -1
    centres = rng.normal(size=(n_particles + 1, dim))
    return torch.from_numpy(centres[labels] + rng.normal(size=(n, dim))), torch.from_numpy(labels)


CASES = {
    "random": sample(60, 16, 4),
    "four dimensions": sample(50, 4, 5, seed=1, unknown=0.0),
    "one hit": sample(1, 16, 1, unknown=0.0),
    "two hits": (torch.tensor([[1.0, 2.0], [2.0, -1.0]], dtype=torch.float64), torch.tensor([3, 3])),
    "one particle": sample(20, 16, 1, unknown=0.0),
    "a single hit per particle": (sample(12, 16, 3)[0], torch.arange(12)),
    "one hit of a particle alone": (sample(12, 16, 3)[0], torch.tensor([0] * 6 + [1] * 5 + [7])),
    "nothing known": (sample(12, 16, 3)[0], torch.full((12,), -1)),
    "all equal": (torch.ones(15, 16, dtype=torch.float64), torch.arange(15) % 3),
    "duplicates": (sample(10, 16, 3)[0].repeat(3, 1), torch.arange(30) % 4),
}


@pytest.mark.parametrize("temperature", [1.0, 0.1, 0.03])
@pytest.mark.parametrize("case", CASES)
def test_value_and_gradient_agree_with_the_formula(case, temperature):
    z, labels = CASES[case]
    expected, gradient = value_and_gradient(twin, z, labels, temperature)
    found, found_gradient = value_and_gradient(supcon_loss, z.float(), labels, temperature)
    assert float(found) == pytest.approx(float(expected), rel=1e-5, abs=1e-6)
    scale = max(float(gradient.abs().max()), 0.01 / (temperature * len(z)))  # of two hits it is exactly zero
    torch.testing.assert_close(found_gradient.double(), gradient, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("temperature", [0.02, 0.005, 0.001])
def test_small_temperatures_stay_finite_and_exact(temperature):
    z, labels = sample(40, 8, 3)
    z[0], z[1] = z[2], -z[2]  # the largest and the smallest similarity there can be
    expected, gradient = value_and_gradient(twin, z, labels, temperature)
    found, found_gradient = value_and_gradient(supcon_loss, z, labels, temperature)
    assert float(found) == pytest.approx(float(expected), rel=1e-9)
    torch.testing.assert_close(found_gradient, gradient, rtol=1e-8, atol=1e-9)
    assert math.isfinite(float(supcon_loss(z.float(), labels, temperature)))


def test_opposite_pair_at_a_temperature_beyond_the_range_of_exp():
    z = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], requires_grad=True)
    loss = supcon_loss(z, torch.tensor([0, 0]), temperature=1e-4)
    loss.backward()
    assert loss.item() == pytest.approx(0.0, abs=1e-6)  # the only other hit is the positive
    assert bool(torch.isfinite(z.grad).all())


def test_more_hits_than_a_tile():
    z, labels = sample(1100, 4, 6)
    n = len(z)
    z = z.requires_grad_()
    unit = z / z.norm(dim=1, keepdim=True)
    similarity = (unit @ unit.T / 0.1).masked_fill(torch.eye(n, dtype=torch.bool), -torch.inf)
    same = (labels[:, None] == labels) & (labels >= 0) & ~torch.eye(n, dtype=torch.bool)
    log_p = similarity - similarity.logsumexp(1, keepdim=True)
    anchors = same.any(1)
    mean = torch.where(same, log_p, 0).sum(1)[anchors] / same.sum(1)[anchors]
    expected = -mean.mean()
    (gradient,) = torch.autograd.grad(expected, z)
    found, found_gradient = value_and_gradient(supcon_loss, z.detach(), labels, 0.1)
    assert float(found) == pytest.approx(expected.item(), rel=1e-12)
    torch.testing.assert_close(found_gradient, gradient, rtol=1e-9, atol=1e-14)


def test_gradient_in_double_precision():
    z, labels = sample(14, 3, 3)
    assert torch.autograd.gradcheck(lambda x: supcon_loss(x, labels, 0.3), z.requires_grad_())
    assert torch.autograd.gradcheck(lambda x: supcon_loss(x, labels, 0.002), z, eps=1e-7, atol=1e-2, rtol=1e-3)


def test_no_hits():
    z = torch.empty(0, 16, requires_grad=True)
    loss = supcon_loss(z, torch.empty(0, dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0
    assert z.grad.shape == (0, 16)


def test_order_of_hits_and_names_of_particles_do_not_matter():
    z, labels = sample(200, 16, 5)
    order = torch.randperm(200, generator=torch.Generator().manual_seed(1))
    names = torch.tensor([40, 3, 17, 8, 21, -1])  # the last belongs to the label -1
    assert float(supcon_loss(z[order], labels[order])) == pytest.approx(float(supcon_loss(z, labels)), rel=1e-12)
    assert float(supcon_loss(z, names[labels])) == pytest.approx(float(supcon_loss(z, labels)), rel=1e-12)


def test_length_of_the_embedding_does_not_matter():
    z, labels = sample(50, 16, 5)
    factor = torch.linspace(0.1, 10, 50)[:, None]
    assert float(supcon_loss(z * factor, labels)) == pytest.approx(float(supcon_loss(z, labels)), rel=1e-12)


def test_unknown_hits_stay_in_the_denominator():
    z, labels = sample(30, 16, 3, unknown=0.0)
    marked = labels.clone()
    marked[:5] = -1
    assert float(supcon_loss(z, marked)) > float(supcon_loss(z[5:], marked[5:]))


def test_equals_pytorch_metric_learning():
    from pytorch_metric_learning.losses import SupConLoss

    z, labels = sample(80, 16, 4, unknown=0.0)
    expected, gradient = value_and_gradient(SupConLoss(temperature=0.1), z, labels)
    found, found_gradient = value_and_gradient(supcon_loss, z, labels, 0.1)
    assert float(found) == pytest.approx(float(expected), rel=1e-9)
    torch.testing.assert_close(found_gradient, gradient, rtol=1e-7, atol=1e-9)


def test_gives_back_the_kind_it_got():
    z, labels = sample(30, 16, 3)
    array, ids = z.float().numpy(), labels.numpy()
    array.flags.writeable = ids.flags.writeable = False  # as arrays from files may be
    found = supcon_loss(array, ids)
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.float32
    assert float(found) == pytest.approx(float(supcon_loss(z, labels)), rel=1e-5)
    assert isinstance(supcon_loss(z, ids), torch.Tensor)


def test_half_precision_is_computed_in_single():
    z, labels = sample(30, 16, 3)
    half = z.half()
    assert supcon_loss(half, labels).dtype == torch.float32
    assert float(supcon_loss(half, labels)) == float(supcon_loss(half.float(), labels))


def test_class_passes_its_temperature():
    z, labels = sample(30, 16, 3)
    assert float(SupCon(0.5)({"embedding": z}, labels)["supcon"]) == float(supcon_loss(z, labels, 0.5))


@pytest.mark.parametrize(
    ("z", "labels", "temperature", "message"),
    [
        (torch.zeros(3), torch.zeros(3, dtype=torch.int64), 0.1, r"z has shape \(3,\)"),
        (torch.zeros(3, 2), torch.zeros(4, dtype=torch.int64), 0.1, r"particle_id has shape \(4,\), expected \(3,\)"),
        (torch.zeros(3, 2), torch.zeros(3), 0.1, "particle_id has type torch.float32"),
        (torch.zeros(3, 2), torch.tensor([0, -2, 1]), 0.1, "particle_id holds -2"),
        (torch.zeros(3, 2), torch.tensor([0, 0, 1]), 0.0, "temperature is 0.0"),
    ],
)
def test_wrong_input(z, labels, temperature, message):
    with pytest.raises(ValueError, match=message):
        supcon_loss(z, labels, temperature)


MEMORY = """
import resource, torch
from cmlflow.losses import supcon_loss
torch.set_num_threads(1)
labels = torch.arange({n}) % 30
small = torch.randn(600, 16, requires_grad=True)
supcon_loss(small, labels[:600]).backward()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
z = torch.randn({n}, 16, requires_grad=True)
supcon_loss(z, labels).backward()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss counts in kB on Linux only")
def test_fifty_thousand_hits_take_less_than_a_gigabyte():
    done = subprocess.run(
        [sys.executable, "-c", MEMORY.format(n=50_000)], check=True, capture_output=True, text=True, timeout=600
    )
    assert int(done.stdout) < 1_000_000  # kB above the baseline


def test_unsigned_labels_and_events_without_hits():
    z = np.random.default_rng(0).normal(size=(6, 4))
    labels = np.array([0, 0, 1, 1, 2, 2])
    assert supcon_loss(z, labels.astype(np.uint64)) == supcon_loss(z, labels)
    assert supcon_loss(np.zeros((0, 4)), np.zeros(0)) == 0
