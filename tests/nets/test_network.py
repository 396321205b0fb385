"""Backbone and head together."""

import numpy as np
import pytest
import torch

from cmlflow import Event, simulate
from cmlflow.methods import build_network
from cmlflow.nets.device import usable_device
from cmlflow.nets.network import fit_scaling
from cmlflow.sampling import event_points


@pytest.mark.parametrize(("head", "dim", "count"), [("supcon", 16, 48_560), ("margin", 16, 48_560), ("oc", 16, 48_593)])
def test_number_of_parameters(head, dim, count):
    assert sum(p.numel() for p in build_network(head=head, dim=dim).parameters()) == count


@pytest.mark.parametrize("head", ["supcon", "oc"])
def test_tracks_add_features_sums_over_the_event_and_a_head(head):
    network, wide = build_network(head), build_network(head, tracks=True)
    plain, with_tracks = ({name: p.shape for name, p in n.named_parameters()} for n in (network, wide))
    new = {name.split(".")[0] for name in set(with_tracks) - set(plain)}
    assert new == {"backbone", "origin"}
    changed = {name for name in plain if plain[name] != with_tracks[name]}
    assert changed == {"backbone.encoder.0.weight", "backbone.trunk.0.weight"}
    out = wide(torch.rand(20, 8), torch.tensor([0, 5, 20]))
    assert all(len(value) == 20 for value in out.values())
    assert out["origin"].shape == (20, 3)


@pytest.mark.parametrize("dim", [4, 16])
def test_outputs(dim):
    x = torch.randn(30, 5)
    assert {k: v.shape for k, v in build_network("supcon", dim, k=4)(x).items()} == {"embedding": (30, dim)}
    out = build_network("oc", dim, k=4)(x, torch.tensor([0, 10, 30]))
    assert {k: v.shape for k, v in out.items()} == {"beta": (30,), "coordinates": (30, dim)}
    assert bool(((out["beta"] > 0) & (out["beta"] < 1)).all())


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("head", ["supcon", "oc"])
def test_order_of_hits_does_not_change_a_bit(head, seed):
    torch.manual_seed(seed)
    net = build_network(head, k=8, scaling="hgcal").eval()
    n = 100 + 7 * seed
    x = torch.randint(0, 6, (n, 5)).float()
    order = torch.randperm(n)
    out, other = net(x), net(x[order])
    assert all(torch.equal(out[name][order], other[name]) for name in out)


def test_heads_start_from_the_same_backbone():
    states = []
    for head in ("supcon", "oc"):
        torch.manual_seed(5)
        states.append(build_network(head).backbone.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_wrong_names():
    names = r"\['margin', 'oc', 'prototype', 'supcon'\]"
    with pytest.raises(ValueError, match=f"head is 'triplet', expected one of {names}"):
        build_network("triplet")
    with pytest.raises(ValueError, match="scaling is 'log'"):
        build_network(scaling="log")


@pytest.mark.parametrize("head", ["supcon", "oc", "prototype"])
def test_order_of_hits_and_tracks_does_not_change_a_bit(head):
    network = build_network(head, k=8, scaling="standard", tracks=True).eval()
    events = list(simulate("jets", 3, seed=2))
    fit_scaling(network, events, tracks=True)
    x = torch.from_numpy(np.concatenate([event_points(e, tracks=True).x for e in events[:1]]))
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1))
    out, other = network(x), network(x[order])
    assert all(torch.equal(out[name][order], other[name]) for name in out)


def test_scaling_takes_points_of_tracks_where_the_network_does():
    events = list(simulate("rho", 4, seed=2))
    for tracks in (False, True):
        network = build_network(scaling="standard", tracks=tracks)
        fit_scaling(network, events, tracks)
        x = torch.cat([torch.from_numpy(event_points(e, tracks).x) for e in events])
        y = network.backbone.scaling(x)
        torch.testing.assert_close(y[:, :5].mean(0), torch.zeros(5), atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match="none of the training events has a hit with a known particle"):
        fit_scaling(network, [Event([[0, 0, 1]], [1.0], tracks=([1.0], [[0, 0, 1]], [[0, 0, 1]], [-1]))], True)


@pytest.mark.parametrize("wrong", [{"k": 0}, {"dim": 0}, {"k": 2.5}, {"dim": "x"}])
def test_sizes_are_checked(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"{name} is {value!r}, expected an integer of 1 or more"):
        build_network(**wrong)


def test_a_device_that_is_not_there():
    with pytest.raises(ValueError, match="device is 'nonsense', which this torch cannot use"):
        usable_device("nonsense")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="device is 'cuda', which this torch cannot use"):
            usable_device("cuda")
    assert usable_device("cpu") == torch.device("cpu")
