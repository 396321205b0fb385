"""Losses of pytorch-metric-learning: one event at a time, without hits of unknown particle."""

import pytest
import torch
from pytorch_metric_learning.losses import ContrastiveLoss, SupConLoss, TripletMarginLoss

from cmlflow.losses import MetricLearning, SupCon


def sample(n=40, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 8, generator=generator), torch.arange(n) % 3


def test_unknown_hits_are_dropped():
    z, labels = sample()
    marked = labels.clone()
    marked[:7] = -1
    seen = []

    def loss(embeddings, ids):
        seen.append((embeddings, ids))
        return embeddings.sum()

    assert list(MetricLearning(loss)({"embedding": z}, marked)) == ["function"]
    assert torch.equal(seen[0][0], z[7:])
    assert torch.equal(seen[0][1], torch.unique(labels[7:], return_inverse=True)[1])


@pytest.mark.parametrize("loss", [ContrastiveLoss(), TripletMarginLoss(), SupConLoss()])
def test_named_after_the_loss_and_equal_to_it(loss):
    z, labels = sample()
    found = MetricLearning(loss)({"embedding": z.requires_grad_()}, labels)
    assert list(found) == [type(loss).__name__]
    assert float(found[type(loss).__name__].detach()) == float(loss(z, labels).detach())


def test_supcon_through_the_adapter():
    z, labels = sample()
    theirs = MetricLearning(SupConLoss(temperature=0.1))({"embedding": z}, labels)["SupConLoss"]
    assert float(SupCon(0.1)({"embedding": z}, labels)["supcon"]) == pytest.approx(float(theirs), rel=1e-5)


@pytest.mark.parametrize("n", [0, 5])
def test_no_known_hit(n):
    z = torch.randn(n, 8, requires_grad=True)
    (value,) = MetricLearning(ContrastiveLoss())({"embedding": z}, torch.full((n,), -1)).values()
    value.backward()
    assert float(value.detach()) == 0
    assert z.grad.shape == (n, 8)


def test_events_are_never_mixed_in_training():
    """The loop calls a loss once per event, though the events share particle numbers and a pass of the network."""
    from cmlflow import Event
    from cmlflow.methods import build_network
    from cmlflow.training import TrainingConfig, train

    sizes = []

    def loss(embeddings, ids):
        sizes.append((len(embeddings), sorted(set(ids.tolist()))))
        return embeddings.square().mean()

    generator = torch.Generator().manual_seed(0)
    events = []
    for n in (20, 30, 25):
        position, ids = torch.randn(n, 3, generator=generator).numpy(), [0, 1, -1, 0, 1] * (n // 5)
        events.append(Event(position, [1.0] * n, particle_id=ids, number=n))
    train(build_network(k=4), MetricLearning(loss), events, config=TrainingConfig(max_epochs=1, batch_size=3))
    assert sorted(sizes) == [(16, [0, 1]), (20, [0, 1]), (24, [0, 1])]


def events(n=4):
    from cmlflow import Event

    generator = torch.Generator().manual_seed(1)
    return [
        Event(torch.randn(40, 3, generator=generator).numpy(), [1.0] * 40, particle_id=[0, 1, 2, 3] * 10)
        for _ in range(n)
    ]


def test_bare_losses_are_wrapped():
    from cmlflow import MetricClusterer

    bare, wrapped = (
        MetricClusterer(loss=loss, max_epochs=1).fit(events())
        for loss in (ContrastiveLoss(), MetricLearning(ContrastiveLoss()))
    )
    assert bare.history_.records[0]["loss"] == wrapped.history_.records[0]["loss"] > 0


def test_miners_choose_the_pairs():
    from pytorch_metric_learning.miners import MultiSimilarityMiner

    z, labels = sample()
    miner, loss = MultiSimilarityMiner(), ContrastiveLoss()
    (value,) = MetricLearning(loss, miner)({"embedding": z}, labels).values()
    assert float(value) == float(loss(z, labels, miner(z, labels))) != float(loss(z, labels))


def test_a_bound_on_the_hits():
    sizes = []

    def loss(embeddings, ids):
        sizes.append(len(embeddings))
        return embeddings.sum()

    z, labels = sample()
    for most in (10, 39, 40, None):
        MetricLearning(loss, max_hits=most)({"embedding": z}, labels)
    assert sizes == [10, 39, 40, 40]
    with pytest.raises(ValueError, match="max_hits is 1, expected 2 or more"):
        MetricLearning(loss, max_hits=1)


def test_proxies_are_trained_and_kept_in_checkpoints(tmp_path):
    from pytorch_metric_learning.losses import ProxyAnchorLoss

    from cmlflow.methods import build_network
    from cmlflow.training import ClusteringTask, TrainingConfig, train

    torch.manual_seed(0)
    loss = ProxyAnchorLoss(num_classes=5, embedding_size=16)
    before = loss.proxies.detach().clone()

    def run(folder, **stop):
        task, network = ClusteringTask(loss), build_network(k=4)
        train(network, task, events(), config=TrainingConfig(max_epochs=4, batch_size=2, **stop), folder=folder)
        return task.module.proxies.detach(), network.state_dict()

    proxies, _ = run(tmp_path / "whole")
    assert torch.equal(loss.proxies, before)
    assert not torch.equal(proxies, before)
    again, _ = run(tmp_path / "whole")  # finished before: all comes from the checkpoint
    assert torch.equal(again, proxies)


def test_too_few_proxies_are_named():
    from pytorch_metric_learning.losses import ProxyAnchorLoss

    z, labels = sample()
    with pytest.raises(ValueError, match="ProxyAnchorLoss: num_classes is 2, but an event has 3 particles"):
        MetricLearning(ProxyAnchorLoss(num_classes=2, embedding_size=8))({"embedding": z}, labels)
