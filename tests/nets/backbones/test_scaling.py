"""Scaling of the input features."""

import math

import pytest
import torch

from cmlflow.nets.backbones import SCALINGS, InputScaling

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


def points_of_tracks(n=400):
    random = torch.Generator().manual_seed(0)
    x = torch.rand(n, 8, generator=random) * torch.tensor([50.0, 50, 100, 4, 6, 1, 30, 20])
    x[:, 5] = (x[:, 5] > 0.8).float()
    return x


def test_standard_with_tracks_leaves_the_kind_and_takes_logarithms():
    x, scaling = points_of_tracks(), InputScaling("standard", 8)
    scaling.fit(x)
    y = scaling(x)
    assert torch.equal(y[:, 5], x[:, 5])
    assert float(scaling.unit) == float(x[x[:, 5] == 0, 3].median())  # of cells, not of momenta
    for column, unit in ((3, scaling.unit), (6, 1.0), (7, scaling.unit)):
        log = torch.log(1 + x[:, column] / unit)
        wanted = (log - log.mean()) / log.std(correction=0)
        torch.testing.assert_close(y[:, column], wanted, atol=1e-4, rtol=1e-4)


def test_standard_of_tracks_alone_stays_finite():
    x, scaling = points_of_tracks(), InputScaling("standard", 8)
    x[:, 5] = 1
    scaling.fit(x)
    assert bool(torch.isfinite(scaling(x)).all())


def test_fixed_scalings_treat_hits_the_same_with_tracks():
    x = points_of_tracks()
    for name in ("raw", "hgcal", "projective"):
        y = InputScaling(name, 8)(x)
        torch.testing.assert_close(y[:, :5], InputScaling(name)(x[:, :5]))
        torch.testing.assert_close(y[:, 5], x[:, 5])
    torch.testing.assert_close(InputScaling("hgcal", 8)(x)[:, 6:], torch.log1p(x[:, 6:]) / 2)


def test_numbers_of_features():
    assert torch.equal(InputScaling("raw", 3)(torch.ones(2, 3)), torch.ones(2, 3))
    with pytest.raises(ValueError, match="in_features is 4, expected 5 or more for hits with the scaling 'standard'"):
        InputScaling("standard", 4)
    with pytest.raises(ValueError, match="in_features is 7, expected 8 or more for hits and tracks"):
        InputScaling("hgcal", 7, tracks=True)


@pytest.mark.parametrize("name", SCALINGS)
@pytest.mark.parametrize("tracks", [False, True])
def test_further_features_are_standardised_and_what_is_not_known_is_their_mean(name, tracks):
    base = points_of_tracks() if tracks else X
    n = base.shape[1]
    own = torch.arange(2.0 * len(base)).reshape(len(base), 2) * torch.tensor([1.0, 100.0])
    x = torch.cat([base, own], 1)
    x[0, n] = float("nan")
    scaling = InputScaling(name, n + 2, tracks, hidden=[0, 4])
    scaling.fit(x)
    y, plain = scaling(x), InputScaling(name, n, tracks)
    plain.fit(base)
    shown = [i for i in range(n) if i not in (0, 4)]
    torch.testing.assert_close(y[:, shown], plain(base)[:, shown])
    assert not y[:, [0, 4]].any()
    if name == "raw":
        torch.testing.assert_close(y[1:, n:], own[1:])
    else:
        known = own[1:, 0]
        spread = known.std(correction=0) if len(known) > 1 else torch.tensor(1.0)
        torch.testing.assert_close(y[1:, n], (known - known.mean()) / spread)
        torch.testing.assert_close(y[:, n + 1], (own[:, 1] - own[:, 1].mean()) / own[:, 1].std(correction=0))
    assert float(y[0, n]) == 0
