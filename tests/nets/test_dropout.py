"""Dropout by event: the same noise whatever else is in the batch."""

import torch

from cmlflow import build_network
from cmlflow.nets.dropout import EventDropout, seed_dropout


def test_noise_belongs_to_the_event():
    layer = EventDropout(0.3).train()
    x = torch.ones(50, 8)
    seed_dropout(layer, [20, 30], [5, 6])
    together = layer(x)
    seed_dropout(layer, [30], [6])
    assert torch.equal(layer(x[20:]), together[20:])
    torch.testing.assert_close(together.unique(), torch.tensor([0.0, 1 / 0.7]))
    assert not torch.equal(layer(x[20:]), together[20:])  # another layer of the network, or a second pass
    layer.eval()
    assert torch.equal(layer(x), x)


def test_share_of_zeros_and_the_mean_are_those_of_dropout():
    layer = EventDropout(0.2).train()
    seed_dropout(layer, [4000], [1])
    out = layer(torch.ones(4000, 10))
    assert abs(float((out == 0).float().mean()) - 0.2) < 0.01
    assert abs(float(out.mean()) - 1) < 0.02


def test_a_network_trains_the_same_in_one_batch_and_in_two():
    network = build_network(dim=4, k=4, dropout=0.2).train()
    x = torch.randn(30, 5)
    seed_dropout(network, [10, 20], [1, 2])
    whole = network(x, torch.tensor([0, 10, 30]))["embedding"]
    seed_dropout(network, [20], [2])
    torch.testing.assert_close(network(x[10:])["embedding"], whole[10:], atol=1e-5, rtol=1e-5)
