"""Scaling of the input features."""

import math

import pytest
import torch

from cmlflow.backbones import SCALINGS, InputScaling

X = torch.tensor([[20.0, -10.0, 400.0, 3.0, 10.0], [0.0, 5.0, 360.0, 0.0, 50.0]])


def test_raw_changes_nothing():
    assert torch.equal(InputScaling("raw")(X), X)


def test_hgcal_follows_its_formula():
    expected = [[2.0, -1.0, 1.0, math.log(4) / 2, 0.5], [0.0, 0.5, 0.0, 0.0, 2.5]]
    torch.testing.assert_close(InputScaling("hgcal")(X), torch.tensor(expected))


def test_standard_gives_mean_zero_and_deviation_one():
    x = torch.rand(1000, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([50.0, 50, 100, 1e-3, 0])
    x += torch.tensor([0.0, 10, 300, 0, 7])
    scaling = InputScaling("standard")
    scaling.fit(x)
    y = scaling(x)
    torch.testing.assert_close(y.mean(0), torch.zeros(5), atol=1e-4, rtol=0)
    torch.testing.assert_close(y[:, :4].std(0, correction=0), torch.ones(4), atol=1e-4, rtol=0)
    assert torch.equal(y[:, 4], torch.zeros(1000))  # a constant feature
    assert float(scaling.unit) == float(x[:, 3].median())


def test_standard_of_no_or_zero_energy_stays_finite():
    scaling = InputScaling("standard")
    scaling.fit(torch.empty(0, 5))
    assert torch.equal(scaling.scale, torch.ones(5))
    scaling.fit(torch.zeros(3, 5))
    assert bool(torch.isfinite(scaling(X)).all())


def test_fit_leaves_the_fixed_scalings_alone():
    for name in ("raw", "hgcal"):
        scaling = InputScaling(name)
        before = scaling.scale.clone()
        scaling.fit(X)
        assert torch.equal(scaling.scale, before)


@pytest.mark.parametrize("name", SCALINGS)
def test_part_of_the_state(name):
    scaling = InputScaling(name)
    scaling.fit(X)
    other = InputScaling(name)
    other.load_state_dict(scaling.state_dict())
    assert torch.equal(other(X), scaling(X))


def test_wrong_name():
    names = r"\('raw', 'hgcal', 'projective', 'standard'\)"
    with pytest.raises(ValueError, match=f"scaling is 'log', expected one of {names}"):
        InputScaling("log")
