"""Backbone and head together."""

import pytest
import torch

from cmlflow.network import build_network


@pytest.mark.parametrize(("head", "dim", "count"), [("supcon", 16, 48_560), ("margin", 16, 48_560), ("oc", 16, 48_593)])
def test_number_of_parameters(head, dim, count):
    assert sum(p.numel() for p in build_network(head=head, dim=dim).parameters()) == count


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
